"""A node starts, stops, is killed, and leaves nothing behind or out."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from harness import BINARY, ECHO, Node, create, invoke, python_zip, wait_until
from workers import MODULES, with_engine


def run_up(data, *options, **settings):
    return subprocess.run(
        [BINARY, "up", "--data", data, "--listen", "127.0.0.1:0", *options],
        capture_output=True, text=True, timeout=300, **settings,
    )


def descendants(pid):
    """All processes below `pid`, by the kernel's word."""
    found, todo = set(), [pid]
    while todo:
        for task in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
            try:
                children = [int(child) for child in task.read_text().split()]
            except OSError:
                continue
            found.update(children)
            todo.extend(children)
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def cgroups():
    return {str(path) for path in Path("/sys/fs/cgroup").rglob("*hearth*") if path.is_dir()}


def mounts():
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "hearth" in line]


@pytest.mark.alone
def test_up_once_shows_that_it_works(tmp_path):
    before = cgroups()
    has_engine = (MODULES / ".bin/workerd").exists()
    shown = run_up(tmp_path / "data", "--once", env=os.environ | with_engine() if has_engine else None)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    rows = [line.split() for line in shown.stdout.splitlines()]
    samples = ["python-hello", "node-hello", "node-stream", "rust-hello", "web-hello", "wasm-hello", "wasm-hello-reuse"]
    for sample in samples + ["worker-hello"] * has_engine:
        row = next(row for row in rows if row and row[0] == sample)
        wall = {"wasm": "wasm", "worker": "isolate"}.get(sample.split("-")[0], "process")
        assert row[2] == wall and row[-1] == "ok", row
        assert float(row[3]) > 0 and float(row[4]) > 0, row
    assert "http://127.0.0.1:" in shown.stdout and str(tmp_path / "data/credentials") in shown.stdout
    assert "WARN" not in shown.stderr and "ERROR" not in shown.stderr, shown.stderr
    again = run_up(tmp_path / "data", "--once")
    assert again.returncode == 0, "a second time, on what the first left"
    assert "worker-hello is left out: workerd is not installed" in again.stderr
    assert cgroups() <= before and not mounts()


def test_wrong_arguments(tmp_path):
    for bad in (["--listen", "nowhere"], ["--account", "12"], ["--nonsense"], ["--memory-mib", "1"]):
        result = run_up(tmp_path / "data", "--once", *bad)
        assert result.returncode in (1, 2) and result.stderr, bad
    file = tmp_path / "file"
    file.write_text("x")
    assert run_up(file, "--once").returncode == 1
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = subprocess.run([BINARY, "up", "--data", tmp_path / "d", "--listen", address], capture_output=True, text=True)
        assert result.returncode == 1 and address in result.stderr


def test_a_data_folder_has_one_node(new_node, tmp_path):
    node = new_node()
    second = run_up(node.data, "--no-samples", "--once")
    assert second.returncode == 1 and str(node.data) in second.stderr, second.stderr
    assert node.client("lambda").list_functions()["Functions"] == []


def test_ctrl_c_lets_invocations_finish(new_node):
    node = new_node()
    lam = node.client("lambda")
    create(lam, "slow", "import time\n\ndef handler(e, c):\n    time.sleep(2)\n    return 'finished'\n", Timeout=10)
    results = []
    thread = threading.Thread(target=lambda: results.append(invoke(lam, "slow")[0]))
    thread.start()
    wait_until(lambda: "START RequestId" in node.hearth("logs", "slow", check=False).stdout, "the invocation's start")
    children = descendants(node.process.pid)
    assert children
    node.process.send_signal(signal.SIGINT)
    thread.join()
    assert results == ["finished"]
    assert node.process.wait(60) == 0
    assert not [pid for pid in children if alive(pid)]
    assert not mounts()


@pytest.mark.alone
def test_kill_9_leaves_no_process_and_no_cgroup(new_node):
    before = cgroups()
    node = new_node()
    lam = node.client("lambda")
    create(lam, "f", "import subprocess\nsubprocess.Popen(['sleep', '1000'])\n" + ECHO)
    invoke(lam, "f", 1)
    children = descendants(node.process.pid)
    assert len(children) >= 4, "launcher, pid 1, the runtime and its child"
    node.kill()
    wait_until(lambda: not [pid for pid in children if alive(pid)], "the end of every process")
    node.start()
    assert invoke(node.client("lambda"), "f", 2)[0] == 2
    node.stop()
    assert cgroups() <= before


def test_kill_9_loses_nothing_that_was_answered(new_node):
    """Control operations in a loop; the node is killed in the middle, again and again."""
    node = new_node()
    answered, code = {}, 0
    for round_ in range(6):
        lam = node.client("lambda", connect_timeout=5)
        stop = threading.Timer(0.4 + 0.23 * round_, node.kill)
        stop.start()
        try:
            while True:
                code += 1
                name = f"f{code % 5}"
                package = python_zip(f"def handler(e, c):\n    return {code}\n")
                if name in answered:
                    # What is in flight when the node dies may or may not be there: only an answer is a promise.
                    answered[name] = (answered[name][0], code)
                    sha = lam.update_function_code(FunctionName=name, ZipFile=package)["CodeSha256"]
                    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 200})
                else:
                    sha = create(lam, name, package, wait=False)["CodeSha256"]
                    answered[name] = (sha, None)
                    lam.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 200})
                answered[name] = (sha, None)
        except Exception as error:
            assert not stop.is_alive() or "botocore" in type(error).__module__, error
        stop.join()
        node.process.wait(60)
        node.start()
        lam = node.client("lambda")
        for name, (sha, in_flight) in answered.items():
            lam.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 200})
            lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 200})
            stored = lam.get_function_configuration(FunctionName=name)["CodeSha256"]
            if in_flight is None:
                assert stored == sha, f"{name} lost an answered update"
            answered[name] = (stored, None)
            payload, answer = invoke(lam, name)
            assert "FunctionError" not in answer and isinstance(payload, int)


def test_a_damaged_package_on_the_worker_is_found_and_made_again(new_node):
    node = new_node()
    create(node.client("lambda"), "f", "def handler(e, c):\n    return 'right'\n")
    assert invoke(node.client("lambda"), "f")[0] == "right"
    node.stop()
    [damaged] = [path for path in node.data.rglob("app.py")]
    damaged.chmod(0o644)
    damaged.write_text("def handler(e, c):\n    return 'wrong'\n")
    node.expected_log = ["WARN.*(damaged|differs|unpack)"]
    node.start()
    assert invoke(node.client("lambda"), "f")[0] == "right"


def test_a_full_disk_gives_errors_and_recovers(tmp_path):
    import pytest

    if os.geteuid() != 0:
        pytest.skip("a small file system can be mounted only by root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], check=True)
    try:
        with Node(disk / "data", expected_log=[r"(?i)space|full"]) as node:
            lam = node.client("lambda")
            create(lam, "before")
            filler = disk / "filler"
            with open(filler, "wb") as file:
                try:
                    while True:
                        file.write(b"x" * 65536)
                        file.flush()
                except OSError:
                    pass
            from harness import error_of

            code, status, message = error_of(create, lam, "during", os.urandom(100_000) and python_zip("x = 1\n" + "# " + os.urandom(60_000).hex()))
            assert status >= 500, (code, message)
            assert invoke(lam, "before", 1)[0] == 1
            filler.unlink()
            create(lam, "after")
            assert invoke(lam, "after", 2)[0] == 2
            names = [f["FunctionName"] for f in lam.list_functions()["Functions"]]
            assert names == ["after", "before"]
    finally:
        subprocess.run(["umount", disk], check=True)
