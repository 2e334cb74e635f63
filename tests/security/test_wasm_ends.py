"""Every bad end of a component: its own function's error, and nobody else's."""

import contextlib
import os
import re
import threading

import pytest

from harness import invoke, wait_until
from wasm import PROCESSES, ask, body_of, component, create_component, failure, told, wasm_node


@pytest.fixture(scope="module", params=PROCESSES)
def node(tmp_path_factory, request):
    with wasm_node(tmp_path_factory.mktemp("wasm"), request.param) as node:
        lam = node.client("lambda")
        create_component(lam, "neighbour", "hello")
        # What ends by itself has time for it, also on a busy machine.
        for suffix, seconds in (("", 30), ("-in-haste", 1)):
            create_component(lam, f"abuse{suffix}", Timeout=seconds, MemorySize=128)
            create_component(lam, f"reused{suffix}", Timeout=seconds, MemorySize=128, Tags={"hearth:wasm-reuse": "100"})
        yield node


@pytest.fixture
def lam(node):
    return node.client("lambda")


@contextlib.contextmanager
def neighbour(node):
    """Calls a good function all the while: every answer must be right."""
    stop, wrong, answers = threading.Event(), [], [0]

    def call():
        client = node.client("lambda")
        while not stop.is_set():
            payload, answer = ask(client, "neighbour", "/")
            if "FunctionError" in answer or body_of(payload) != b"Hello, World!\n":
                wrong.append(payload)
            answers[0] += 1

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()
    assert not wrong, wrong[:3]


def fine(lam, function="abuse"):
    """The next request works."""
    assert told(lam, function, "/sleep?ms=0") == {"slept": ""}


ENDS = {
    "/trap": ("Runtime.ExitError", "unreachable"),
    "/panic": ("Runtime.ExitError", ""),
    "/loop": ("Sandbox.Timedout", "1.00 seconds"),
    "/loop-in-host": ("Sandbox.Timedout", "1.00 seconds"),
    "/sleep?ms=600000": ("Sandbox.Timedout", "1.00 seconds"),
    "/never-finish": ("Sandbox.Timedout", "1.00 seconds"),
    "/stack": ("Runtime.ExitError", ""),
    "/gobble": ("Runtime.OutOfMemory", "out of memory"),
    "/no-response": ("Runtime.ExitError", ""),
    "/respond-error": ("Runtime.InvalidResponse", ""),
    "/exit?code=0": ("Runtime.ExitError", ""),
    "/exit?code=7": ("Runtime.ExitError", ""),
    "/big?mib=8": ("Function.ResponseSizeTooLarge", ""),
    "/late-trap": ("Runtime.ExitError", "unreachable"),
    "/handles?kind=fields": (None, ""),
    "/handles?kind=requests": (None, ""),
    "/handles?kind=pollables": (None, ""),
}


@pytest.mark.parametrize("function", ["abuse", "reused"])
@pytest.mark.parametrize("target", ENDS)
def test_bad_ends(node, lam, function, target):
    kind, words = ENDS[target]
    if kind == "Sandbox.Timedout":
        function += "-in-haste"
    # An instance that has served somebody, where instances are reused.
    fine(lam, function)
    with neighbour(node):
        error = failure(lam, function, target)
    assert error["errorType"] == kind or kind is None and error["errorType"].startswith("Runtime."), error
    assert words in error["errorMessage"], error
    assert not re.search(r"/root/|/work/|\.rs:|\.cargo", error["errorMessage"]), "nothing of the host is told"
    fine(lam, function)


@pytest.mark.parametrize("target", ["/unfinished", "/after"])
def test_ends_after_the_answer(node, lam, target):
    """What comes after an answer does not undo it, or is an error: never a wrong answer, never a broken worker."""
    payload, answer = ask(lam, "abuse-in-haste", target)
    if "FunctionError" in answer:
        assert payload["errorType"].startswith(("Runtime.", "Sandbox.")), payload
    else:
        assert body_of(payload) in (b"answered\n", b"begun\n"), payload
    fine(lam)


def test_what_a_panic_says_is_logged(node, lam):
    failure(lam, "abuse", "/panic")
    assert "this is what it says when it panics" in node.hearth("logs", "abuse").stdout


