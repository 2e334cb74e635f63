"""Queues on the real binary: what is answered survives kill -9, and the AWS command line works unchanged."""

import json
import random
import threading

import botocore.exceptions

from harness import error_of, wait_until


def drained(sqs, url):
    """Everything that can be received now, deleted."""
    bodies = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages"):
        bodies.extend(message["Body"] for message in messages)
        sqs.delete_message_batch(
            QueueUrl=url,
            Entries=[{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(messages)],
        )
    return bodies


def test_what_was_answered_survives_kills(new_node):
    node = new_node()
    answered, asked, received, deleted = set(), 0, set(), set()
    node.client("sqs").create_queue(QueueName="kept", Attributes={"VisibilityTimeout": "0"})
    for _ in range(4):
        sqs = node.client("sqs")
        url = sqs.get_queue_url(QueueName="kept")["QueueUrl"]
        kill = threading.Timer(random.uniform(0.2, 1.0), node.kill)
        kill.start()
        try:
            while True:
                body = str(asked)
                asked += 1
                sqs.send_message(QueueUrl=url, MessageBody=body)
                answered.add(body)
                if asked % 4 == 0:
                    for message in sqs.receive_message(QueueUrl=url).get("Messages", []):
                        received.add(message["Body"])
                        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                        deleted.add(message["Body"])
        except botocore.exceptions.HTTPClientError:
            pass
        kill.join()
        node.process.wait()
        node.start()
    sqs = node.client("sqs")
    url = sqs.get_queue_url(QueueName="kept")["QueueUrl"]
    found = drained(sqs, url)
    assert answered and len(found) == len(set(found))
    # A deletion that was not answered may have been done.
    assert answered - set(found) - received == set()
    assert deleted & set(found) == set()


def test_settings_receipts_and_order_survive_a_restart(new_node):
    node = new_node()
    sqs = node.client("sqs")
    options = {"FifoQueue": "true", "ContentBasedDeduplication": "true", "VisibilityTimeout": "600"}
    sqs.create_queue(QueueName="order.fifo", Attributes=options, tags={"a": "b"})
    url = sqs.get_queue_url(QueueName="order.fifo")["QueueUrl"]
    for n in range(5):
        sqs.send_message(QueueUrl=url, MessageBody=str(n), MessageGroupId="g")
    [first] = sqs.receive_message(QueueUrl=url)["Messages"]
    node.kill()
    node.start()
    sqs = node.client("sqs")
    url = sqs.get_queue_url(QueueName="order.fifo")["QueueUrl"]
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"a": "b"}
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "VisibilityTimeout"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    assert [found[name] for name in names] == ["4", "1", "600"]
    # The group is still held, a duplicate is still known, and the receipt still good.
    assert "Messages" not in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    sqs.send_message(QueueUrl=url, MessageBody="3", MessageGroupId="g")
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert [message["Body"] for message in messages] == ["1", "2", "3", "4"]


