"""Functions that take all they can: each stays within its bounds, and its neighbour answers as if nothing were."""

import contextlib
import json
import shutil
import threading
from pathlib import Path

import pytest

from harness import Node, create, invoke, zipped

GREEDY = """
import ctypes, json, os, resource, signal, sys, tempfile, threading, time

def fork_until_refused(event):
    children = []
    try:
        while len(children) < 100_000:
            # Small ones: the bound on processes must be met before the one on memory.
            children.append(os.posix_spawn("/bin/sleep", ["sleep", "3600"], {}))
    except OSError as error:
        reason = error.errno
    for child in children:
        os.kill(child, signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)
    return [len(children), reason]

def fork_bomb(event):
    while True:
        try:
            os.fork()
        except OSError:
            pass

def thread_bomb(event):
    started = 0
    try:
        while started < 100_000:
            threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
            started += 1
    except RuntimeError:
        pass
    os._exit(3 if started < 2000 else 4)

def take_memory(event):
    held = []
    while True:
        held.append(b"x" * (1 << 20))

def take_memory_in_children(event):
    while True:
        if os.fork() == 0:
            take_memory(event)

def take_memory_in_files(event):
    descriptors = []
    while True:
        descriptors.append(os.memfd_create("x"))
        os.write(descriptors[-1], b"x" * (1 << 20))

def take_descriptors(event):
    held = []
    try:
        while len(held) < 100_000:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        return [len(held), error.errno]
    finally:
        for descriptor in held:
            os.close(descriptor)

def fill_tmp(event):
    written = 0
    try:
        with open("/tmp/full", "wb", buffering=0) as file:
            while written < 1 << 34:
                written += file.write(b"x" * (1 << 20))
    except OSError as error:
        return [written, error.errno]
    finally:
        os.unlink("/tmp/full")

def fill_inodes(event):
    made = 0
    os.mkdir("/tmp/many")
    try:
        while made < 10_000_000:
            os.close(os.open("/tmp/many/%d" % made, os.O_CREAT | os.O_WRONLY))
            made += 1
    except OSError as error:
        return [made, error.errno]

def flood_log(event):
    line = b"x" * 1023 + b"\\n"
    for _ in range(event["mib"]):
        os.write(1, line * 1024)
    # And one line without an end, and bytes that are no text.
    os.write(2, b"y" * (1 << 20))
    os.write(2, bytes(range(256)) * 4096)
    return "flooded"

def loop(event):
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    while True:
        pass

def respond(event):
    return "x" * event["bytes"]

def handler(event, context):
    return globals()[event["do"]](event)
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    folder = tmp_path_factory.mktemp("greedy")
    (folder / "hearth.toml").write_text("[logs]\nmib_per_function = 2\n")
    with Node(folder) as node:
        yield node


@pytest.fixture(scope="module")
def lam(node):
    lam = node.client("lambda")
    create(lam, "neighbour", Timeout=30)
    create(lam, "greedy", GREEDY, Timeout=30, MemorySize=256)
    return lam


@contextlib.contextmanager
def neighbour(node):
    """The neighbour is invoked without pause, and every answer must be right."""
    lam, stop, answers, wrong = node.client("lambda"), threading.Event(), [0], []

    def call():
        while not stop.is_set() or not answers[0]:
            try:
                payload, answer = invoke(lam, "neighbour", answers[0])
                if "FunctionError" in answer or payload != answers[0]:
                    wrong.append(payload)
            except Exception as error:
                wrong.append(repr(error))
            answers[0] += 1

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not wrong, wrong[:3]


def greedy(lam, function="greedy", **event):
    payload, answer = invoke(lam, function, event)
    return payload, answer.get("FunctionError")


def fine(lam, function="greedy"):
    """The next invocation works."""
    assert greedy(lam, function, do="respond", bytes=3) == ("xxx", None)


def test_processes_are_bounded(node, lam):
    create(lam, "processes", GREEDY, Timeout=60, MemorySize=3008)
    with neighbour(node):
        payload, error = greedy(lam, "processes", do="fork_until_refused")
    assert error is None, payload
    count, reason = payload
    assert 100 < count <= 1024 and reason == 11, (count, reason)  # EAGAIN
    fine(lam, "processes")


def test_a_fork_bomb(node, lam):
    """Its node must stop in time at the end, too: hundreds of killed processes once took minutes to die in a small share."""
    create(lam, "fork-bomb", GREEDY, Timeout=3, MemorySize=128)
    with neighbour(node):
        payload, error = greedy(lam, "fork-bomb", do="fork_bomb")
    assert error == "Unhandled"
    # Its processes may take the memory before the time is over.
    assert payload["errorType"] in ("Sandbox.Timedout", "Runtime.OutOfMemory", "Runtime.ExitError"), payload
    fine(lam, "fork-bomb")


def test_a_thread_bomb(node, lam):
    with neighbour(node):
        payload, error = greedy(lam, do="thread_bomb")
    assert error == "Unhandled"
    assert payload["errorType"] in ("Runtime.ExitError", "Runtime.OutOfMemory")
    assert "exit status 4" not in payload["errorMessage"]
    fine(lam)


@pytest.mark.parametrize("way", ["take_memory", "take_memory_in_files"])
def test_memory(node, lam, way):
    with neighbour(node):
        payload, error = greedy(lam, do=way)
    assert error == "Unhandled"
    assert payload["errorType"] == "Runtime.OutOfMemory", payload
    fine(lam)


def test_memory_of_children(node, lam):
    create(lam, "memory-of-children", GREEDY, Timeout=4, MemorySize=128)
    with neighbour(node):
        payload, error = greedy(lam, "memory-of-children", do="take_memory_in_children")
    assert error == "Unhandled"
    assert payload["errorType"] in ("Runtime.OutOfMemory", "Sandbox.Timedout"), payload
    fine(lam, "memory-of-children")


def test_descriptors(node, lam):
    with neighbour(node):
        (count, reason), error = greedy(lam, do="take_descriptors")
    assert error is None
    assert 900 < count < 1024 and reason == 24, (count, reason)  # EMFILE
    fine(lam)


def test_tmp_is_as_large_as_configured(node, lam):
    create(lam, "tmp", GREEDY, Timeout=60, MemorySize=1769, EphemeralStorage={"Size": 512})
    with neighbour(node):
        (written, reason), error = greedy(lam, "tmp", do="fill_tmp")
        assert error is None
        assert written <= 512 << 20 and written > 500 << 20 and reason == 28, (written, reason)  # ENOSPC
        (made, reason), error = greedy(lam, "tmp", do="fill_inodes")
    assert error is None
    assert 1000 < made <= 512 * 64 and reason == 28, (made, reason)
    fine(lam, "tmp")


def test_a_log_flood_is_bounded_on_disk(node, lam):
    with neighbour(node):
        payload, error = greedy(lam, do="flood_log", mib=24)
    assert (payload, error) == ("flooded", None)
    fine(lam)
    size = sum(path.stat().st_size for path in (node.data / "logs").rglob("*") if path.is_file())
    # The bound of 2 MiB, for each of the functions here, and what one more file may hold before it is cut.
    assert 0 < size <= 8 << 20, size


def test_an_endless_loop(node, lam):
    create(lam, "loop", GREEDY, Timeout=1)
    with neighbour(node):
        payload, error = greedy(lam, "loop", do="loop")
    assert error == "Unhandled"
    assert payload["errorType"] == "Sandbox.Timedout"
    assert payload["errorMessage"].endswith("Task timed out after 1.00 seconds")
    fine(lam, "loop")


def test_a_huge_response(node, lam):
    create(lam, "huge", GREEDY, Timeout=30, MemorySize=1769)
    with neighbour(node):
        payload, error = greedy(lam, "huge", do="respond", bytes=6 << 20)
        assert error is None and len(payload) == 6 << 20
        for size in ((6 << 20) + 200, 80 << 20):
            payload, error = greedy(lam, "huge", do="respond", bytes=size)
            assert error == "Unhandled"
            assert payload["errorType"] == "Function.ResponseSizeTooLarge", payload
            fine(lam, "huge")


def test_an_init_that_never_ends_or_dies(node, lam):
    for code, kinds in (
        ("import os\nos.kill(os.getpid(), 11)\n", {"Runtime.ExitError"}),
        ("x = []\nwhile True: x.append(b'x' * (1 << 20))\n", {"Runtime.OutOfMemory"}),
        ("def handler(", {"Runtime.UserCodeSyntaxError"}),
    ):
        name = "init-%d" % len(code)
        create(lam, name, code, Timeout=5)
        with neighbour(node):
            payload, answer = invoke(lam, name, 1)
        assert answer.get("FunctionError") == "Unhandled"
        assert payload["errorType"] in kinds, payload