def test_the_stack_of_the_host(node, lam):
    create_component(lam, "stack", "stack", Timeout=5)
    with neighbour(node):
        payload, answer = invoke(lam, "stack", 1)
    assert answer["FunctionError"] == "Unhandled" and payload["errorType"] == "Runtime.ExitError", payload
    assert "stack" in payload["errorMessage"], payload


@pytest.mark.parametrize("guest", ["tables", "memories"])
def test_tables_and_all_memories_count_together(node, lam, guest):
    """Refused growth is a number that the guest sees: here it makes the command fail."""
    create_component(lam, guest, guest, Timeout=20, MemorySize=256)
    with neighbour(node):
        payload, answer = invoke(lam, guest, 1)
    assert answer.get("FunctionError") == "Unhandled", payload
    assert payload["errorType"] in ("Runtime.ExitError", "Runtime.OutOfMemory"), payload
    # With enough memory it works: it was the bound, and nothing else.
    if guest == "memories":
        lam.update_function_configuration(FunctionName=guest, MemorySize=512)
        lam.get_waiter("function_updated_v2").wait(FunctionName=guest, WaiterConfig={"Delay": 1})
        payload, answer = invoke(lam, guest, 1)
        assert "FunctionError" not in answer, payload


def test_memory_is_what_was_configured(node, lam):
    got = told(lam, "abuse", "/grow?mib=1000")
    assert 64 <= int(got["got"]) < 128, got
    create_component(lam, "larger", MemorySize=512)
    assert 400 <= int(told(lam, "larger", "/grow?mib=1000")["got"]) < 512


def resident(node):
    """Memory of the node's own process, bytes."""
    pages = open(f"/proc/{node.process.pid}/statm").read().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_two_gigabytes_of_output(node, lam):
    """The caller gets its error; the node never holds what it sends."""
    create_component(lam, "flood", Timeout=60)
    before = resident(node)
    with neighbour(node):
        error = failure(lam, "flood", "/big?mib=2048")
    assert error["errorType"] == "Function.ResponseSizeTooLarge", error
    assert resident(node) - before < 256 << 20
    fine(lam, "flood")


def test_much_randomness(node, lam):
    """A gigabyte in one call of the host: refused, or given within the guest's own memory."""
    before = resident(node)
    payload, answer = ask(lam, "abuse", f"/random?bytes={1 << 30}")
    assert answer.get("FunctionError") == "Unhandled", payload
    assert resident(node) - before < 256 << 20
    fine(lam)


def test_a_log_flood_is_bounded(node, lam):
    create_component(lam, "talker", Timeout=60, MemorySize=512)
    with neighbour(node):
        assert told(lam, "talker", "/log?lines=20000&bytes=8000000") == {"logged": ""}
    fine(lam, "talker")
    size = sum(path.stat().st_size for path in (node.data / "logs").rglob("*") if path.is_file())
    assert size <= 32 << 20, size


def test_many_loops_at_once(node, lam):
    """More of them than processors, all at their deadline, while others answer."""
    create_component(lam, "looper", Timeout=3)
    errors = []

    def loop():
        errors.append(failure(node.client("lambda"), "looper", "/loop"))

    loops = [threading.Thread(target=loop) for _ in range(24)]
    with neighbour(node) as answers:
        for thread in loops:
            thread.start()
        fine(lam)
        for thread in loops:
            thread.join()
    assert [error["errorType"] for error in errors] == ["Sandbox.Timedout"] * 24, errors
    assert answers[0] > 0
    fine(lam, "looper")


def test_bombs_for_the_compiler(node, lam):
    """Components that are made to be hard to read: a clear end, and a worker that goes on."""
    hello = component("hello")
    nested = b"\0asm\x0d\0\x01\0"
    for _ in range(400):
        size, length = b"", len(nested)
        while True:
            size += bytes([length & 0x7F | (0x80 if length > 0x7F else 0)])
            length >>= 7
            if not length:
                break
        nested = b"\0asm\x0d\0\x01\0" + b"\x04" + size + nested
    bad = {"nested": nested, "tail": hello + b"\xff" * 100, "count": hello[:8] + b"\x01\xff\xff\xff\xff\x0f" + b"\0" * 64}
    with neighbour(node):
        for kind, package in bad.items():
            create_component(lam, f"bomb-{kind}", package, wait=False)
            state = wait_until(
                lambda: (found := lam.get_function_configuration(FunctionName=f"bomb-{kind}"))["State"] != "Pending" and found, "an end"
            )
            assert state["State"] == "Failed" or kind == "nested", (kind, state)
