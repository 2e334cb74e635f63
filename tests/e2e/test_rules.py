"""Rules on the real binary: boto3 and the AWS command line work unchanged, CloudEvents come in by HTTP in every mode, and
what was answered with success reaches its targets whatever is killed in between."""

import http.client
import json
import random
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from urllib.parse import urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from harness import create, error_of, wait_until

TOKEN = "a-token-of-the-shop"
SEES = """
def handler(event, context):
    print("ran", context.invoked_function_arn, __import__("json").dumps(event))
"""
CE = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/shop", "ce-type": "order.made"}


@pytest.fixture
def events(node):
    return node.client("events")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A node that a sender with a token may send to."""
    from harness import Node

    place = tmp_path_factory.mktemp("shop")
    config = place / "shop.toml"
    config.write_text(
        f'[events.senders.shop]\ntoken = "{TOKEN}"\n[events.senders.other]\ntoken = "another-token-for-it"\nbus = "other"\n'
    )
    with Node(place / "data", "--config", config) as node:
        yield node


def arn_of(queue):
    return f"arn:aws:sqs:us-east-1:000000000000:{queue}"


def queue(node, name, **attributes):
    """A queue and a call that takes what it has."""
    node.client("sqs").create_queue(QueueName=name, Attributes={"VisibilityTimeout": "600", **attributes})
    known = {}

    def taken():
        if node.endpoint not in known:
            sqs = node.client("sqs")
            known[node.endpoint] = sqs, sqs.get_queue_url(QueueName=name)["QueueUrl"]
        sqs, url = known[node.endpoint]
        answer = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"], MessageAttributeNames=["All"]
        )
        return answer.get("Messages", [])

    return taken


def bodies(taken, count):
    """The bodies of the next messages."""
    found = []

    def more():
        found.extend(json.loads(message["Body"]) for message in taken())
        return len(found) >= count

    wait_until(more, f"{count} messages")
    assert len(found) == count
    return found


def rule(events, name, pattern, *targets, bus="default"):
    arn = events.put_rule(Name=name, EventPattern=json.dumps(pattern), EventBusName=bus)["RuleArn"]
    numbered = [{"Id": f"t{n}", **target} for n, target in enumerate(targets)]
    answer = events.put_targets(Rule=name, EventBusName=bus, Targets=numbered)
    assert answer["FailedEntryCount"] == 0
    return arn


def put(events, source, detail, **more):
    entry = {"Source": source, "DetailType": "order", "Detail": json.dumps(detail), **more}
    answer = events.put_events(Entries=[entry])
    assert answer["FailedEntryCount"] == 0, answer
    return answer["Entries"][0]["EventId"]


def post(node, body=b"", headers=None, token=TOKEN, path="/events", method="POST"):
    headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{node.endpoint}{path}", data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_an_event_reaches_functions_and_queues_as_wanted(node, events, lam, name):
    function = create(lam, name, SEES)["FunctionArn"]
    lam.publish_version(FunctionName=name)
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    taken, fifo = queue(node, name), queue(node, f"{name}.fifo", FifoQueue="true")
    template = {
        "InputPathsMap": {"id": "$.detail.id", "tags": "$.detail.tags"},
        "InputTemplate": '{"order": "no. <id>", "tags": <tags>, "rule": "<aws.events.rule-name>"}',
    }
    arn = rule(
        events, name, {"source": [name], "detail": {"id": [{"numeric": [">", 1]}]}},
        {"Arn": f"{function}:live", "InputPath": "$.detail"},
        {"Arn": arn_of(name)},
        {"Arn": arn_of(name), "Input": '{"fixed": true}'},
        {"Arn": arn_of(name), "InputTransformer": template},
        {"Arn": arn_of(f"{name}.fifo"), "SqsParameters": {"MessageGroupId": "g"}, "InputPath": "$.id"},
    )
    put(events, name, {"id": 1})
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    id = put(events, name, {"id": 2, "tags": ["a", "b"]}, Time=at, Resources=["r"])
    whole = {
        "version": "0", "id": id, "detail-type": "order", "source": name, "account": "000000000000",
        "time": "2026-01-02T03:04:05Z", "region": "us-east-1", "resources": ["r"], "detail": {"id": 2, "tags": ["a", "b"]},
    }
    transformed = {"order": "no. 2", "tags": ["a", "b"], "rule": name}
    assert sorted(bodies(taken, 3), key=len) == sorted([whole, {"fixed": True}, transformed], key=len)
    assert bodies(fifo, 1) == [id]

    def line():
        log = node.hearth("logs", name, check=False).stdout
        return next((line for line in log.splitlines() if "ran " in line), None)

    found = wait_until(line, "the function's line")
    assert f":function:{name}:live " in found
    assert json.loads(found[found.index("{"):]) == {"id": 2, "tags": ["a", "b"]}
    assert arn == f"arn:aws:events:us-east-1:000000000000:rule/{name}"


def test_rules_and_targets_are_shown_listed_changed_and_removed(events, name):
    pattern = json.dumps({"source": ["s"]})
    tags = [{"Key": "a", "Value": "b"}]
    arn = events.put_rule(Name=name, EventPattern=pattern, Description="a test", State="DISABLED", Tags=tags)["RuleArn"]
    shown = events.describe_rule(Name=name)
    shown.pop("ResponseMetadata")
    assert shown == {
        "Name": name, "Arn": arn, "EventPattern": pattern, "State": "DISABLED", "Description": "a test",
        "EventBusName": "default", "CreatedBy": "000000000000",
    }
    events.enable_rule(Name=name)
    assert events.describe_rule(Name=name)["State"] == "ENABLED"
    events.disable_rule(Name=name)
    target = {
        "Id": "one", "Arn": arn_of(f"{name}.fifo"), "SqsParameters": {"MessageGroupId": "g"},
        "RetryPolicy": {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 60}, "DeadLetterConfig": {"Arn": arn_of("dead")},
        "InputTransformer": {"InputPathsMap": {"a": "$.detail"}, "InputTemplate": "<a>"},
    }
    events.put_targets(Rule=name, Targets=[target, {"Id": "two", "Arn": arn_of(name), "InputPath": "$.detail"}])
    assert events.list_targets_by_rule(Rule=name)["Targets"] == [
        target, {"Id": "two", "Arn": arn_of(name), "InputPath": "$.detail"},
    ]
    assert events.list_rule_names_by_target(TargetArn=arn_of(name))["RuleNames"] == [name]
    assert error_of(events.delete_rule, Name=name)[:2] == ("ValidationException", 400)
    events.remove_targets(Rule=name, Ids=["one", "two", "none"])
    assert events.list_targets_by_rule(Rule=name)["Targets"] == []
    events.tag_resource(ResourceARN=arn, Tags=[{"Key": "c", "Value": "d"}])
    events.untag_resource(ResourceARN=arn, TagKeys=["a"])
    assert events.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "c", "Value": "d"}]
    for n in range(4):
        events.put_rule(Name=f"{name[-50:]}-{n}", EventPattern=pattern)
    prefix = f"{name[-50:]}-"
    page = events.list_rules(NamePrefix=prefix, Limit=3)
    rest = events.list_rules(NamePrefix=prefix, Limit=3, NextToken=page["NextToken"])
    assert [r["Name"] for r in page["Rules"] + rest["Rules"]] == [f"{prefix}{n}" for n in range(4)]
    assert "NextToken" not in rest
    events.delete_rule(Name=name)
    events.delete_rule(Name=name)
    assert error_of(events.describe_rule, Name=name)[:2] == ("ResourceNotFoundException", 400)
    assert error_of(events.put_targets, Rule=name, Targets=[target])[0] == "ResourceNotFoundException"


def test_buses_are_apart(node, events, name):
    bus, taken = name, queue(node, name)
    arn = events.create_event_bus(Name=bus, Description="for a test")["EventBusArn"]
    assert error_of(events.create_event_bus, Name=bus)[0] == "ResourceAlreadyExistsException"
    assert arn == f"arn:aws:events:us-east-1:000000000000:event-bus/{bus}"
    rule_arn = rule(events, name, {"source": [name]}, {"Arn": arn_of(name)}, bus=arn)
    assert rule_arn == f"arn:aws:events:us-east-1:000000000000:rule/{bus}/{name}"
    put(events, name, {"bus": "default"})
    put(events, name, {"bus": "by name"}, EventBusName=bus)
    put(events, name, {"bus": "by ARN"}, EventBusName=arn)
    assert {body["detail"]["bus"] for body in bodies(taken, 2)} == {"by name", "by ARN"}
    assert error_of(events.describe_rule, Name=name)[0] == "ResourceNotFoundException"
    assert {"default", bus} <= {b["Name"] for b in events.list_event_buses()["EventBuses"]}
    assert events.describe_event_bus(Name=bus)["Description"] == "for a test"
    assert error_of(events.delete_event_bus, Name=bus)[0] == "ValidationException"
    events.remove_targets(Rule=name, EventBusName=bus, Ids=["t0"])
    events.delete_rule(Name=name, EventBusName=bus)
    events.delete_event_bus(Name=bus)
    assert error_of(events.describe_event_bus, Name=bus)[0] == "ResourceNotFoundException"
    assert error_of(events.list_rules, EventBusName=bus)[0] == "ResourceNotFoundException"
    assert error_of(events.delete_event_bus, Name="default")[0] == "ValidationException"
    # Those of another region are others.
    assert [b["Name"] for b in node.client("events", "eu-west-1").list_event_buses()["EventBuses"]] == ["default"]


def test_entries_that_are_not_valid_are_told_from_those_that_are(node, events, name):
    taken = queue(node, name)
    rule(events, name, {"source": [name]}, {"Arn": arn_of(name)})
    good = {"Source": name, "DetailType": "d", "Detail": "{}"}
    bad = [
        ({"Source": ""}, "InvalidArgument"),
        ({"DetailType": ""}, "InvalidArgument"),
        ({"Detail": "[1]"}, "MalformedDetail"),
        ({"Detail": "{"}, "MalformedDetail"),
        ({"Detail": '{"a":' * 1000 + "1" + "}" * 1000}, "MalformedDetail"),
        ({"Source": "aws.ec2"}, "NotAuthorizedForSourceException"),
        ({"EventBusName": "none"}, "InvalidArgument"),
        ({"TraceHeader": "x"}, "InvalidArgument"),
    ]
    answer = events.put_events(Entries=[good, *({**good, **change} for change, _ in bad)])
    assert answer["FailedEntryCount"] == len(bad)
    assert [entry.get("ErrorCode") for entry in answer["Entries"]] == [None, *(code for _, code in bad)]
    assert bodies(taken, 1)[0]["id"] == answer["Entries"][0]["EventId"]
    code, _, message = error_of(events.put_events, Entries=[{**good, "Detail": json.dumps({"a": "x" * 262_144})}])
    assert (code, "over the limit" in message) == ("ValidationException", True)
    assert error_of(events.put_events, Entries=[good] * 11)[0] == "ValidationException"


@pytest.mark.parametrize(
    ("call", "change", "code", "says"),
    [
        ("put_rule", {"EventPattern": "{"}, "InvalidEventPatternException", "not JSON"),
        ("put_rule", {"EventPattern": '{"source": "s"}'}, "InvalidEventPatternException", "at source"),
        ("put_rule", {"ScheduleExpression": "rate(1 day)"}, "ValidationException", "EventBridge Scheduler"),
        ("put_rule", {"EventPattern": ""}, "ValidationException", "EventPattern"),
        ("put_rule", {"Name": "a b"}, "ValidationException", "Name"),
        ("put_rule", {"EventBusName": "none"}, "ResourceNotFoundException", "none"),
        ("put_rule", {"RoleArn": "arn:aws:iam::111111111111:role/x"}, "ValidationException", "RoleArn"),
        ("put_targets", {"Arn": "arn:aws:sns:us-east-1:000000000000:t"}, "ValidationException", "functions"),
        ("put_targets", {"Arn": "arn:aws:sqs:eu-west-1:000000000000:q"}, "ValidationException", "account and region"),
        ("put_targets", {"Arn": arn_of("q.fifo")}, "ValidationException", "MessageGroupId"),
        ("put_targets", {"Id": "a b"}, "ValidationException", "Id"),
        ("put_targets", {"Input": "{"}, "ValidationException", "JSON"),
        ("put_targets", {"InputPath": "detail"}, "ValidationException", "InputPath"),
        ("put_targets", {"Input": "1", "InputPath": "$"}, "ValidationException", "one of"),
        ("put_targets", {"InputTransformer": {"InputTemplate": "<x>"}}, "ValidationException", "<x>"),
        ("put_targets", {"DeadLetterConfig": {"Arn": arn_of("q.fifo")}}, "ValidationException", "standard queue"),
        ("put_targets", {"EcsParameters": {"TaskDefinitionArn": "t"}}, "ValidationException", "EcsParameters"),
        ("put_targets", {"RetryPolicy": {"MaximumEventAgeInSeconds": 59}}, "ValidationException", "60"),
    ],
)
def test_what_is_not_valid_is_refused_with_a_sentence(node, call, change, code, says):
    events = node.client("events", parameter_validation=False)
    events.put_rule(Name="refusing", EventPattern='{"source": ["none"]}')
    request = {"Name": "refused", "EventPattern": '{"source": ["none"]}', **change}
    if call == "put_targets":
        request = {"Rule": "refusing", "Targets": [{"Id": "1", "Arn": arn_of("q"), **change}]}
    found, status, message = error_of(getattr(events, call), **request)
    assert (found, status) == (code, 400)
    assert says in message
    assert error_of(events.describe_rule, Name="refused")[0] == "ResourceNotFoundException"
    assert events.list_targets_by_rule(Rule="refusing")["Targets"] == []


def test_limits_are_the_services(events, name):
    events.create_event_bus(Name=name)
    pattern = '{"source": ["none"]}'
    target = {"Arn": arn_of("q")}
    rule(events, "r", {"source": ["none"]}, *[target] * 5, bus=name)
    more = [{"Id": "more", **target}]
    assert error_of(events.put_targets, Rule="r", EventBusName=name, Targets=more)[0] == "LimitExceededException"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: events.put_rule(Name=f"r{n}", EventPattern=pattern, EventBusName=name), range(299)))
    assert error_of(events.put_rule, Name="more", EventPattern=pattern, EventBusName=name)[0] == "LimitExceededException"
    events.put_rule(Name="r1", EventPattern=pattern, EventBusName=name)


def test_cloud_events_come_in_by_every_mode(shop):
    events, taken = shop.client("events"), queue(shop, "orders")
    rule(events, "orders", {"source": ["/shop"], "cloudevent": {"tenant": ["a"]}}, {"Arn": arn_of("orders")})
    attributes = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.made", "tenant": "a"}
    attributes |= {"subject": "o/1", "time": "2026-01-02T05:04:05.5+02:00", "datacontenttype": "application/json"}
    whole = attributes | {"data": {"n": 1}}
    headers = {f"ce-{k}": v for k, v in attributes.items() if k != "datacontenttype"}
    assert post(shop, {"n": 1}, headers | {"Content-Type": "application/json"}) == (202, "")
    assert post(shop, whole, {"Content-Type": "application/cloudevents+json; charset=UTF-8"}) == (202, "")
    batch = {"Content-Type": "application/cloudevents-batch+json"}
    assert post(shop, [whole, whole | {"tenant": "b"}, whole], batch) == (202, "")
    assert post(shop, [], batch) == (202, "")
    assert bodies(taken, 4) == 4 * [{
        "version": "0", "id": "1", "detail-type": "order.made", "source": "/shop", "account": "000000000000",
        "time": "2026-01-02T03:04:05Z", "region": "us-east-1", "resources": ["o/1"], "detail": {"n": 1},
        "cloudevent": attributes,
    }]
    # The command line signs.
    shop.hearth("rule", "send", "--type", "t", "--source", "/shop", "--attribute", "tenant=a", "--data", "[1]")
    assert bodies(taken, 1)[0]["detail"] == [1]


def test_bad_cloud_events_are_refused_and_named(shop):
    good = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "t"}
    structured = {"Content-Type": "application/cloudevents+json"}
    for change, says in [
        ({"id": None}, "id is missing"),
        ({"source": ""}, "source must not be empty"),
        ({"specversion": "0.3"}, "specversion"),
        ({"time": "now"}, "time"),
        ({"Upper": "x"}, "'Upper'"),
        ({"extension": {}}, "extension"),
        ({"data": "x" * 300_000}, "262144 bytes"),
    ]:
        status, body = post(shop, good | change, structured)
        assert (status, says in body) == (400, True), body
        status, body = post(shop, [good, good | change], {"Content-Type": "application/cloudevents-batch+json"})
        assert (status, "event 1" in body or "262144" in body) == (400, True), body
    json_type = {"Content-Type": "application/json"}
    assert "type is missing" in post(shop, b"{}", json_type | {k: v for k, v in CE.items() if k != "ce-type"})[1]
    assert post(shop, b"{", json_type | CE)[0] == 400
    assert post(shop, b"{", structured)[0] == 400
    assert post(shop, b"{}", json_type)[0] == 415
    assert post(shop, b"<e/>", {"Content-Type": "application/cloudevents+xml"})[0] == 415
    # Refused by its length: it need not be sent.
    connection = http.client.HTTPConnection(urlsplit(shop.endpoint).netloc, timeout=60)
    connection.putrequest("POST", "/events")
    for field, value in {"Authorization": f"Bearer {TOKEN}", "Content-Length": str(1 << 21), **json_type, **CE}.items():
        connection.putheader(field, value)
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    assert post(shop, method="PUT")[0] == 405
    for token in [None, "", "wrong-token-for-the-shop"]:
        assert post(shop, b"{}", json_type | CE, token)[0] == 403, token
    # A token is for its bus.
    assert post(shop, b"{}", json_type | CE, path="/events/other")[0] == 403
    assert post(shop, b"{}", json_type | CE, "another-token-for-it")[0] == 404
    shop.client("events").create_event_bus(Name="other")
    assert post(shop, b"{}", json_type | CE, "another-token-for-it")[0] == 202
    assert post(shop, b"{}", json_type | CE, "another-token-for-it", "/events/other")[0] == 202


def test_attributes_of_a_signed_event_are_signed(shop):
    credentials = botocore.credentials.Credentials(*shop.key())

    def send(extra):
        headers = CE | {"Content-Type": "application/json"}
        request = botocore.awsrequest.AWSRequest("POST", f"{shop.endpoint}/events", headers=headers, data=b"{}")
        botocore.auth.SigV4Auth(credentials, "events", "us-east-1").add_auth(request)
        return post(shop, b"{}", dict(request.headers) | extra, None)[0]

    assert send({}) == 202
    assert send({"ce-tenant": "put there on the way"}) == 403


def test_kills_lose_no_event_that_was_answered(new_node, tmp_path):
    """Callers that send, and kills in the midst of them."""
    config = tmp_path / "shop.toml"
    config.write_text(f'[events.senders.shop]\ntoken = "{TOKEN}"\n')
    node = new_node("--config", config)
    taken, chance = queue(node, "work"), random.Random(7)
    rule(node.client("events"), "r", {"source": ["kills"]}, {"Arn": arn_of("work")}, {"Arn": arn_of("work")})
    answered, next_, over, turns = [], iter(range(1_000_000)), threading.Event(), threading.Semaphore(0)

    def send():
        while turns.acquire() and not over.is_set():
            n = next(next_)
            event = {"specversion": "1.0", "id": str(n), "source": "kills", "type": "t"}
            try:
                assert post(node, event, {"Content-Type": "application/cloudevents+json"})[0] == 202
                answered.append(n)
            except OSError:
                # The node is down: what was not answered is no turn.
                over.wait(0.05)
                turns.release()

    callers = [threading.Thread(target=send) for _ in range(4)]
    for caller in callers:
        caller.start()
    for _ in range(4):
        enough = len(answered) + 20
        turns.release(30)
        wait_until(lambda: len(answered) >= enough, "answers")
        over.wait(chance.random() / 50)
        node.kill()
        node.start()
    over.set()
    turns.release(len(callers))
    for caller in callers:
        caller.join()
    count = {}

    def drained():
        messages = taken()
        for message in messages:
            n = int(json.loads(message["Body"])["id"])
            count[n] = count.get(n, 0) + 1
        return not messages and all(count.get(n, 0) >= 2 for n in answered)

    wait_until(drained, "all events that were answered")
    # Each target once, also of those whose answer nobody got.
    assert set(count.values()) == {2}


def test_a_loop_of_events_ends(new_node, name):
    node = new_node()
    node.expected_log.append("an event was stopped")
    lam, events = node.client("lambda"), node.client("events")
    code = "import os\ndef handler(event, context):\n    print('trace', os.environ['_X_AMZN_TRACE_ID'])\n"
    function = create(lam, name, code)["FunctionArn"]
    rule(events, "r", {"source": ["again"]}, {"Arn": function})
    traces = []

    def passed_on(params, **_):
        """What SDKs do in a function: its trace goes with what it sends."""
        if traces:
            params["headers"]["X-Amzn-Trace-Id"] = traces[-1]

    events.meta.events.register("before-call.events.PutEvents", passed_on)

    def seen():
        log = node.hearth("logs", name, check=False).stdout
        return [line.split("trace ")[1] for line in log.splitlines() if "trace " in line]

    for run in range(1, 17):
        put(events, "again", {})
        traces = wait_until(lambda: len(found := seen()) == run and found, "the next round")
    put(events, "again", {})
    (ended,) = wait_until(lambda: json.loads(node.hearth("dlq", "list", name, "--json").stdout), "the loop's end")
    assert ended["Condition"] == "RecursiveInvocation"
    assert len(seen()) == 16


def test_what_no_target_takes_is_counted_and_a_dead_letter(new_node):
    node = new_node()
    node.expected_log.append("an event was given up")
    taken, events = queue(node, "dead"), node.client("events")
    target = {"Arn": arn_of("missing"), "RetryPolicy": {"MaximumRetryAttempts": 0}, "DeadLetterConfig": {"Arn": arn_of("dead")}}
    arn = rule(events, "r", {"source": ["s"]}, target)
    id = put(events, "s", {"n": 1})
    [message] = wait_until(taken, "the dead letter")
    assert json.loads(message["Body"])["id"] == id
    attributes = {key: value["StringValue"] for key, value in message["MessageAttributes"].items()}
    assert attributes.pop("ERROR_MESSAGE")
    assert attributes == {
        "ERROR_CODE": "AWS.SimpleQueueService.NonExistentQueue",
        "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts",
        "RETRY_ATTEMPTS": "0",
        "RULE_ARN": arn,
        "TARGET_ARN": arn_of("missing"),
    }
    counted = lambda: json.loads(node.hearth("rule", "waiting", "--json").stdout)
    wait_until(lambda: counted() == [{"TargetArn": arn_of("missing"), "Waiting": 0, "GivenUp": 1}], "the count")


def test_the_command_lines(new_node, tmp_path):
    node = new_node()
    taken = queue(node, "work")
    pattern = tmp_path / "pattern.json"
    pattern.write_text('{"source": ["s"], "detail": {"state": [{"prefix": "run"}]}}')
    target = ["--target", arn_of("work")]
    node.hearth("rule", "add", "r", "--pattern", f"@{pattern}", *target, "--target", arn_of("other"))
    node.hearth("rule", "add", "r", "--pattern", f"@{pattern}", *target, "--input-path", "$.detail", "--description", "d")
    shown = json.loads(node.hearth("rule", "show", "r").stdout)
    assert (shown["Description"], shown["State"]) == ("d", "ENABLED")
    assert shown["Targets"] == [{"Id": "1", "Arn": arn_of("work"), "InputPath": "$.detail"}]
    assert arn_of("work") in node.hearth("rule", "list").stdout
    node.hearth("rule", "disable", "r")
    assert json.loads(node.hearth("rule", "list", "--json").stdout)[0]["State"] == "DISABLED"
    node.hearth("rule", "enable", "r")
    event = {"id": "1", "account": "a", "source": "s", "time": "t", "region": "r", "resources": [], "detail-type": "d"}
    meant, not_meant = json.dumps(event | {"detail": {"state": "running"}}), json.dumps(event | {"detail": {"state": "x"}})
    assert node.hearth("rule", "test", "r", "--event", meant).stdout == "it is meant\n"
    assert node.hearth("rule", "test", "--pattern", f"@{pattern}", "--event", "-", stdin=not_meant, check=False).returncode == 1
    node.hearth("rule", "send", "--type", "t", "--source", "s", "--data", '{"state": "running"}')
    assert bodies(taken, 1) == [{"state": "running"}]

    def aws(*arguments):
        out = node.aws("events", *arguments).stdout
        return json.loads(out) if out.strip() else None

    assert [rule["Name"] for rule in aws("list-rules")["Rules"]] == ["r"]
    entry = {"Source": "s", "DetailType": "d", "Detail": '{"state": "run"}'}
    assert aws("put-events", "--entries", json.dumps([entry]))["FailedEntryCount"] == 0
    assert bodies(taken, 1) == [{"state": "run"}]
    node.hearth("rule", "rm", "r")
    for command in [["show", "r"], ["rm", "r"], ["enable", "r"]]:
        assert node.hearth("rule", *command, check=False).returncode == 4, command
