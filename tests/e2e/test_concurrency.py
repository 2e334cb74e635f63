"""Several invocations at the same time in one environment of a function that takes events."""

import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import NODE, create, invoke, wait_until, zipped

PROVIDER = "arn:aws:lambda:us-east-1:000000000000:capacity-provider:any"


def at_once(number):
    return {"LambdaManagedInstancesCapacityProviderConfig": {
        "CapacityProviderArn": PROVIDER, "PerExecutionEnvironmentMaxConcurrency": number,
    }}


# Each has a name of its environment's own, and waits in a round until it is complete.
PYTHON_CODE = """
import logging, os, threading, time
ME = os.urandom(8).hex()
lock, rounds = threading.Condition(), {}
def handler(event, context):
    logging.warning("of %s", event.get("n"))
    if "round" in event:
        with lock:
            here = rounds.setdefault(event["round"], [])
            here.append(context.aws_request_id)
            lock.notify_all()
            lock.wait_for(lambda: len(here) >= event["of"])
    if event.get("fails"): raise KeyError(event["n"])
    time.sleep(event.get("sleep", 0))
    return {"me": ME, "n": event.get("n"), "id": context.aws_request_id, "left": context.get_remaining_time_in_millis(),
        "most": os.environ.get("AWS_LAMBDA_MAX_CONCURRENCY")}
"""

ASYNC_CODE = """
import asyncio, logging, os
ME = os.urandom(8).hex()
rounds = {}
async def handler(event, context):
    logging.warning("of %s", event.get("n"))
    if "round" in event:
        here, complete = rounds.setdefault(event["round"], ([], asyncio.Event()))
        here.append(context.aws_request_id)
        if len(here) >= event["of"]: complete.set()
        await complete.wait()
    if event.get("fails"): raise KeyError(event["n"])
    await asyncio.sleep(event.get("sleep", 0))
    return {"me": ME, "n": event.get("n"), "id": context.aws_request_id, "left": context.get_remaining_time_in_millis(),
        "most": os.environ.get("AWS_LAMBDA_MAX_CONCURRENCY")}
"""

NODE_CODE = """
const me = require('crypto').randomBytes(8).toString('hex');
const rounds = new Map();
const sleep = (seconds) => new Promise((go) => setTimeout(go, seconds * 1000));
exports.handler = async (event, context) => {
  console.warn('of', event.n);
  if ('round' in event) {
    if (!rounds.has(event.round)) rounds.set(event.round, []);
    const here = rounds.get(event.round);
    await new Promise((go) => { here.push(go); if (here.length >= event.of) here.forEach((go) => go()) });
  }
  if (event.fails) throw new TypeError(event.n);
  if (event.sleep) await sleep(event.sleep);
  return { me, n: event.n, id: context.awsRequestId, left: context.getRemainingTimeInMillis(),
    most: process.env.AWS_LAMBDA_MAX_CONCURRENCY };
};
"""

FUNCTIONS = {
    "python": (PYTHON_CODE, {}),
    "asyncio": (ASYNC_CODE, {}),
    "node": (zipped({"index.js": NODE_CODE}), {"Runtime": NODE, "Handler": "index.handler"}),
}


@pytest.fixture(params=FUNCTIONS)
def function(request, lam, name):
    """The name of a function of which one environment runs ten at once."""
    code, options = FUNCTIONS[request.param]
    create(lam, name, code, Timeout=20, MemorySize=256, CapacityProviderConfig=at_once(10), **options)
    return name


def all_at_once(node, name, events):
    """Invokes with each event, all at the same time; gives (payload, answer) of each."""
    lam = node.client("lambda", max_pool_connections=64)
    with ThreadPoolExecutor(len(events)) as pool:
        return list(pool.map(lambda event: invoke(lam, name, event, LogType="Tail"), events))


def test_ten_meet_in_one_environment_and_an_eleventh_starts_a_second(node, function):
    answers = all_at_once(node, function, [{"round": 1, "of": 10, "n": n} for n in range(10)])
    for n, (payload, answer) in enumerate(answers):
        assert "FunctionError" not in answer, payload
        assert payload["n"] == n and payload["id"] == answer["ResponseMetadata"]["RequestId"]
        assert payload["most"] == "10" and 0 < payload["left"] <= 20_000
    assert len({payload["me"] for payload, _ in answers}) == 1
    # Ten fill the first, or nine and one of those that come beside them: the eleventh finds no place there.
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(all_at_once, node, function, [{"sleep": 3, "n": n} for n in range(10)])
        lam = node.client("lambda", max_pool_connections=64)
        seen = set()
        while not beside.done():
            seen.add(invoke(lam, function, {"n": "other"})[0]["me"])
        seen |= {payload["me"] for payload, _ in beside.result()}
    assert seen - {answers[0][0]["me"]}, "a second one served what the first had no place for"


