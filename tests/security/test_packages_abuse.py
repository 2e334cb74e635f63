"""Hostile packages: refused when the function is created, and nothing of them is left, inside the data folder or outside."""

import base64
import functools
import io
import os
import stat
import struct
import warnings
import zipfile
from urllib.parse import quote

import pytest

from conftest import HERE, send_signed
from harness import ECHO, PYTHON, ROLE, create, error_of, invoke

REFUSALS = {"InvalidParameterValueException", "InvalidZipFileException", "RequestEntityTooLargeException", "CodeStorageExceededException"}


def archive(*entries, good=True):
    """A zip of (name, content, mode) entries, behind a good one."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        # Entries of the same name are meant.
        warnings.simplefilter("ignore")
        if good:
            file.writestr("app.py", ECHO)
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(info, content)
    return buffer.getvalue()


FILE, LINK = stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777


def bomb():
    """300 MB of nothing in 300 KB."""
    return archive(("zeros", bytes(300 * 1024 * 1024), FILE))


def overlapping():
    """A hundred entries that all are the same few bytes: 300 MB out of 3."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("app.py", ECHO)
        file.writestr("zeros-000", bytes(3 * 1024 * 1024))
        first = file.filelist[-1]
        for n in range(1, 100):
            entry = zipfile.ZipInfo("zeros-%03d" % n, first.date_time)
            for field in ("compress_type", "CRC", "compress_size", "file_size", "header_offset", "external_attr", "flag_bits"):
                setattr(entry, field, getattr(first, field))
            file.filelist.append(entry)
            file.NameToInfo[entry.filename] = entry
    return buffer.getvalue()


def many_files():
    """More empty files than a package may hold, written by hand: zipfile takes its time."""
    count, directory, data = 140_000, [], []
    for n in range(count):
        name = b"%06d" % n
        data.append(b"PK\3\4" + struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0) + name)
        attributes = FILE << 16
        directory.append(b"PK\1\2" + struct.pack("<HHHHHHIIIHHHHHII", 0x314, 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0, 0, 0, 0, attributes, n * 36) + name)
    listed = b"".join(directory)
    at = count * 36
    end = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, len(listed), at)
    end += b"PK\6\7" + struct.pack("<IQI", 0, at + len(listed), 1)
    end += b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, len(listed), at, 0)
    return b"".join(data) + listed + end


def lying_size():
    """The directory says 10 bytes; 10 MB come out."""
    data = archive(("big", bytes(10 * 1024 * 1024), FILE))
    return data.replace(struct.pack("<I", 10 * 1024 * 1024), struct.pack("<I", 10))


def two_names():
    """One name before the data and another, a harmless one, in the directory."""
    data = archive(("aaaaaaaaaaaaaaa", b"x", FILE))
    return data.replace(b"aaaaaaaaaaaaaaa", b"../../../../esc", 1)


def wrong_checksum():
    data = archive(("data", b"0123456789", FILE))
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        crc = struct.pack("<I", file.getinfo("data").CRC)
    return data.replace(crc, struct.pack("<I", 1))


def encrypted():
    data = bytearray(archive(("data", b"0123456789", FILE)))
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.rfind(signature) + offset] |= 1
    return bytes(data)


def unknown_method():
    data = bytearray(archive(("data", b"0123456789", FILE)))
    for signature, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        data[data.rfind(signature) + offset] = 99
    return bytes(data)


PACKAGES = {
    "parent": lambda: archive(("../escaped", b"x", FILE)),
    "parents below": lambda: archive(("a/b/../../../../../../escaped", b"x", FILE)),
    "backslashes": lambda: archive(("..\\..\\escaped", b"x", FILE)),
    "absolute": lambda: archive(("/tmp/escaped", b"x", FILE)),
    "drive": lambda: archive(("C:/escaped", b"x", FILE)),
    "link out": lambda: archive(("out", b"/etc/passwd", LINK)),
    "link up": lambda: archive(("out", b"../../../../etc/passwd", LINK)),
    "link to a folder outside, and a file through it": lambda: archive(("out", b"/tmp", LINK), ("out/escaped", b"x", FILE)),
    "two links that lead out together": lambda: archive(("a/b", b".", LINK), ("a/c", b"b/../..", LINK), ("d", b"a/c/../..", LINK)),
    "link and a file of the same name": lambda: archive(("out", b"/tmp/escaped", LINK), ("out", b"x", FILE)),
    "link that is a loop": lambda: archive(("out", b"out", LINK)),
    "fifo": lambda: archive(("fifo", b"", stat.S_IFIFO | 0o644)),
    "socket": lambda: archive(("socket", b"", stat.S_IFSOCK | 0o644)),
    "character device": lambda: archive(("zero", b"", stat.S_IFCHR | 0o666)),
    "block device": lambda: archive(("disk", b"", stat.S_IFBLK | 0o666)),
    "twice": lambda: archive(("app.py", b"other", FILE)),
    "file and folder": lambda: archive(("a", b"x", FILE), ("a/b", b"x", FILE)),
    "line feed": lambda: archive(("esc\naped", b"x", FILE)),
    "long name": lambda: archive(("a" * 300, b"x", FILE)),
    "deep": lambda: archive(("a/" * 3000 + "b", b"x", FILE)),
    "many files": many_files,
    "bomb": bomb,
    "overlapping": overlapping,
    "lying size": lying_size,
    "wrong checksum": wrong_checksum,
    "encrypted": encrypted,
    "unknown method": unknown_method,
    "empty": lambda: archive(good=False),
    "cut": lambda: archive(("data", os.urandom(1000), FILE))[:-60],
    "no zip": lambda: b"#!/bin/sh\necho no zip\n",
    "nothing": lambda: b"PK\5\6" + bytes(18),
    "endless directory": lambda: b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 0xFFFE, 0xFFFE, 0xFFFFFFF0, 0, 0),
}


