"""Ways out of the wall: each is refused inside, and does work outside (the control)."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

import probes
from conftest import PROBES, UnprivilegedNode, attack, besieged, control, setuid
from harness import create, invoke, zipped

# Those that take a target are in the network's tests.
KERNEL = [name for name in probes.PROBES if name not in ("connect", "connect_bound", "datagram")]

# include/uapi/linux/capability.h
CAPABILITIES = {
    "CAP_DAC_OVERRIDE": 1, "CAP_DAC_READ_SEARCH": 2, "CAP_FOWNER": 3, "CAP_KILL": 5, "CAP_SETUID": 7, "CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13,
    "CAP_SYS_MODULE": 16, "CAP_SYS_RAWIO": 17, "CAP_SYS_CHROOT": 18, "CAP_SYS_PTRACE": 19, "CAP_SYS_PACCT": 20, "CAP_SYS_ADMIN": 21,
    "CAP_SYS_BOOT": 22, "CAP_SYS_NICE": 23, "CAP_SYS_TIME": 25, "CAP_MKNOD": 27, "CAP_SETFCAP": 31, "CAP_SYSLOG": 34, "CAP_PERFMON": 38, "CAP_BPF": 39,
}


def missing_capabilities(needs):
    status = Path("/proc/self/status").read_text()
    effective = int(next(line for line in status.splitlines() if line.startswith("CapEff")).split()[1], 16)
    return [name for name in needs if not effective >> CAPABILITIES[name] & 1]


@pytest.fixture(scope="module")
def inside(fort_lam, siege):
    """All probes in one environment, one after the other."""
    name = "siege-probes"
    create(fort_lam, name, setuid("id", Path("/usr/bin/id").read_bytes(), {"probes.py": PROBES}), Handler="probes.handler", Timeout=300, MemorySize=512)
    return attack(fort_lam, name, KERNEL, siege[0])


@pytest.fixture(scope="module")
def outside(siege):
    # With a descriptor, a standard stream and an environment variable to inherit.
    environment = {**os.environ, "SECRET_OF_THE_HOST": siege[0]["environment_canary"]}
    with open("/etc/passwd") as file:
        return control(KERNEL, siege[1], pass_fds=[file.fileno()], env=environment, stderr=file)


@pytest.mark.parametrize("name", KERNEL)
def test_the_way_is_shut_inside_and_open_outside(name, inside, outside):
    got = inside[name]
    assert got["outcome"] in ("refused", "absent"), f"{name} inside: {got}"
    shown = outside[name]
    if shown["outcome"] == "succeeded":
        return
    if shown["outcome"] == "absent":
        pytest.skip(f"no control: this host does not have it ({shown['detail']})")
    missing = missing_capabilities(probes.PROBES[name].needs)
    if missing:
        pytest.skip(f"no control: the tests run without {', '.join(missing)}")
    pytest.fail(f"the control of {name} does not work: {shown}")


@pytest.fixture(scope="module")
def inside_unprivileged(environment_canary):
    """All probes once more, in a function of a node that `nobody` runs: its sandboxes are its own user's, and it has no cgroups."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs root to be somebody else; as an unprivileged user, the other tests are this one")
    with tempfile.TemporaryDirectory(prefix="hearth-security-") as folder:
        folder = Path(folder)
        with UnprivilegedNode(folder, "--allow-weak-walls", environment={"SECRET_OF_THE_HOST": environment_canary}, expected_log=["weak|cgroup|no outgoing network"]) as node:
            lam = node.client("lambda")
            with besieged(node, lam, folder, environment_canary) as (facts, _, _):
                create(lam, "siege-probes", setuid("id", Path("/usr/bin/id").read_bytes(), {"probes.py": PROBES}), Handler="probes.handler", Timeout=300, MemorySize=512)
                yield attack(lam, "siege-probes", KERNEL, facts)


@pytest.mark.parametrize("name", KERNEL)
def test_the_way_is_shut_by_an_unprivileged_node_too(name, inside_unprivileged):
    assert inside_unprivileged[name]["outcome"] in ("refused", "absent"), inside_unprivileged[name]


def test_the_host_felt_nothing(inside, siege):
    """What the refusals claim, seen from the victim: no signal came, and its memory is as it was."""
    facts, _, victim = siege
    before, _ = victim.report()
    assert control(["signal_host_process"], siege[1])["signal_host_process"]["outcome"] == "succeeded"
    after, memory = victim.report()
    assert after == before + 1
    assert memory == facts["canary"]


WORKS = """
import concurrent.futures, mmap, os, socket, subprocess, tempfile

def handler(event, context):
    done = {}
    descriptor = os.memfd_create("program")
    with open("/bin/echo", "rb") as file:
        os.write(descriptor, file.read())
    done["a program in memory"] = subprocess.run(["/proc/self/fd/%d" % descriptor, "ran"], pass_fds=[descriptor], stdout=subprocess.PIPE).stdout == b"ran\\n"
    done["executable memory"] = len(mmap.mmap(-1, 4096, prot=7)) == 4096
    done["a shell"] = subprocess.run("id -u | cat", shell=True, stdout=subprocess.PIPE).stdout == b"993\\n"
    left, right = socket.socketpair()
    left.send(b"x")
    done["a pair of sockets"] = right.recv(1) == b"x"
    with tempfile.TemporaryDirectory() as folder:
        os.mkfifo(folder + "/pipe")
        os.symlink("pipe", folder + "/link")
        done["files in /tmp"] = sorted(os.listdir(folder)) == ["link", "pipe"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        done["threads"] = list(pool.map(abs, range(8))) == list(range(8))
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        done["its own loopback"] = True
    done["interfaces"] = "lo" in [name for _, name in socket.if_nameindex()]
    done["random numbers"] = len(os.urandom(16)) == 16
    return [what for what, works in done.items() if not works]
"""


def test_the_wall_leaves_functions_what_they_need(fort_lam):
    create(fort_lam, "siege-allowed", zipped({"app.py": WORKS}), MemorySize=256, Timeout=30)
    assert invoke(fort_lam, "siege-allowed")[0] == []