def test_one_that_fails_fails_alone_and_each_line_says_whose_it_is(node, lam, function):
    logs = node.client("logs")
    answers = all_at_once(node, function, [{"round": 1, "of": 10, "n": n, "fails": n == 3} for n in range(10)])
    for n, (payload, answer) in enumerate(answers):
        assert ("FunctionError" in answer) == (n == 3), payload
    assert len({payload["me"] for payload, answer in answers if "FunctionError" not in answer}) == 1

    def lines():
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
        lines = [event["message"].rstrip("\n") for event in events]
        return sum(line.startswith("REPORT ") for line in lines) == 10 and lines

    lines = wait_until(lines, "the log")
    for n, (_, answer) in enumerate(answers):
        request_id = answer["ResponseMetadata"]["RequestId"]
        mine = [line for line in lines if request_id in line]
        assert [line.split()[0] for line in mine if re.match("START|END|REPORT", line)] == ["START", "END", "REPORT"]
        assert [line for line in mine if re.search(rf"\tof {n}$", line)], (n, mine)


def test_one_whose_time_is_up_fails_alone(node, lam, function):
    lam.update_function_configuration(FunctionName=function, Timeout=2)
    lam.get_waiter("function_updated_v2").wait(FunctionName=function, WaiterConfig={"Delay": 1})
    me = invoke(lam, function, {})[0]["me"]
    over = threading.Event()

    def others():
        seen = []
        client = node.client("lambda")
        while not over.is_set() or len(seen) < 5:
            payload, answer = invoke(client, function, {"sleep": 0.1, "n": len(seen)})
            assert "FunctionError" not in answer and payload["n"] == len(seen), payload
            seen.append(payload["me"])
        return seen

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(others) for _ in range(2)]
        payload, answer = invoke(lam, function, {"sleep": 4})
        assert answer["FunctionError"] == "Unhandled" and payload["errorType"] == "Sandbox.Timedout", payload
        # Until the late one has ended as well.
        time.sleep(3)
        over.set()
        for one in running:
            assert set(one.result()) == {me}, "the environment goes on"
    assert invoke(lam, function, {})[0]["me"] == me


def test_streams_at_the_same_time_and_a_reader_who_leaves(node, lam, name):
    code = """
const me = require('crypto').randomBytes(8).toString('hex');
let open = 0;
let met = false;
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  if (event.count) { stream.end(JSON.stringify([me, open])); return }
  open += 1;
  try {
    for (;;) {
      if (stream.destroyed) return;
      if (!stream.write(`${event.n} `.repeat(1000))) {
        await new Promise((go, fail) => { stream.once('drain', go); stream.once('error', fail) });
      }
      await new Promise((go) => setTimeout(go, 10));
      if (event.of && open >= event.of) met = true;
      if (met) break;
    }
    stream.end(me);
  } finally { open -= 1 }
});
"""
    create(lam, name, zipped({"index.js": code}), Runtime=NODE, Handler="index.handler", Timeout=60, Tags={"hearth:concurrency": "4"})
    client = node.client("lambda", max_pool_connections=16)

    def stream(event):
        events = client.invoke_with_response_stream(FunctionName=name, Payload=json.dumps(event).encode())["EventStream"]
        return b"".join(one["PayloadChunk"]["Payload"] for one in events if "PayloadChunk" in one).decode()

    def count():
        return json.loads(stream({"count": True}))

    me, none = count()
    assert none == 0
    # One that would never end, and whose reader goes away.
    answer = client.invoke_with_response_stream(FunctionName=name, Payload=b'{"n": "x"}')
    assert next(iter(answer["EventStream"]))["PayloadChunk"]["Payload"].startswith(b"x x ")
    assert count() == [me, 1]
    answer["EventStream"].close()
    wait_until(lambda: count() == [me, 0], "the end of what nobody reads")
    with ThreadPoolExecutor(3) as pool:
        for n, text in enumerate(pool.map(stream, [{"n": n, "of": 3} for n in range(3)])):
            assert text.endswith(me) and set(text.removesuffix(me)) == {str(n), " "}
