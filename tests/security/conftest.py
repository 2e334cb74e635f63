"""What the escape and abuse tests stand on: canaries outside, a victim process, and functions made of `probes.py`."""

import contextlib
import json
import os
import secrets
import shlex
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import harness
import probes
from harness import Node, create, invoke, zipped

HERE = Path(__file__).resolve().parent
PROBES = (HERE / "probes.py").read_text()


def setuid(name, content, files):
    """A zip of `files` and one more that asks to be setuid."""
    import io
    import zipfile

    buffer = io.BytesIO(zipped(files))
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
        info.external_attr = (stat.S_IFREG | 0o6755) << 16
        archive.writestr(info, content)
    return buffer.getvalue()


def attack(lam, function, names, facts):
    """Runs probes inside."""
    answer, response = invoke(lam, function, {"probes": list(names), "facts": facts})
    assert "FunctionError" not in response, answer
    return answer


def control(names, facts, **options):
    """Runs the same probes where there is no wall."""
    done = subprocess.run(
        [sys.executable, HERE / "probes.py"],
        input=json.dumps({"probes": list(names), "facts": facts}),
        stdout=subprocess.PIPE, text=True, timeout=120, check=True, **options,
    )
    return json.loads(done.stdout)


def send(node, data, *, half_close=False, seconds=20):
    """Raw bytes to the node, and all that it answers until it closes or falls silent."""
    host, port = node.endpoint.removeprefix("http://").rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        try:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # It may have answered and closed in the middle.
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except (TimeoutError, ConnectionResetError):
            pass
    return answer


def signed(node, method, path, body=b"", headers=None, service="lambda"):
    """The headers of a request that the node's own key has signed."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest(method, node.endpoint + path, data=body, headers=dict(headers or {}))
    SigV4Auth(Credentials(*node.key()), service, "us-east-1").add_auth(request)
    return {**dict(request.headers.items()), "Host": node.endpoint.removeprefix("http://")}


def request_bytes(method, path, headers, body=b""):
    lines = ["%s %s HTTP/1.1" % (method, path)] + ["%s: %s" % item for item in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None


def send_signed(node, method, path, content=None):
    """A signed request with a JSON body: (status, answer)."""
    body = b"" if content is None else json.dumps(content).encode()
    headers = signed(node, method, path, body)
    headers.update({"Content-Length": str(len(body)), "Connection": "close"})
    answer = send(node, request_bytes(method, path, headers, body))
    return status_of(answer), answer


class Victim:
    def __init__(self, folder, canary):
        self.canary, self.path, self.abstract = canary, str(folder / (secrets.token_hex(4) + ".sock")), "hearth-victim-" + secrets.token_hex(8)
        self.process = subprocess.Popen(
            [sys.executable, HERE / "victim.py", canary, self.path, self.abstract],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        self.facts = {
            "victim_pid": self.process.pid, "socket_path": self.path, "abstract_socket": self.abstract,
            **json.loads(self.process.stdout.readline()),
        }

    def report(self):
        """How many signals reached it, and what its memory holds."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        signals, memory = self.process.stdout.readline().split()
        return int(signals), memory

    def stop(self):
        self.process.communicate(timeout=10)


@pytest.fixture(scope="session")
def open_folder():
    """A folder that every user of the host may enter: what is hidden in it is hidden by the wall alone."""
    with tempfile.TemporaryDirectory(prefix="hearth-security-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def environment_canary():
    return "environment-canary-" + secrets.token_hex(8)


@pytest.fixture(scope="session")
def fort(tmp_path_factory, environment_canary):
    """The node that is attacked, with a secret in its own environment."""
    with Node(tmp_path_factory.mktemp("fort"), environment={"SECRET_OF_THE_HOST": environment_canary}) as node:
        yield node


@pytest.fixture(scope="session")
def fort_lam(fort):
    return fort.client("lambda")


class UnprivilegedNode(Node):
    """A node that an unprivileged user runs: `nobody`, where the tests are root."""

    def __init__(self, folder, *options, **settings):
        super().__init__(folder / "data", *options, **settings)
        self.binary = folder / "hearth"
        shutil.copy2(harness.BINARY, self.binary)
        for path in (folder, self.binary):
            os.chmod(path, 0o755)

    def start(self):
        self.data.mkdir()
        os.chown(self.data, NOBODY, NOBODY)
        wrapper = self.binary.with_name("as-nobody")
        wrapper.write_text('#!/bin/sh\nexec setpriv --reuid %d --regid %d --clear-groups %s "$@"\n' % (NOBODY, NOBODY, shlex.quote(str(self.binary))))
        wrapper.chmod(0o755)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(harness, "BINARY", wrapper)
            return super().start()


NOBODY = 65534


@pytest.fixture(scope="session")
def siege(fort, fort_lam, open_folder, environment_canary):
    """Everything around the probes: (facts inside, facts outside, victim)."""
    with besieged(fort, fort_lam, open_folder, environment_canary) as siege:
        yield siege


@contextlib.contextmanager
def besieged(fort, fort_lam, open_folder, environment_canary):
    canary = "canary-" + secrets.token_hex(8)
    hidden = fort.data / "hidden"
    hidden.write_text(canary)
    hidden.chmod(0o600)
    shown = open_folder / (canary + ".txt")
    shown.write_text(canary)
    shown.chmod(0o644)

    # Another function, run once so that its code is unpacked somewhere.
    code = "def handler(event, context):\n    return open('secret.txt').read()\n"
    create(fort_lam, "siege-neighbour", zipped({"app.py": code, "secret.txt": canary}))
    assert invoke(fort_lam, "siege-neighbour")[0] == canary
    unpacked = [path for path in fort.data.rglob("secret.txt") if path.is_file() and path.read_text() == canary]
    assert unpacked, "the neighbour's unpacked code"

    setuid_id = open_folder / "id"
    shutil.copyfile("/usr/bin/id", setuid_id)
    setuid_id.chmod(0o4755)
    own_code = open_folder / "code.py"
    own_code.write_text("# code")
    try:
        handle = probes.handle_of(str(hidden))
    except OSError:
        handle = None

    victim = Victim(open_folder, canary)
    common = {
        "canary": canary, "data_canary": str(hidden), "code_canary": str(unpacked[0]), "tmp_canary": str(shown), "handle": handle,
        "credentials": str(fort.data / "credentials"), "node_pid": fort.process.pid, "environment_canary": environment_canary,
        "host_name": socket.gethostname(), **victim.facts,
    }
    system = ["/", "/usr", "/usr/bin", "/usr/lib", "/etc"]
    sandbox = [*system, "/var", "/var/task", "/var/runtime", "/var/lang", "/opt", "/dev", "/dev/shm", "/proc", "/proc/sys", "/sys", "/run", "/var/tmp"]
    inside = {
        **common, "system_folders": sandbox, "own_folders": sandbox, "own_code": "/var/task/probes.py", "mounts": ["/proc", "/tmp", "/usr", "/var/task", "/"],
        "read_only": ["/", "/usr", "/etc", "/var/task", "/var/runtime", "/opt", "/proc"], "stand_in_for_pid_1": 1, "setuid_id": "/var/task/id",
    }
    outside = {
        **common, "system_folders": system, "own_folders": [str(open_folder)], "own_code": str(own_code), "mounts": ["/tmp/read-only"],
        "read_only": ["/tmp/read-only"], "stand_in_for_pid_1": victim.process.pid, "setuid_id": str(setuid_id),
    }
    try:
        yield inside, outside, victim
    finally:
        victim.stop()