@functools.lru_cache(maxsize=None)
def package_of(kind):
    return PACKAGES[kind]()


def everything(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if "run" not in path.relative_to(folder).parts[:1]}


@pytest.mark.parametrize("kind", PACKAGES)
def test_a_hostile_package_is_refused(fort, fort_lam, kind):
    package = package_of(kind)
    name = "package-" + "".join(c if c.isalnum() else "-" for c in kind)
    before = everything(fort.data)
    request = {"FunctionName": name, "Runtime": PYTHON, "Role": ROLE, "Handler": "app.handler", "Code": {"ZipFile": package}}
    code, status, message = error_of(fort_lam.create_function, **request)
    assert code in REFUSALS and 400 <= status < 500, (code, status, message)
    assert str(fort.data) not in message
    assert error_of(fort_lam.get_function, FunctionName=name)[0] == "ResourceNotFoundException"
    left = {path for path in everything(fort.data) - before if not path.startswith(("hearth.db", "logs"))}
    assert not left
    for place in (fort.data.parent / "escaped", fort.data / "escaped", HERE / "escaped"):
        assert not place.exists()
    assert not os.path.exists("/tmp/escaped")


def test_a_package_of_two_names_goes_by_one_and_stays_inside(fort, fort_lam):
    """The directory's name counts, or the package is refused; the other one leads nowhere."""
    request = {"FunctionName": "package-two-names", "Runtime": PYTHON, "Role": ROLE, "Handler": "app.handler", "Code": {"ZipFile": two_names()}}
    try:
        fort_lam.create_function(**request)
    except fort_lam.exceptions.InvalidParameterValueException:
        pass
    else:
        fort_lam.get_waiter("function_active_v2").wait(FunctionName="package-two-names", WaiterConfig={"Delay": 1})
        assert invoke(fort_lam, "package-two-names", 1)[0] == 1
    assert not [path for path in fort.data.rglob("esc") if path.is_file()]
    assert not any(os.path.exists(os.path.join(place, "esc")) for place in ("/", "/tmp", fort.data.parent, fort.data.parent.parent))


def test_a_bad_update_leaves_the_function_as_it_was(fort_lam):
    create(fort_lam, "package-update")
    for kind in ("parent", "link out", "bomb", "no zip"):
        code, _, _ = error_of(fort_lam.update_function_code, FunctionName="package-update", ZipFile=package_of(kind))
        assert code in REFUSALS, kind
        assert invoke(fort_lam, "package-update", kind)[0] == kind


def test_hostile_layers_are_refused_too(fort_lam):
    for kind in ("parent", "absolute", "link out", "bomb"):
        code, _, _ = error_of(fort_lam.publish_layer_version, LayerName="hostile", Content={"ZipFile": package_of(kind)})
        assert code in REFUSALS, kind
    assert fort_lam.list_layer_versions(LayerName="hostile")["LayerVersions"] == []


@pytest.mark.parametrize("value", ["../../escape", "a/b", "..", ".", "a\0b", "a" * 200, "%2e%2e%2fescape", "a b", "\u202e"])
def test_names_are_no_paths(fort, fort_lam, value):
    """Names of functions, layers and buckets come near names of files. Sent raw: clients would refuse them themselves."""
    code = {"S3Bucket": value, "S3Key": value}
    body = {"FunctionName": value, "Runtime": PYTHON, "Role": ROLE, "Handler": "app.handler", "Code": code}
    before = everything(fort.data)
    for method, path, content in (
        ("POST", "/2015-03-31/functions", body),
        ("POST", "/2015-03-31/functions", {**body, "FunctionName": "package-names"}),
        ("POST", "/2018-10-31/layers/%s/versions" % quote(value, safe=""), {"Content": {"ZipFile": base64.b64encode(archive()).decode()}}),
        ("GET", "/2015-03-31/functions/%s" % quote(value, safe=""), None),
        ("DELETE", "/2015-03-31/functions/%s" % quote(value, safe=""), None),
    ):
        status, answer = send_signed(fort, method, path, content)
        assert 400 <= status < 500, (method, path, status, answer)
    assert {path for path in everything(fort.data) - before if not path.startswith("hearth.db")} == set()
