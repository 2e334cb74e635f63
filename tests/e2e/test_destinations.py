"""Ends of events reach whoever is to be told: functions, webhooks that verify signatures, folders."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from harness import create, error_of, wait_until

SINK = "import json\ndef handler(event, context):\n    print('told', context.aws_request_id, json.dumps(event))\n"
FAILS = "def handler(event, context):\n    raise ValueError('no, naïve')\n"
ECHO = "def handler(event, context):\n    return {'had': event['n']}\n"


class Receiver:
    """A server of webhooks: it notes what it gets, and answers with the statuses that it is given, then with 204."""

    def __init__(self, *statuses, port=0):
        self.requests = []
        statuses = list(statuses)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.requests.append((self.path, dict(self.headers), body))
                self.send_response(statuses.pop(0) if statuses else 204)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path="/hook"):
        return f"http://127.0.0.1:{self.port}{path}"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receivers():
    """Makes receivers: `receivers()`, `receivers(500, 500)`."""
    made = []

    def make(*statuses, **options):
        made.append(Receiver(*statuses, **options))
        return made[-1]

    yield make
    for receiver in made:
        receiver.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bucket") / "failed"


@pytest.fixture(scope="module")
def node(tmp_path_factory, folder):
    """A node that may tell webhooks on this machine, and has a bucket."""
    from harness import Node

    place = tmp_path_factory.mktemp("node")
    configuration = place / "hearth.toml"
    configuration.write_text(
        f"[destinations]\nloopback_webhooks = true\n[destinations.buckets.failed]\nurl = 'file://{folder}'\n"
    )
    with Node(place / "data", "--config", str(configuration), expected_log=["an event was stopped", "the end of a loop"]) as node:
        yield node


def topic(node, name, *urls):
    """Makes a topic, and gives its ARN and the secrets of its webhooks."""
    webhooks = [argument for url in urls for argument in ("--webhook", url)]
    made = json.loads(node.hearth("topic", "--json", "create", name, *webhooks).stdout)
    return made["TopicArn"], [webhook["Secret"] for webhook in made["Webhooks"]]


def send(lam, name, event, **options):
    answer = lam.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event).encode(), **options)
    assert answer["StatusCode"] == 202
    return answer["ResponseMetadata"]["RequestId"]


def told(node, name):
    """What a function of SINK was told: (request ID, record)."""
    log = node.hearth("logs", name, check=False).stdout
    lines = [line.split("told ", 1)[1] for line in log.splitlines() if "told " in line]
    return [(line.split(" ", 1)[0], json.loads(line.split(" ", 1)[1])) for line in lines]


def dead(node, request_id):
    found = node.hearth("dlq", "show", request_id, "--json", check=False)
    return found.returncode == 0 and json.loads(found.stdout)


def arn(lam, name):
    return lam.get_function_configuration(FunctionName=name)["FunctionArn"]


def test_functions_are_told_of_success_and_of_failure(node, lam, name):
    sink = f"sink-{name}"[:64]
    create(lam, sink, SINK)
    create(lam, name, ECHO)
    ends = {"OnSuccess": {"Destination": arn(lam, sink)}, "OnFailure": {"Destination": arn(lam, sink)}}
    lam.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0, DestinationConfig=ends)
    good = send(lam, name, {"n": 1})
    (_, record), = wait_until(lambda: told(node, sink), "the success to be told")
    assert record["version"] == "1.0"
    assert record["requestContext"] == {
        "requestId": good,
        "functionArn": f"{arn(lam, name)}:$LATEST",
        "condition": "Success",
        "approximateInvokeCount": 1,
    }
    assert record["requestPayload"] == {"n": 1}
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}
    assert record["responsePayload"] == {"had": 1}

    bad = send(lam, name, {"m": 1})
    wait_until(lambda: len(told(node, sink)) == 2, "the failure to be told")
    record = next(record for _, record in told(node, sink) if record["requestContext"]["requestId"] == bad)
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["responseContext"]["functionError"] == "Unhandled"
    assert record["responsePayload"]["errorType"] == "KeyError"
    wait_until(lambda: dead(node, bad), "the event to be recorded as dead")
    assert not dead(node, good)


def test_webhooks_get_what_verifies_and_only_who_did_not_take_it_gets_it_again(node, lam, name, receivers):
    steady, shaky = receivers(), receivers(500, 503)
    target, secrets = topic(node, f"t-{name}", steady.url("/a?b=c"), shaky.url())
    create(lam, name, FAILS)
    lam.put_function_event_invoke_config(
        FunctionName=name, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": target}}
    )
    request_id = send(lam, name, {"n": 1})
    wait_until(lambda: len(shaky.requests) == 3, "the shaky receiver to take it")
    wait_until(lambda: dead(node, request_id), "the event's end")
    assert len(steady.requests) == 1, "who took it is not told again"
    (path, headers, body), = steady.requests
    assert path == "/a?b=c"
    record = Webhook(secrets[0]).verify(body, headers)
    assert record["requestContext"]["requestId"] == request_id
    assert headers["content-type"] == "application/json" and headers["user-agent"].startswith("hearth/")
    # The control: another secret, another body.
    for secret, text in ((secrets[1], body), (secrets[0], body + b" ")):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(text, headers)
    for _, headers, body in shaky.requests:
        Webhook(secrets[1]).verify(body, headers)
    identifiers = {headers["webhook-id"] for _, headers, _ in shaky.requests + steady.requests}
    assert len(identifiers) == 1, "one message, however often it is sent"


def test_a_dead_letter_is_the_event_with_its_attributes(node, lam, name, receivers):
    receiver = receivers()
    target, (secret,) = topic(node, f"t-{name}", receiver.url())
    create(lam, name, FAILS, DeadLetterConfig={"TargetArn": target})
    lam.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    request_id = send(lam, name, {"n": "é"})
    (_, headers, body), = wait_until(lambda: receiver.requests, "the dead letter")
    assert Webhook(secret).verify(body, headers) == {"n": "é"}
    assert headers["hearth-attribute-requestid"] == request_id
    assert headers["hearth-attribute-errorcode"] == "200"
    assert unquote(headers["hearth-attribute-errormessage"]) == "ValueError: no, naïve"


def test_queues_get_records_and_dead_letters(node, lam, name):
    sqs = node.client("sqs")

    def queue(name):
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        got = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, got["Attributes"]["QueueArn"]

    def received(url):
        (message,) = sqs.receive_message(
            QueueUrl=url, WaitTimeSeconds=20, MessageAttributeNames=["All"], AttributeNames=["All"]
        )["Messages"]
        return message

    (good, good_arn), (bad, bad_arn), (dead_url, dead_arn) = (queue(f"{n}-{name}"[:80]) for n in ("good", "bad", "dead"))
    create(lam, name, ECHO, DeadLetterConfig={"TargetArn": dead_arn})
    ends = {"OnSuccess": {"Destination": good_arn}, "OnFailure": {"Destination": bad_arn}}
    lam.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0, DestinationConfig=ends)

    request_id = send(lam, name, {"n": 1})
    record = json.loads(received(good)["Body"])
    assert record["requestContext"]["requestId"] == request_id and record["responsePayload"] == {"had": 1}

    # A poisoned event: as a record to the one, as it is to the other.
    request_id = send(lam, name, {"poison": "é"})
    record = json.loads(received(bad)["Body"])
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    letter = received(dead_url)
    assert json.loads(letter["Body"]) == {"poison": "é"}
    attributes = letter["MessageAttributes"]
    assert attributes["RequestID"] == {"StringValue": request_id, "DataType": "String"}
    assert attributes["ErrorCode"] == {"StringValue": "200", "DataType": "Number"}
    assert attributes["ErrorMessage"]["StringValue"] == "KeyError: 'n'"
    assert "Lineage=" in letter["Attributes"]["AWSTraceHeader"]
    wait_until(lambda: dead(node, request_id), "the event's end")

    # A queue that is gone is told again and again, and everything else goes on.
    sqs.delete_queue(QueueUrl=bad)
    send(lam, name, {"poison": 2})

    def refused():
        events = json.loads(node.hearth("events", name, "--state", "waiting", "--json").stdout)
        return any("does not exist" in event.get("Cause", "") for event in events)

    wait_until(refused, "an attempt to tell nobody")
    queue(f"bad-{name}"[:80])
    assert json.loads(received(bad)["Body"])["requestPayload"] == {"poison": 2}


def test_a_bucket_gets_a_record_by_the_services_layout(node, lam, name, folder):
    create(lam, name, FAILS)
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    bucket = {"OnFailure": {"Destination": "arn:aws:s3:::failed"}}
    lam.put_function_event_invoke_config(FunctionName=name, DestinationConfig=bucket)
    request_id = send(lam, name, {"n": 1})
    wait_until(lambda: dead(node, request_id), "the event's end")
    (path,) = folder.glob(f"aws/lambda/async/{name}/*/*/*/*")
    record = json.loads(path.read_text())
    date = record["timestamp"][:10]
    assert path.parent == folder / "aws/lambda/async" / name / date.replace("-", "/")
    assert path.name.startswith(record["timestamp"][:19].replace(":", ".") + "-")
    assert record["requestContext"]["condition"] == "ZeroReservedConcurrency"
    assert record["requestPayload"] == {"n": 1} and "responseContext" not in record


def test_a_loop_of_destinations_ends(node, lam, name):
    names = [f"{n}-{name}"[:64] for n in "ab"]
    for one in names:
        create(lam, one, SINK)
    for one, other in (names, names[::-1]):
        ends = {"OnSuccess": {"Destination": arn(lam, other)}, "OnFailure": {"Destination": arn(lam, other)}}
        lam.put_function_event_invoke_config(FunctionName=one, DestinationConfig=ends)
    send(lam, names[0], {"n": 1})

    (end,) = wait_until(lambda: json.loads(node.hearth("dlq", "list", names[0], "--json").stdout), "the loop's end")
    assert end["Condition"] == "RecursiveInvocation"
    assert [len(told(node, one)) for one in names] == [16, 16]
    assert "an event was stopped" in node.log() and names[0] in node.log()
    queues = json.loads(node.hearth("events", "--json").stdout)
    assert not any(q["Queued"] or q["Running"] or q["Retrying"] for q in queues if q["FunctionName"] in names)


def test_a_chain_of_synchronous_invocations_ends_unless_it_may_go_on(node, lam, name):
    create(lam, name, ECHO)
    trace = []

    def passed_on(params, **_):
        if trace:
            params["headers"]["X-Amzn-Trace-Id"] = trace[-1]

    lam.meta.events.register("before-call.lambda.Invoke", passed_on)

    def call():
        answer = lam.invoke(FunctionName=name, Payload=b'{"n": 1}')
        trace.append(answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-trace-id"])

    for _ in range(16):
        call()
    assert ":16" in trace[-1]
    assert error_of(call)[:2] == ("RecursiveInvocationException", 400)
    lam.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")
    call()
    assert ":17" in trace[-1]


def test_an_end_is_told_after_the_node_was_killed(new_node, tmp_path, receivers):
    receiver = receivers()
    port = receiver.port
    receiver.stop()
    configuration = tmp_path / "hearth.toml"
    configuration.write_text("[destinations]\nloopback_webhooks = true\n")
    node = new_node("--config", str(configuration))
    lam = node.client("lambda")
    target, (secret,) = topic(node, "t", f"http://127.0.0.1:{port}/")
    create(lam, "f", ECHO)
    lam.put_function_event_invoke_config(FunctionName="f", DestinationConfig={"OnSuccess": {"Destination": target}})
    request_id = send(lam, "f", {"n": 1})

    def refused():
        events = json.loads(node.hearth("events", "f", "--state", "waiting", "--json").stdout)
        return any("could not be told" in event.get("Cause", "") for event in events)

    wait_until(refused, "an attempt to tell nobody")
    node.kill()
    receiver = receivers(port=port)
    node.start()
    (_, headers, body), *_ = wait_until(lambda: receiver.requests, "the end to be told")
    record = Webhook(secret).verify(body, headers)
    assert record["requestContext"]["requestId"] == request_id and record["responsePayload"] == {"had": 1}


def test_webhooks_inside_are_refused_and_never_asked(new_node, receivers):
    receiver = receivers()
    node = new_node()
    for url in (receiver.url(), f"https://localhost:{receiver.port}/", "http://[::1]/"):
        refused = node.hearth("topic", "create", "t", "--webhook", url, check=False)
        assert refused.returncode == 1 and "loopback_webhooks" in refused.stderr
    lam = node.client("lambda")
    # What only shows when it is looked up or taken apart: nothing may come of it but a reason.
    target, _ = topic(node, "t", f"https://0.0.0.0:{receiver.port}/", "https://169.254.169.254/", "https://10.0.0.1/")
    create(lam, "f", ECHO)
    lam.put_function_event_invoke_config(FunctionName="f", DestinationConfig={"OnSuccess": {"Destination": target}})
    send(lam, "f", {"n": 1})

    def cause():
        events = json.loads(node.hearth("events", "f", "--state", "waiting", "--json").stdout)
        return next((event["Cause"] for event in events if "Cause" in event), None)

    why = wait_until(cause, "an attempt to tell")
    assert why.count("not open to webhooks") == 3, why
    assert not receiver.requests
