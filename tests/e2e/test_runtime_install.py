"""`hearth runtime install workerd`, from a registry that the test serves and npm's configuration names.

The package that is installed is small: its program says a version and does nothing else. How the engine itself works as
a node's is for `test_workers.py`.
"""

import base64
import contextlib
import hashlib
import http.server
import io
import json
import os
import platform
import shutil
import struct
import subprocess
import tarfile
import threading

import pytest

from harness import BINARY

PACKAGE, VERSION, DATE = "@cloudflare/workerd-linux-64", "1.20260131.0", "2026-01-31"
pytestmark = pytest.mark.skipif(not shutil.which("npm") or platform.machine() != "x86_64", reason="needs npm, and the processor that its program is for")


def program(says):
    """A program of Linux that writes this and ends."""
    code = b"\xb8\x01\0\0\0\xbf\x01\0\0\0\x48\x8d\x35\x10\0\0\0\xba" + struct.pack("<I", len(says)) + b"\x0f\x05\xb8\x3c\0\0\0\x31\xff\x0f\x05" + says
    base, size = 0x400000, 120 + len(code)
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, base + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 4096) + code


@pytest.fixture(scope="module")
def archive():
    """The package, as a registry has it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        manifest = json.dumps({"name": PACKAGE, "version": VERSION}).encode()
        for name, content in (("package.json", manifest), ("bin/workerd", program(b"workerd %s\n" % DATE.encode()))):
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def sri(archive):
    return "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()


@contextlib.contextmanager
def registry(archive, integrity):
    class Registry(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            if self.path.lower().replace("%2f", "/") == f"/{PACKAGE}":
                dist = {"tarball": f"http://127.0.0.1:{self.server.server_port}/workerd.tgz", **({"integrity": integrity} if integrity else {})}
                manifest = {"name": PACKAGE, "version": VERSION, "dist": dist}
                body = json.dumps({"name": PACKAGE, "dist-tags": {"latest": VERSION}, "versions": {VERSION: manifest}}).encode()
            elif self.path == "/workerd.tgz":
                body = archive
            else:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def install(data, tmp_path, url, *options):
    # A home of the test's own: no file of the user's says another registry, and nothing is in npm's cache.
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    (home / ".npmrc").write_text(f"registry={url}\nfetch-retries=0\n")
    environment = {key: value for key, value in os.environ.items() if not key.lower().startswith("npm_")}
    return subprocess.run(
        [BINARY, "runtime", "install", "workerd", "--data", data, *options],
        capture_output=True, text=True, timeout=120, env=environment | {"HOME": str(home)},
    )


def test_the_engine_is_installed_and_found(tmp_path, archive):
    data = tmp_path / "data"
    with registry(archive, sri(archive)) as url:
        done = install(data, tmp_path, url)
        assert done.returncode == 0, done.stderr
        missing = install(data, tmp_path, url, "--version", "0.0.1")
    assert missing.returncode == 1 and "0.0.1" in missing.stderr, missing.stderr
    place = data / "installed/workerd"
    assert done.stdout.strip() == f"workerd {DATE} is {place}" and VERSION in done.stderr
    assert [path.name for path in place.parent.iterdir()] == ["workerd"]
    shown = subprocess.run([BINARY, "doctor", "--json", "--data", data], capture_output=True, text=True, timeout=120, env={"PATH": "/usr/bin:/bin"})
    found = [each for each in json.loads(shown.stdout)["runtimes"] if each["runtime"] == "worker"]
    assert found == [{"runtime": "worker", "version": DATE, "interpreter": str(place)}], shown.stdout


def test_what_is_not_what_the_registry_tells_of_is_not_installed(tmp_path, archive):
    for integrity in ("sha512-" + base64.b64encode(bytes(64)).decode(), None):
        with registry(archive, integrity) as url:
            refused = install(tmp_path / "data", tmp_path, url)
        assert refused.returncode == 1 and "integrity" in refused.stderr.lower(), refused.stderr
        assert not list((tmp_path / "data/installed").iterdir())


def test_a_registry_that_does_not_answer_is_said(tmp_path):
    refused = install(tmp_path / "data", tmp_path, "http://127.0.0.1:9/")
    assert refused.returncode == 1 and "npm view failed" in refused.stderr, refused.stderr
