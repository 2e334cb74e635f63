"""The script of examples/events, as it is: files, time and messages call functions."""

import os
import re
import struct
import subprocess
import zlib

from harness import ROOT, commands


def pixels(png):
    """(width, height, colour type, rows) of a PNG whose rows are written as they are."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", png[16:29])
    assert (depth, interlaced) == (8, 0)
    length = struct.unpack(">I", png[33:37])[0]
    assert png[37:41] == b"IDAT"
    assert struct.unpack(">I", png[41 + length : 45 + length])[0] == zlib.crc32(png[37 : 41 + length])
    raw = zlib.decompress(png[41 : 41 + length])
    stride = len(raw) // height
    rows = [raw[y * stride : (y + 1) * stride] for y in range(height)]
    assert all(row[0] == 0 for row in rows)
    return width, height, colour, [row[1:] for row in rows]


def test_files_time_and_messages_call_functions(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    environment = {
        "PATH": f"{commands(tmp_path / 'bin')}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "AWS_MAX_ATTEMPTS": "1",
    }
    with open(tmp_path / "log", "w+") as log:
        ended = subprocess.run(
            ["bash", ROOT / "examples/events/demo.sh", work], env=environment, stdout=log, stderr=log, timeout=400
        )
        log.seek(0)
        said = log.read()
    assert ended.returncode == 0, said
    for expected in [
        "picture.png: a thumbnail of ",
        "it is 20",
        "order 1: 19.00 EUR",
        "order 2: 105.00 EUR",
        f"All of it is in {work}",
    ]:
        assert expected in said, said
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    assert not re.search(r"\b(WARN|ERROR)\b|panicked", plain), said

    assert [path.name for path in (work / "thumbnails").iterdir()] == ["picture.png"]
    width, height, colour, rows = pixels((work / "thumbnails/picture.png").read_bytes())
    assert (width, height, colour) == (160, 120, 2)
    # The middle of the disc, and a corner of what is around it.
    assert tuple(rows[50][80 * 3 : 80 * 3 + 3]) == (255, 100, 20)
    assert tuple(rows[0][:3]) == (24, 28, 60)
