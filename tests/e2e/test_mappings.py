"""Queues call functions: batches, filters, failures, order, dead letters, kills."""

import base64
import hashlib
import json

from harness import create, python_zip, wait_until

# Says what it was given, each record on a line of its own.
SEES = """
import json
def handler(event, context):
    for record in event["Records"]:
        print("got", json.dumps(record))
    print("batch", len(event["Records"]))
"""
# Fails for messages that say so; tells of the rest what became of them.
PARTLY = """
import json
def handler(event, context):
    failed = [r["messageId"] for r in event["Records"] if r["body"].startswith("bad")]
    for record in event["Records"]:
        print("got", json.dumps(record))
    return {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}
"""
FAILS = """
import json
def handler(event, context):
    for record in event["Records"]:
        print("got", json.dumps(record))
    raise ValueError("no")
"""


def queue(node, name, **attributes):
    """Makes a queue: its URL and ARN."""
    sqs = node.client("sqs")
    url = sqs.create_queue(QueueName=name, Attributes={n: str(v) for n, v in attributes.items()})["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def mapped(node, name, arn, **options):
    """Makes a mapping that is enabled."""
    lam = node.client("lambda")
    uuid = lam.create_event_source_mapping(EventSourceArn=arn, FunctionName=name, **options)["UUID"]
    wait_until(lambda: lam.get_event_source_mapping(UUID=uuid)["State"] == "Enabled", "the mapping to be enabled")
    return uuid


def lines(node, name, word):
    log = node.hearth("logs", name, check=False).stdout
    return [line.split(f"{word} ", 1)[1] for line in log.splitlines() if f"{word} " in line]


def got(node, name):
    """The records that a function was given, in order of its log."""
    return [json.loads(line) for line in lines(node, name, "got")]


def counts(node, url):
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = node.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return tuple(int(found[name]) for name in names)


def emptied(node, url):
    wait_until(lambda: counts(node, url) == (0, 0), "the queue to be empty")


def test_a_message_is_a_record_of_the_services_shape(node, lam, name):
    create(lam, name, SEES)
    url, arn = queue(node, name)
    uuid = mapped(node, name, arn)
    attributes = {
        "text": {"DataType": "String", "StringValue": "é"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\0\xff"},
        "number": {"DataType": "Number.int", "StringValue": "7"},
    }
    sent = node.client("sqs").send_message(QueueUrl=url, MessageBody='{"n": 1}', MessageAttributes=attributes)
    (record,) = wait_until(lambda: got(node, name), "the message")
    emptied(node, url)
    assert record.pop("receiptHandle")
    system = record.pop("attributes")
    assert system["ApproximateReceiveCount"] == "1" and system["SenderId"] == "000000000000"
    assert 0 <= int(system["ApproximateFirstReceiveTimestamp"]) - int(system["SentTimestamp"])
    empty = {"stringListValues": [], "binaryListValues": []}
    assert record == {
        "messageId": sent["MessageId"],
        "body": '{"n": 1}',
        "md5OfBody": hashlib.md5(b'{"n": 1}').hexdigest(),
        "md5OfMessageAttributes": sent["MD5OfMessageAttributes"],
        "messageAttributes": {
            "text": {"stringValue": "é", "dataType": "String", **empty},
            "bytes": {"binaryValue": base64.b64encode(b"\0\xff").decode(), "dataType": "Binary", **empty},
            "number": {"stringValue": "7", "dataType": "Number.int", **empty},
        },
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": "us-east-1",
    }
    wait_until(lambda: lam.get_event_source_mapping(UUID=uuid)["LastProcessingResult"] == "OK", "the result")


def test_batches_are_gathered_and_bounded(node, lam, name):
    create(lam, name, SEES)
    url, arn = queue(node, name, VisibilityTimeout=60)
    sqs = node.client("sqs")
    # As many as a batch has are handed over before the window ends, which the test would not live to see.
    mapped(node, name, arn, BatchSize=25, MaximumBatchingWindowInSeconds=300)
    for at in range(0, 25, 5):
        sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": str(at + n)} for n in range(5)])
    emptied(node, url)
    assert lines(node, name, "batch") == ["25"]
    assert sorted(int(record["body"]) for record in got(node, name)) == list(range(25))


def test_a_window_ends_and_six_megabytes_are_enough(node, lam, name):
    create(lam, name, "def handler(event, context):\n    print('batch', len(event['Records']))\n")
    url, arn = queue(node, name, VisibilityTimeout=60)
    sqs = node.client("sqs")
    uuid = mapped(node, name, arn, BatchSize=1000, MaximumBatchingWindowInSeconds=300)
    for _ in range(7):
        sqs.send_message(QueueUrl=url, MessageBody="x" * 1_000_000)
    wait_until(lambda: lines(node, name, "batch"), "a batch of what fits")
    assert int(lines(node, name, "batch")[0]) < 7
    # The rest waits for its window, which is now a short one.
    lam.update_event_source_mapping(UUID=uuid, MaximumBatchingWindowInSeconds=1)
    emptied(node, url)
    assert sum(map(int, lines(node, name, "batch"))) == 7


def test_filters_drop_what_is_not_meant(node, lam, name):
    create(lam, name, SEES)
    url, arn = queue(node, name)
    filters = [
        {"Pattern": json.dumps({"body": {"n": [{"numeric": [">", 5]}], "kind": [{"anything-but": "test"}]}})},
        {"Pattern": json.dumps({"messageAttributes": {"urgent": {"stringValue": ["yes"]}}})},
    ]
    mapped(node, name, arn, FilterCriteria={"Filters": filters})
    sqs = node.client("sqs")
    urgent = {"urgent": {"DataType": "String", "StringValue": "yes"}}
    for body in ({"n": 1, "kind": "a"}, {"n": 6, "kind": "test"}, {"n": 7, "kind": "b"}):
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps(body))
    sqs.send_message(QueueUrl=url, MessageBody="no JSON at all")
    sqs.send_message(QueueUrl=url, MessageBody="urgent", MessageAttributes=urgent)
    emptied(node, url)
    assert sorted(record["body"] for record in got(node, name)) == ["urgent", '{"n": 7, "kind": "b"}'], "the rest is gone"


def test_only_what_failed_comes_again_and_poison_ends_in_the_dead_letter_queue(node, lam, name):
    create(lam, name, PARTLY, Timeout=1)
    dead_url, dead_arn = queue(node, f"dead-{name}"[:80])
    redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 2})
    url, arn = queue(node, name[:80], VisibilityTimeout=1, RedrivePolicy=redrive)
    uuid = mapped(node, name, arn, FunctionResponseTypes=["ReportBatchItemFailures"])
    sqs = node.client("sqs")
    bodies = ["good 1", "bad", "good 2"]
    sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": b} for n, b in enumerate(bodies)])
    (letter,) = sqs.receive_message(QueueUrl=dead_url, WaitTimeSeconds=20, AttributeNames=["All"])["Messages"]
    assert letter["Body"] == "bad"
    assert letter["Attributes"]["DeadLetterQueueSourceArn"] == arn
    emptied(node, url)
    given = [(record["body"], record["attributes"]["ApproximateReceiveCount"]) for record in got(node, name)]
    assert sorted(given) == [("bad", "1"), ("bad", "2"), ("good 1", "1"), ("good 2", "1")]
    result = lam.get_event_source_mapping(UUID=uuid)["LastProcessingResult"]
    assert result == "PROBLEM: Function call failed", "the last batch was of the bad one alone"