def test_dead_letters_are_moved_back_though_the_node_is_killed(new_node):
    node = new_node()
    sqs = node.client("sqs")

    def queue(name, **attributes):
        url = sqs.create_queue(QueueName=name, Attributes={k: str(v) for k, v in attributes.items()})["QueueUrl"]
        return url, f"arn:aws:sqs:us-east-1:000000000000:{name}"

    dead, dead_arn = queue("dead")
    policy = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 1})
    work, work_arn = queue("work", VisibilityTimeout=0, RedrivePolicy=policy)
    other, other_arn = queue("other")
    bodies = {str(n) for n in range(60)}
    for body in bodies:
        sqs.send_message(QueueUrl=work, MessageBody=body)
    while sqs.receive_message(QueueUrl=work, MaxNumberOfMessages=10).get("Messages"):
        pass

    start = sqs.start_message_move_task
    for bad, code in (
        ({"SourceArn": work_arn}, "InvalidParameterValue"),
        ({"SourceArn": dead_arn, "DestinationArn": dead_arn}, "InvalidParameterValue"),
        ({"SourceArn": dead_arn, "MaxNumberOfMessagesPerSecond": 501}, "InvalidParameterValue"),
        ({"SourceArn": dead_arn, "DestinationArn": work_arn + "x"}, "ResourceNotFoundException"),
        ({"SourceArn": dead_arn + "x"}, "ResourceNotFoundException"),
        ({"SourceArn": "nonsense"}, "InvalidParameterValue"),
    ):
        error = error_of(start, **bad)
        assert error[0] == code and error[1] == 400, error
    # Slow enough to be met while it runs.
    handle = start(SourceArn=dead_arn, MaxNumberOfMessagesPerSecond=10)["TaskHandle"]
    assert error_of(start, SourceArn=dead_arn)[0] == "AWS.SimpleQueueService.UnsupportedOperation"

    def task(client):
        (found,) = client.list_message_move_tasks(SourceArn=dead_arn)["Results"]
        return found

    running = wait_until(lambda: (found := task(sqs))["ApproximateNumberOfMessagesMoved"] > 0 and found, "the first to be moved")
    assert running["Status"] == "RUNNING" and running["TaskHandle"] == handle
    assert running["ApproximateNumberOfMessagesToMove"] == 60 and running["MaxNumberOfMessagesPerSecond"] == 10
    node.kill()
    node.start()
    sqs = node.client("sqs")
    work, dead, other = (sqs.get_queue_url(QueueName=name)["QueueUrl"] for name in ("work", "dead", "other"))
    moved = task(sqs)["ApproximateNumberOfMessagesMoved"]
    wait_until(lambda: task(sqs)["ApproximateNumberOfMessagesMoved"] > moved, "it to go on")
    cancelled = sqs.cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"]
    assert task(sqs)["Status"] == "CANCELLED" and "TaskHandle" not in task(sqs)
    error = error_of(sqs.cancel_message_move_task, TaskHandle=handle)
    assert error[0] == "ResourceNotFoundException", error
    assert error_of(sqs.cancel_message_move_task, TaskHandle="nonsense")[0] == "InvalidParameterValue"
    # The rest goes elsewhere, by the command line.
    node.aws("sqs", "start-message-move-task", "--source-arn", dead_arn, "--destination-arn", other_arn)
    wait_until(lambda: task(sqs)["Status"] == "COMPLETED", "the rest to be moved")
    assert task(sqs)["DestinationArn"] == other_arn
    assert task(sqs)["ApproximateNumberOfMessagesMoved"] == 60 - cancelled
    assert len(sqs.list_message_move_tasks(SourceArn=dead_arn, MaxResults=10)["Results"]) == 2
    sqs.set_queue_attributes(QueueUrl=work, Attributes={"VisibilityTimeout": "60"})
    back, elsewhere = drained(sqs, work), drained(sqs, other)
    assert len(back) == cancelled and sorted(back + elsewhere) == sorted(bodies) and not drained(sqs, dead)


def test_the_aws_command_line(new_node):
    node = new_node()

    def aws(*arguments):
        out = node.aws("sqs", *arguments).stdout
        return json.loads(out) if out.strip() else None

    dead = aws("create-queue", "--queue-name", "dead")["QueueUrl"]
    arn = aws("get-queue-attributes", "--queue-url", dead, "--attribute-names", "QueueArn")["Attributes"]["QueueArn"]
    policy = json.dumps({"RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "1"}), "VisibilityTimeout": "0"})
    url = aws("create-queue", "--queue-name", "work", "--attributes", policy)["QueueUrl"]
    assert aws("list-queues")["QueueUrls"] == [dead, url]
    sent = aws("send-message", "--queue-url", url, "--message-body", "poison")
    [got] = aws("receive-message", "--queue-url", url)["Messages"]
    assert (got["MessageId"], got["Body"]) == (sent["MessageId"], "poison")
    assert aws("receive-message", "--queue-url", url) is None
    [got] = aws("receive-message", "--queue-url", dead, "--wait-time-seconds", "5")["Messages"]
    aws("delete-message", "--queue-url", dead, "--receipt-handle", got["ReceiptHandle"])
    refused = node.aws("sqs", "purge-queue", "--queue-url", url + "-missing", check=False)
    assert "AWS.SimpleQueueService.NonExistentQueue" in refused.stderr
    aws("delete-queue", "--queue-url", url)
    assert aws("list-queues")["QueueUrls"] == [dead]
