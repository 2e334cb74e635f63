"""Runtimes that break the Runtime API's rules: they harm themselves, and nobody else."""

import os
from pathlib import Path

import pytest

from conftest import HERE
from harness import Node, create, invoke, zipped

pytestmark = pytest.mark.skipif(not os.path.exists("/usr/bin/python3"), reason="needs /usr/bin/python3, which functions see as well")


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with Node(tmp_path_factory.mktemp("hostile")) as node:
        yield node


@pytest.fixture(scope="module")
def lam(node):
    lam = node.client("lambda")
    create(lam, "bystander")
    deploy(lam, "hostile")
    return lam


def deploy(lam, name, **environment):
    package = zipped({"bootstrap*": (HERE / "bootstrap.py").read_text()})
    create(lam, name, package, Runtime="provided.al2023", Handler="x", Timeout=30, MemorySize=512, Environment={"Variables": environment})


def fine(lam, function="hostile"):
    """It, and others, work as before."""
    assert invoke(lam, function, {})[0] == {"before": None}
    assert invoke(lam, "bystander", "still there")[0] == "still there"


def refused(statuses):
    """Every one an error of the caller's, a connection closed without a word, or a wait for what never came."""
    return all(status in (0, "silence") or 400 <= status < 500 for status in statuses)


@pytest.mark.parametrize("attack", ["garbage", "wrong_ids", "unknown_paths", "next_while_running", "large_heads", "lengths", "smuggled"])
def test_broken_calls_are_refused(lam, attack):
    payload, answer = invoke(lam, "hostile", {"attacks": [attack], "other": "11111111-1111-4111-8111-111111111111"})
    assert "FunctionError" not in answer, payload
    assert payload[attack] and refused(payload[attack]), payload
    fine(lam)


def test_the_first_answer_counts(lam):
    payload, answer = invoke(lam, "hostile", {"attacks": ["answer_twice"]})
    assert ("FunctionError" not in answer, payload) == (True, "early")
    fine(lam)


@pytest.mark.parametrize("attack", ["half_requests", "pipelined", "many_connections"])
def test_connections_are_bounded_and_do_not_stop_the_invocation(lam, attack):
    name = "connections-" + attack.replace("_", "-")
    deploy(lam, name)
    payload, answer = invoke(lam, name, {"attacks": [attack]})
    assert "FunctionError" not in answer, payload
    assert payload[attack]
    fine(lam, name)
    fine(lam)


def test_an_answer_before_the_first_question(lam):
    deploy(lam, "early", EARLY="1")
    payload, answer = invoke(lam, "early", {})
    assert "FunctionError" not in answer, payload
    assert 400 <= payload["before"] < 500


def test_an_init_error_that_is_not_json(lam):
    deploy(lam, "init-error", INIT_ERROR="1")
    payload, answer = invoke(lam, "init-error", {}, LogType="Tail")
    assert answer["FunctionError"] == "Unhandled"
    fine(lam)


@pytest.mark.parametrize(
    "how, kind",
    [("never", "Sandbox.Timedout"), ("short", "Sandbox.Timedout"), ("endless", "Function.ResponseSizeTooLarge"), ("hang up", "Runtime.ExitError"), ("cut", "Runtime.ExitError")],
)
def test_answers_that_do_not_come(lam, how, kind):
    name = "answer-" + how.replace(" ", "-")
    deploy(lam, name)
    lam.update_function_configuration(FunctionName=name, Timeout=20 if how == "endless" else 1)
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    payload, answer = invoke(lam, name, {"answer": how})
    assert answer["FunctionError"] == "Unhandled", payload
    assert payload["errorType"] == kind, payload
    fine(lam, name)


def test_many_small_chunks_are_one_answer(lam):
    payload, answer = invoke(lam, "hostile", {"answer": "chunks"})
    assert ("FunctionError" not in answer, payload) == (True, "x" * 100_000)
    fine(lam)


@pytest.mark.parametrize("kind", ["a" * 20_000, "<script>", "\xff\xfe", "Runtime.Fine"])
def test_error_types_and_bodies_are_only_passed_on(lam, kind):
    payload, answer = invoke(lam, "hostile", {"answer": "error type", "type": kind, "body": '{"errorType": "E", "errorMessage": "m"}'}, LogType="Tail")
    assert answer["FunctionError"] == "Unhandled"
    assert payload == {"errorType": "E", "errorMessage": "m"}
    assert set(answer["ResponseMetadata"]["HTTPHeaders"]) & {"lambda-runtime-function-error-type", "set-cookie"} == set()
    fine(lam)


def test_a_header_that_is_none_harms_the_runtime_alone(lam):
    """A terminal's control characters: refused as HTTP, and the runtime gives up over it."""
    payload, answer = invoke(lam, "hostile", {"answer": "error type", "type": "a\x1b[2Jb", "body": "{}"}, LogType="Tail")
    assert answer["FunctionError"] == "Unhandled"
    assert payload["errorType"] == "Runtime.ExitError"
    fine(lam)


def test_a_runtime_cannot_write_headers_of_the_api(lam):
    answer = lam.invoke(FunctionName="hostile", Payload=b'{"answer": "not json"}')
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert answer["Payload"].read() == b"\xff\xfe{{{"
    assert "set-cookie" not in headers
    assert "FunctionError" not in answer
    fine(lam)