def test_a_function_that_fails_gets_the_whole_batch_again(node, lam, name):
    create(lam, name, FAILS, Timeout=1)
    dead_url, dead_arn = queue(node, f"dead-{name}"[:80])
    redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 2})
    url, arn = queue(node, name[:80], VisibilityTimeout=1, RedrivePolicy=redrive)
    mapped(node, name, arn)
    node.client("sqs").send_message_batch(QueueUrl=url, Entries=[{"Id": i, "MessageBody": i} for i in "ab"])
    wait_until(lambda: counts(node, dead_url) == (2, 0), "both in the dead-letter queue")
    assert sorted(record["body"] for record in got(node, name)) == ["a", "a", "b", "b"]


def test_groups_of_a_fifo_queue_are_in_order_and_stop_at_a_failure(node, lam, name):
    # The first delivery of "a2" fails; what is behind it in its group must come after it.
    code = """
import json
def handler(event, context):
    failed = []
    for record in event["Records"]:
        count = record["attributes"]["ApproximateReceiveCount"]
        print("got", json.dumps(record))
        if record["body"] == "a2" and count == "1":
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
"""
    create(lam, name, code, Timeout=1)
    url, arn = queue(node, f"{name[:70]}.fifo", FifoQueue="true", ContentBasedDeduplication="true", VisibilityTimeout=2)
    sqs = node.client("sqs")
    for n in range(6):
        for group in "ab":
            sqs.send_message(QueueUrl=url, MessageBody=f"{group}{n}", MessageGroupId=group)
    mapped(node, name, arn, FunctionResponseTypes=["ReportBatchItemFailures"])
    emptied(node, url)
    records = got(node, name)
    assert all(r["attributes"]["MessageGroupId"] == r["body"][0] and r["attributes"]["SequenceNumber"] for r in records)

    def taken(group):
        """Each message as it was given last, in order."""
        last = {}
        for at, record in enumerate(records):
            if record["body"].startswith(group):
                last[record["body"]] = at
        return sorted(last, key=last.get)

    assert taken("a") == [f"a{n}" for n in range(6)] and taken("b") == [f"b{n}" for n in range(6)]
    bodies = [record["body"] for record in records]
    assert bodies.count("a2") == 2 and bodies.count("a1") == 1
    # What was given before the failure was known is given again, behind it.
    again = bodies[len(bodies) - 1 - bodies[::-1].index("a2"):]
    assert [body for body in again if body[0] == "a"] == ["a2", "a3", "a4", "a5"]


