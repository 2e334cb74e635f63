"""Asynchronous invocation: accepted with 202, run as configured, ended on record."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from harness import create, error_of, invoke, wait_until, zipped

SEES = """
def handler(event, context):
    print("ran", event["n"], context.aws_request_id, context.invoked_function_arn, context.client_context.custom if context.client_context else None)
"""
FAILS = """
def handler(event, context):
    raise ValueError("no")
"""


def send(lam, name, event, **options):
    """Queues an event: its request ID."""
    answer = lam.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event).encode(), **options)
    assert answer["StatusCode"] == 202
    assert answer["Payload"].read() == b""
    assert "FunctionError" not in answer and "ExecutedVersion" not in answer
    return answer["ResponseMetadata"]["RequestId"]


def queue_of(node, name):
    """How many events a function has, by state."""
    queues = json.loads(node.hearth("events", "--json").stdout)
    return next((queue for queue in queues if queue["FunctionName"] == name), None)


def listed(node, name, state):
    return json.loads(node.hearth("events", name, "--state", state, "--json").stdout)


def lines_of(node, name, pattern=r"^ran (\d+) "):
    log = node.hearth("logs", name, check=False).stdout
    return [match for line in log.splitlines() if (match := re.search(pattern.lstrip("^"), line))]


def test_an_event_runs_once_with_the_identifier_that_was_answered(node, lam, name):
    import base64

    create(lam, name, SEES)
    context = base64.b64encode(json.dumps({"custom": {"k": "v"}}).encode()).decode()
    request_id = send(lam, name, {"n": 1}, ClientContext=context)
    found = wait_until(lambda: lines_of(node, name), "the function's line")
    assert [line.group(1) for line in found] == ["1"]
    assert request_id in found[0].string and "{'k': 'v'}" in found[0].string
    assert f":function:{name} " in found[0].string
    wait_until(lambda: queue_of(node, name) is None, "the event's end")
    assert len(lines_of(node, name, f"START RequestId: {request_id}")) == 1


def test_many_events_run_once_each(node, lam, name):
    create(lam, name, SEES)
    with ThreadPoolExecutor(16) as callers:
        list(callers.map(lambda n: send(lam, name, {"n": n}), range(100)))
    wait_until(lambda: queue_of(node, name) is None, "the events' ends")
    ran = sorted(int(line.group(1)) for line in wait_until(lambda: len(lines_of(node, name)) >= 100 and lines_of(node, name), "the lines"))
    assert ran == list(range(100))


def test_the_version_and_the_alias_that_were_asked_for_run(node, lam, name):
    create(lam, name, SEES)
    lam.publish_version(FunctionName=name)
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    send(lam, name, {"n": 1}, Qualifier="live")
    line = wait_until(lambda: lines_of(node, name), "the function's line")[0]
    assert f":function:{name}:live " in line.string
    assert lines_of(node, name, "START RequestId: .* Version: 1")


def test_a_failing_function_is_tried_again_a_minute_later(node, lam, name):
    create(lam, name, FAILS)
    request_id = send(lam, name, {"n": 1})
    event = wait_until(lambda: [e for e in listed(node, name, "waiting") if e["Attempts"] == 1], "the first attempt")[0]
    assert event["RequestId"] == request_id
    assert (event["Attempts"], event["Failed"], event["Lost"]) == (1, 1, 0)
    assert event["Cause"] == "ValueError: no"
    accepted, due = (datetime.fromisoformat(event[key]) for key in ("Accepted", "Due"))
    assert timedelta(seconds=60) <= due - accepted < timedelta(seconds=120)
    assert queue_of(node, name)["Retrying"] == 1


def test_a_stopped_functions_event_is_dead_and_can_be_shown_replayed_redriven_and_purged(node, lam, name):
    create(lam, name, SEES)
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    first, second = (send(lam, name, {"n": n, "text": "é"}) for n in (1, 2))
    wait_until(lambda: (queue_of(node, name) or {}).get("Dead") == 2, "the events' ends")
    listing = node.hearth("dlq", "list", name).stdout
    assert first in listing and second in listing and "ZeroReservedConcurrency" in listing
    dead = json.loads(node.hearth("dlq", "show", first, "--json").stdout)
    assert json.loads(dead["Payload"]) == {"n": 1, "text": "é"}
    assert (dead["Condition"], dead["Attempts"], dead["FunctionName"]) == ("ZeroReservedConcurrency", 0, name)

    lam.delete_function_concurrency(FunctionName=name)
    replayed = node.hearth("replay", first)
    assert "ran 1 " in replayed.stderr
    assert queue_of(node, name)["Dead"] == 2, "a replay leaves the event where it is"
    node.hearth("dlq", "redrive", name, "--id", first)
    wait_until(lambda: queue_of(node, name)["Dead"] == 1 and len(lines_of(node, name, f"START RequestId: {first}")) == 1, "the redriven event")
    assert node.hearth("dlq", "redrive", name, "--id", first, check=False).returncode == 4
    node.hearth("dlq", "purge", name)
    assert queue_of(node, name) is None
    assert node.hearth("dlq", "show", second, check=False).returncode == 4


def test_a_failure_is_replayed_on_this_machine_with_the_code_that_mends_it(node, lam, name, tmp_path, monkeypatch):
    word = zipped({"python/word.py": "WORD = 'layered'\n"})
    layer = lam.publish_layer_version(LayerName=name, Content={"ZipFile": word})["LayerVersionArn"]
    code = "import os, word\ndef handler(event, context):\n    print('with', word.WORD, os.environ['OWN'])\n    {}\n"
    broken = code.format("raise ValueError(event['n'])")
    create(lam, name, broken, Environment={"Variables": {"OWN": "set"}}, Layers=[layer])
    lam.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    event = send(lam, name, {"n": 7})
    wait_until(lambda: (queue_of(node, name) or {}).get("Dead") == 1, "the event's end")

    places = tmp_path / "temporary"
    places.mkdir()
    monkeypatch.setenv("TMPDIR", str(places))
    failed = node.hearth("replay", event, "--local", check=False)
    assert failed.returncode == 3, failed.stderr
    assert json.loads(failed.stdout)["errorType"] == "ValueError" and "with layered set" in failed.stderr
    mended = tmp_path / "app.py"
    mended.write_text(code.format("return event"))
    answer = node.hearth("replay", event, "--local", "--code", mended)
    assert json.loads(answer.stdout) == {"n": 7} and "with layered set" in answer.stderr
    assert json.loads(node.hearth("replay", event, "--local", "--code", mended, "--json").stdout)["Payload"] == {"n": 7}
    assert node.hearth("replay", event, "--code", mended, check=False).returncode == 2
    unreadable = node.hearth("replay", event, "--local", "--code", tmp_path / "none.py", check=False)
    assert unreadable.returncode == 1 and "none.py" in unreadable.stderr

    assert list(places.iterdir()) == [], "nothing is left of the nodes"
    assert len(lines_of(node, name, "START RequestId")) == 1, "it did not run on the node"
    assert queue_of(node, name)["Dead"] == 1


def test_what_can_not_be_accepted_is_refused_and_not_queued(node, lam, name):
    create(lam, name, SEES)
    event = {"FunctionName": name, "InvocationType": "Event"}
    assert error_of(lam.invoke, **event | {"FunctionName": "nobody"})[:2] == ("ResourceNotFoundException", 404)
    assert error_of(lam.invoke, **event, Qualifier="nothing")[:2] == ("ResourceNotFoundException", 404)
    assert error_of(lam.invoke, **event, Payload=b"{")[:2] == ("InvalidRequestContentException", 400)
    large = json.dumps({"n": "x" * 1_048_576}).encode()
    code, status, message = error_of(lam.invoke, **event, Payload=large)
    assert (code, status) == ("RequestTooLargeException", 413)
    assert message == f"{len(large)} byte payload is too large for the Event invocation type (limit 1048576 bytes)"
    assert queue_of(node, name) is None
    largest = b'"' + b"x" * 1_048_574 + b'"'
    assert lam.invoke(**event, Payload=largest)["StatusCode"] == 202


def test_the_old_operation_and_the_command_line_queue_too(node, lam, name):
    create(lam, name, SEES)
    assert lam.invoke_async(FunctionName=name, InvokeArgs=b'{"n": 1}')["Status"] == 202
    request_id = node.hearth("invoke", name, "--async", "--data", '{"n": 2}').stdout.strip()
    ran = wait_until(lambda: len(lines_of(node, name)) == 2 and lines_of(node, name), "both lines")
    assert sorted(line.group(1) for line in ran) == ["1", "2"]
    assert any(request_id in line.string for line in ran)


def test_what_was_queued_runs_after_a_restart(new_node):
    node = new_node()
    lam = node.client("lambda")
    create(lam, "f", SEES)
    # One at a time: most are still queued when the node ends.
    lam.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=1)
    for n in range(20):
        send(lam, "f", {"n": n})
    node.kill()
    node.start()
    wait_until(lambda: queue_of(node, "f") is None, "the events' ends")
    assert invoke(node.client("lambda"), "f", {"n": 99})[1]["StatusCode"] == 200
