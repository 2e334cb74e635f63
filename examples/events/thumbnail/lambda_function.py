"""Makes a thumbnail of each picture that a storage event names. Reads /mnt/incoming, writes /mnt/thumbnails.

It has nothing but Python: of PNG it knows what most programs write (8 bits a channel, not interlaced).
"""

import os
import struct
import zlib
from urllib.parse import unquote_plus

WIDEST = 160
SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # grey, RGB, and both with transparency
MOST_PIXELS = 20_000_000


def chunks(data):
    """The parts of a PNG file: (kind, content)."""
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + 8 + length]
        at += length + 12


def rows(raw, height, stride, channels):
    """The rows of the picture: each was written as its difference to what is left of it and above."""
    above = bytearray(stride)
    for y in range(height):
        start = y * (stride + 1)
        how, row = raw[start], bytearray(raw[start + 1 : start + 1 + stride])
        for x in range(stride):
            left = row[x - channels] if x >= channels else 0
            if how == 1:
                row[x] = row[x] + left & 255
            elif how == 2:
                row[x] = row[x] + above[x] & 255
            elif how == 3:
                row[x] = row[x] + (left + above[x]) // 2 & 255
            elif how == 4:
                corner = above[x - channels] if x >= channels else 0
                guess = left + above[x] - corner
                row[x] = row[x] + min((left, above[x], corner), key=lambda value: abs(guess - value)) & 255
        yield row
        above = row


def shrink(data):
    """A PNG of the same picture, at most WIDEST pixels wide: each pixel is the mean of those that it stands for."""
    if not data.startswith(SIGNATURE):
        raise ValueError("not a PNG file")
    parts = list(chunks(data))
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", parts[0][1])
    if depth != 8 or colour not in CHANNELS or interlaced or not 0 < width * height <= MOST_PIXELS:
        raise ValueError(f"a PNG of {width} by {height}, {depth} bits and colour type {colour} is too much for this example")
    channels = CHANNELS[colour]
    stride = width * channels
    size = height * (stride + 1)
    # Never more than the picture has: few bytes can unpack to very many.
    raw = zlib.decompressobj().decompress(b"".join(content for kind, content in parts if kind == b"IDAT"), size)
    if len(raw) != size:
        raise ValueError("the file ends in the midst of the picture")
    step = -(-width // WIDEST)
    columns, lines = -(-width // step), -(-height // step)
    small = []
    sums = [0] * (columns * channels)
    for y, row in enumerate(rows(raw, height, stride, channels)):
        for x in range(stride):
            pixel, channel = divmod(x, channels)
            sums[pixel // step * channels + channel] += row[x]
        if (y + 1) % step == 0 or y + 1 == height:
            deep = y % step + 1
            wide = [min(step, width - column * step) for column in range(columns)]
            small.append(b"\0" + bytes(total // (wide[at // channels] * deep) for at, total in enumerate(sums)))
            sums = [0] * (columns * channels)

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", columns, lines, depth, colour, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"".join(small))) + chunk(b"IEND", b"")


def lambda_handler(event, context):
    for record in event["Records"]:
        key = unquote_plus(record["s3"]["object"]["key"])
        with open(f"/mnt/incoming/{key}", "rb") as picture:
            small = shrink(picture.read())
        target = f"/mnt/thumbnails/{key}"
        os.makedirs(os.path.dirname(target), exist_ok=True)
        # Whoever looks into the folder sees the whole thumbnail or none.
        with open(f"{target}.part", "wb") as thumbnail:
            thumbnail.write(small)
        os.replace(f"{target}.part", target)
        print(f"{key}: a thumbnail of {len(small)} bytes")