def test_concurrency_is_bounded_and_used(node, lam, name):
    code = """
import time
def handler(event, context):
    print("begins", time.time())
    time.sleep(0.3)
    print("ends", time.time())
"""
    create(lam, name, code)
    url, arn = queue(node, name)
    sqs = node.client("sqs")
    for at in range(2):
        sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": str(n)} for n in range(6)])
    mapped(node, name, arn, BatchSize=1, ScalingConfig={"MaximumConcurrency": 2})
    emptied(node, url)
    steps = sorted([(float(t), 1) for t in lines(node, name, "begins")] + [(float(t), -1) for t in lines(node, name, "ends")])
    assert len(steps) == 24
    running = [sum(step for _, step in steps[: at + 1]) for at in range(len(steps))]
    assert max(running) == 2


def test_a_throttled_function_costs_messages_nothing(node, lam, name):
    create(lam, name, SEES)
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    dead_url, dead_arn = queue(node, f"dead-{name}"[:80])
    redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 1})
    url, arn = queue(node, name[:80], RedrivePolicy=redrive)
    uuid = mapped(node, name, arn)
    node.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    throttled = lambda: "PROBLEM" in lam.get_event_source_mapping(UUID=uuid)["LastProcessingResult"]
    wait_until(throttled, "a refusal")
    lam.delete_function_concurrency(FunctionName=name)
    (record,) = wait_until(lambda: got(node, name), "the message")
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    emptied(node, url)
    assert counts(node, dead_url) == (0, 0)


def test_disabled_and_deleted_mappings_take_nothing(node, lam, name):
    create(lam, name, SEES)
    url, arn = queue(node, name)
    uuid = mapped(node, name, arn)
    lam.update_event_source_mapping(UUID=uuid, Enabled=False)
    wait_until(lambda: lam.get_event_source_mapping(UUID=uuid)["State"] == "Disabled", "it to be disabled")
    sqs = node.client("sqs")
    sqs.send_message(QueueUrl=url, MessageBody="x")
    (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2, AttributeNames=["All"])["Messages"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "1", "nobody had it before"
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    lam.update_event_source_mapping(UUID=uuid, Enabled=True)
    wait_until(lambda: got(node, name), "the message")
    emptied(node, url)
    lam.delete_event_source_mapping(UUID=uuid)
    wait_until(lambda: not lam.list_event_source_mappings(FunctionName=name)["EventSourceMappings"], "its end")
    sqs.send_message(QueueUrl=url, MessageBody="y")
    assert sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2)["Messages"]


def test_an_alias_is_called_and_two_mappings_share_a_queue(node, lam, name):
    create(lam, name, "def handler(event, context):\n    print('by', context.invoked_function_arn, context.function_version)\n")
    lam.publish_version(FunctionName=name)
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    url, arn = queue(node, name)
    mapped(node, f"{name}:live", arn, BatchSize=1)
    sqs = node.client("sqs")
    sqs.send_message(QueueUrl=url, MessageBody="x")
    (line,) = wait_until(lambda: lines(node, name, "by"), "the message")
    assert line.split() == [f"arn:aws:lambda:us-east-1:000000000000:function:{name}:live", "1"]
    mapped(node, name, arn, BatchSize=1)
    for n in range(20):
        sqs.send_message(QueueUrl=url, MessageBody=str(n))
    emptied(node, url)
    assert len(lines(node, name, "by")) == 21, "each message was given to one"


def test_a_queue_and_a_function_that_are_gone_are_waited_for(node, lam, name):
    url, arn = queue(node, name)
    create(lam, name, SEES)
    uuid = mapped(node, name, arn)
    result = lambda: lam.get_event_source_mapping(UUID=uuid)["LastProcessingResult"]
    lam.delete_function(FunctionName=name)
    sqs = node.client("sqs")
    sqs.send_message(QueueUrl=url, MessageBody="x")
    wait_until(lambda: "Function not found" in result(), "what is missing to be told")
    create(lam, name, SEES)
    wait_until(lambda: got(node, name), "the message")
    emptied(node, url)
    sqs.delete_queue(QueueUrl=url)
    wait_until(lambda: "queue does not exist" in result(), "what is missing to be told")
    queue(node, name)
    sqs.send_message(QueueUrl=url, MessageBody="y")
    wait_until(lambda: len(got(node, name)) == 2, "the message of the new queue")


def test_a_loop_through_a_queue_ends_in_its_dead_letter_queue(new_node):
    node = new_node(expected_log=["a message was not given to the function"])
    lam, sqs = node.client("lambda"), node.client("sqs")
    create(lam, "f", "import os\ndef handler(event, context):\n    print('trace', os.environ['_X_AMZN_TRACE_ID'])\n", Timeout=1)
    dead_url, dead_arn = queue(node, "dead")
    redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 1})
    url, arn = queue(node, "loop", VisibilityTimeout=1, RedrivePolicy=redrive)
    mapped(node, "f", arn)
    traces = []

    def passed_on(params, **_):
        """What SDKs do in a function: its trace goes with what it sends."""
        if traces:
            params["headers"]["X-Amzn-Trace-Id"] = traces[-1]

    sqs.meta.events.register("before-call.sqs.SendMessage", passed_on)
    for run in range(1, 17):
        sqs.send_message(QueueUrl=url, MessageBody="round and round")
        traces = wait_until(lambda: len(found := lines(node, "f", "trace")) == run and found, "the next round")
    sqs.send_message(QueueUrl=url, MessageBody="once more")
    (letter,) = sqs.receive_message(QueueUrl=dead_url, WaitTimeSeconds=20)["Messages"]
    assert letter["Body"] == "once more"
    assert len(lines(node, "f", "trace")) == 16


def test_kills_lose_nothing(new_node):
    node = new_node()
    lam = node.client("lambda")
    create(lam, "f", "import time\ndef handler(event, context):\n    time.sleep(0.1)\n    raise ValueError('not yet')\n", Timeout=1)
    url, arn = queue(node, "q", VisibilityTimeout=1)
    mapped(node, "f", arn)
    sent = set()
    for kill in range(3):
        for n in range(40):
            node.client("sqs").send_message(QueueUrl=url, MessageBody=f"{kill}-{n}")
            sent.add(f"{kill}-{n}")
        wait_until(lambda: counts(node, url)[1], "messages to be in flight")
        node.kill()
        node.start()
        url = node.client("sqs").get_queue_url(QueueName="q")["QueueUrl"]
    lam = node.client("lambda")
    lam.update_function_code(FunctionName="f", ZipFile=python_zip(SEES))
    lam.get_waiter("function_updated_v2").wait(FunctionName="f", WaiterConfig={"Delay": 1})
    emptied(node, url)
    assert {record["body"] for record in got(node, "f")} == sent


def test_a_node_that_stops_lets_batches_end(new_node):
    node = new_node()
    lam = node.client("lambda")
    code = "import time\ndef handler(event, context):\n    print('begins', 1)\n    time.sleep(2)\n    print('ends', 1)\n"
    create(lam, "f", code, Timeout=10)
    url, arn = queue(node, "q")
    mapped(node, "f", arn)
    node.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    wait_until(lambda: lines(node, "f", "begins"), "the batch to begin")
    node.stop()
    node.start()
    url = node.client("sqs").get_queue_url(QueueName="q")["QueueUrl"]
    assert counts(node, url) == (0, 0), "it was run to its end, and deleted"
    assert len(lines(node, "f", "ends")) == 1
