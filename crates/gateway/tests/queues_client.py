"""The service's own client against queues: argument 1 is the endpoint."""

import hashlib
import json
import struct
import sys
import threading
import time
import urllib.error
import urllib.request

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

ENDPOINT = sys.argv[1]
ACCOUNT = "000000000000"
PLAIN = Config(retries={"total_max_attempts": 1}, read_timeout=60, parameter_validation=False)
sqs = boto3.client("sqs", endpoint_url=ENDPOINT, config=PLAIN)
PATIENCE_S = 30
QUERY = "AWS.SimpleQueueService."


def refused(code, call, exception=None, status=400, **arguments):
    """The error, if the call is refused as it must be."""
    try:
        call(**arguments)
    except ClientError as error:
        response = error.response
        found = (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"])
        assert found == (code, status), response
        assert response["Error"]["Message"], response
        if exception:
            assert isinstance(error, getattr(sqs.exceptions, exception)), type(error)
        return response["Error"]["Message"]
    raise AssertionError(f"not refused with {code}: {arguments}")


def make(name, **attributes):
    return sqs.create_queue(QueueName=name, Attributes={k: str(v) for k, v in attributes.items()})["QueueUrl"]


def receive(url, most=10, **options):
    return sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=most, **options).get("Messages", [])


def counts(url):
    names = ["", "NotVisible", "Delayed"]
    names = [f"ApproximateNumberOfMessages{n}" for n in names]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return tuple(int(found[n]) for n in names)


def wait_until(ask, what):
    end = time.monotonic() + PATIENCE_S
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < end, f"waited for {what}"
        time.sleep(0.05)


def queues():
    url = make("life", VisibilityTimeout=7)
    assert url == f"{ENDPOINT}/{ACCOUNT}/life"
    assert make("life") == make("life", VisibilityTimeout=7) == url
    refused("QueueAlreadyExists", sqs.create_queue, "QueueNameExists", QueueName="life", Attributes={"VisibilityTimeout": "8"})
    assert sqs.get_queue_url(QueueName="life")["QueueUrl"] == url
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    expected = {
        "QueueArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:life",
        "VisibilityTimeout": "7", "DelaySeconds": "0", "MaximumMessageSize": "1048576",
        "MessageRetentionPeriod": "345600", "ReceiveMessageWaitTimeSeconds": "0",
    }
    assert expected.items() <= found.items(), found
    assert "FifoQueue" not in found
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "900", "MessageRetentionPeriod": "60"})
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["DelaySeconds", "VisibilityTimeout"])["Attributes"]
    assert found == {"DelaySeconds": "900", "VisibilityTimeout": "7"}
    assert "Attributes" not in sqs.get_queue_attributes(QueueUrl=url)

    sqs.tag_queue(QueueUrl=url, Tags={"a": "1", "b": "2"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["a"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"b": "2"}
    tagged = sqs.create_queue(QueueName="tagged", tags={"x": "y"})["QueueUrl"]
    assert sqs.list_queue_tags(QueueUrl=tagged)["Tags"] == {"x": "y"}
    refused("InvalidParameterValue", sqs.tag_queue, QueueUrl=url, Tags={f"t{n}": "" for n in range(51)})

    for n in range(5):
        make(f"page-{n}")
    pages = sqs.get_paginator("list_queues").paginate(QueueNamePrefix="page-", PaginationConfig={"PageSize": 2})
    pages = [[u.rsplit("/", 1)[1] for u in page["QueueUrls"]] for page in pages]
    assert pages == [["page-0", "page-1"], ["page-2", "page-3"], ["page-4"]], pages
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix="no-such")
    other = boto3.client("sqs", endpoint_url=ENDPOINT, config=PLAIN, region_name="eu-west-1")
    assert "QueueUrls" not in other.list_queues()
    refused(QUERY + "NonExistentQueue", other.get_queue_url, "QueueDoesNotExist", QueueName="life")

    sqs.delete_queue(QueueUrl=url)
    for call in (sqs.delete_queue, sqs.purge_queue, sqs.list_queue_tags, sqs.receive_message):
        refused(QUERY + "NonExistentQueue", call, "QueueDoesNotExist", QueueUrl=url)


def messages():
    url = make("messages")
    attributes = {
        "text": {"DataType": "String", "StringValue": "ü"},
        "number.int": {"DataType": "Number", "StringValue": "12"},
        "bytes": {"DataType": "Binary.png", "BinaryValue": b"\x00\xff"},
    }
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}}
    text = "héllo\n\U0001F600"
    sent = sqs.send_message(
        QueueUrl=url, MessageBody=text, MessageAttributes=attributes, MessageSystemAttributes=trace,
        MessageGroupId="tenant",
    )
    assert "SequenceNumber" not in sent
    [got] = receive(url, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"])
    assert (got["MessageId"], got["Body"]) == (sent["MessageId"], text)
    assert got["MD5OfBody"] == sent["MD5OfMessageBody"] == hashlib.md5(text.encode()).hexdigest()
    assert got["MessageAttributes"] == attributes
    assert got["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"] == md5_of(attributes)
    assert sent["MD5OfMessageSystemAttributes"] == md5_of(trace)
    system = got["Attributes"]
    assert system["AWSTraceHeader"] == trace["AWSTraceHeader"]["StringValue"]
    assert (system["SenderId"], system["ApproximateReceiveCount"], system["MessageGroupId"]) == (ACCOUNT, "1", "tenant")
    assert abs(int(system["SentTimestamp"]) / 1000 - time.time()) < PATIENCE_S
    assert counts(url) == (0, 1, 0)
    assert receive(url) == []

    old = got["ReceiptHandle"]
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=old, VisibilityTimeout=0)
    refused(QUERY + "MessageNotInflight", sqs.change_message_visibility, "MessageNotInflight", QueueUrl=url, ReceiptHandle=old, VisibilityTimeout=9)
    [again] = receive(url, MessageAttributeNames=["number.*"], AttributeNames=["ApproximateReceiveCount"])
    assert again["Attributes"] == {"ApproximateReceiveCount": "2"}
    assert again["MessageAttributes"] == {"number.int": attributes["number.int"]}
    assert again["MD5OfMessageAttributes"] == md5_of(again["MessageAttributes"])
    # The old receipt is taken and has no power.
    sqs.delete_message(QueueUrl=url, ReceiptHandle=old)
    refused("InvalidParameterValue", sqs.change_message_visibility, QueueUrl=url, ReceiptHandle=old, VisibilityTimeout=0)
    assert counts(url) == (0, 1, 0)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=again["ReceiptHandle"])
    sqs.delete_message(QueueUrl=url, ReceiptHandle=again["ReceiptHandle"])
    assert counts(url) == (0, 0, 0)

    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=1)
    assert receive(url, WaitTimeSeconds=20)[0]["Body"] == "later"
    sqs.send_message(QueueUrl=url, MessageBody="much later", DelaySeconds=900)
    assert counts(url)[2] == 1
    sqs.purge_queue(QueueUrl=url)
    assert counts(url) == (0, 0, 0)


def md5_of(attributes):
    digest = hashlib.md5()
    for name, value in sorted(attributes.items()):
        binary = "BinaryValue" in value
        bytes_ = value["BinaryValue"] if binary else value["StringValue"].encode()
        for part in (name.encode(), value["DataType"].encode()):
            digest.update(struct.pack("!I", len(part)) + part)
        digest.update((b"\x02" if binary else b"\x01") + struct.pack("!I", len(bytes_)) + bytes_)
    return digest.hexdigest()


def batches():
    url = make("batches")
    entries = [{"Id": f"i{n}", "MessageBody": f"m{n}"} for n in range(9)] + [{"Id": "bad", "MessageBody": "\x01"}]
    sent = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    assert [one["Id"] for one in sent["Successful"]] == [f"i{n}" for n in range(9)]
    [failed] = sent["Failed"]
    assert (failed["Id"], failed["Code"], failed["SenderFault"]) == ("bad", "InvalidMessageContents", True)
    got = receive(url)
    assert sorted(one["Body"] for one in got) == [f"m{n}" for n in range(9)]
    changes = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"], "VisibilityTimeout": 100} for n, one in enumerate(got)]
    changes[0]["VisibilityTimeout"] = 43_201
    changed = sqs.change_message_visibility_batch(QueueUrl=url, Entries=changes)
    assert (len(changed["Successful"]), changed["Failed"][0]["Id"]) == (8, "0"), changed
    deleted = sqs.delete_message_batch(
        QueueUrl=url, Entries=[{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(got)] + [{"Id": "x", "ReceiptHandle": "nonsense"}]
    )
    assert len(deleted["Successful"]) == 9
    assert [(one["Id"], one["Code"]) for one in deleted["Failed"]] == [("x", "ReceiptHandleIsInvalid")]
    assert counts(url) == (0, 0, 0)

    send = sqs.send_message_batch
    refused(QUERY + "EmptyBatchRequest", send, "EmptyBatchRequest", QueueUrl=url, Entries=[])
    eleven = [{"Id": str(n), "MessageBody": "m"} for n in range(11)]
    refused(QUERY + "TooManyEntriesInBatchRequest", send, "TooManyEntriesInBatchRequest", QueueUrl=url, Entries=eleven)
    twice = [{"Id": "a", "MessageBody": "m"}] * 2
    refused(QUERY + "BatchEntryIdsNotDistinct", send, "BatchEntryIdsNotDistinct", QueueUrl=url, Entries=twice)
    refused(QUERY + "InvalidBatchEntryId", send, "InvalidBatchEntryId", QueueUrl=url, Entries=[{"Id": "a b", "MessageBody": "m"}])
    large = [{"Id": str(n), "MessageBody": "x" * 600_000} for n in range(2)]
    refused(QUERY + "BatchRequestTooLong", send, "BatchRequestTooLong", QueueUrl=url, Entries=large)
    assert counts(url) == (0, 0, 0)


def long_polling():
    url = make("polling")
    got = []
    poll = threading.Thread(target=lambda: got.extend(receive(url, WaitTimeSeconds=20)))
    poll.start()
    time.sleep(0.3)
    sqs.send_message(QueueUrl=url, MessageBody="woken")
    poll.join(PATIENCE_S)
    assert [one["Body"] for one in got] == ["woken"]
    # Many wait, and each message wakes one of them.
    found, lock = [], threading.Lock()

    def one():
        client = boto3.client("sqs", endpoint_url=ENDPOINT, config=PLAIN)
        messages = client.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages", [])
        with lock:
            found.extend(message["Body"] for message in messages)

    pollers = [threading.Thread(target=one) for _ in range(5)]
    for poller in pollers:
        poller.start()
    sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": str(n)} for n in range(5)])
    for poller in pollers:
        poller.join(PATIENCE_S)
    assert sorted(found) == list("01234"), found
    # A queue may say itself for how long its receives wait, and is empty then.
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"ReceiveMessageWaitTimeSeconds": "1"})
    assert receive(url) == []


def redrive():
    dead = make("dead")
    dead_arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:dead"
    policy = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": "2"})
    url = make("source", RedrivePolicy=policy, VisibilityTimeout=0)
    shown = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]["RedrivePolicy"]
    assert json.loads(shown) == {"deadLetterTargetArn": dead_arn, "maxReceiveCount": 2}
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]
    sent = sqs.send_message(QueueUrl=url, MessageBody="poison")
    for _ in range(2):
        assert len(receive(url)) == 1
    assert receive(url) == []
    [got] = receive(dead, MessageSystemAttributeNames=["DeadLetterQueueSourceArn"])
    assert (got["MessageId"], got["Body"]) == (sent["MessageId"], "poison")
    assert got["Attributes"] == {"DeadLetterQueueSourceArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:source"}
    assert counts(url) == (0, 0, 0)

    def set_policy(target=dead_arn, **more):
        policy = json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": 2} | more)
        return lambda: sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": policy})

    make("dead.fifo", FifoQueue="true")
    for bad in (
        set_policy(target="nonsense"), set_policy(target=dead_arn + "-missing"), set_policy(maxReceiveCount=0),
        set_policy(maxReceiveCount=1001), set_policy(target=dead_arn + ".fifo"), set_policy(target=dead_arn.replace("dead", "source")),
    ):
        refused("InvalidParameterValue", bad)
    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"RedriveAllowPolicy": json.dumps({"redrivePermission": "denyAll"})})
    assert "RedriveAllowPolicy" in refused("InvalidParameterValue", set_policy())
    by = {"redrivePermission": "byQueue", "sourceQueueArns": [f"arn:aws:sqs:us-east-1:{ACCOUNT}:source"]}
    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"RedriveAllowPolicy": json.dumps(by)})
    set_policy()()
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": ""})
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == []


def fifo():
    url = make("order.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    first = sqs.send_message(QueueUrl=url, MessageBody="a0", MessageGroupId="a")
    again = sqs.send_message(QueueUrl=url, MessageBody="a0", MessageGroupId="a")
    assert (again["MessageId"], again["SequenceNumber"]) == (first["MessageId"], first["SequenceNumber"])
    numbers = [first["SequenceNumber"]]
    for n in range(1, 20):
        for group in "ab":
            sent = sqs.send_message(QueueUrl=url, MessageBody=f"{group}{n}", MessageGroupId=group)
            numbers.append(sent["SequenceNumber"])
    assert numbers == sorted(numbers) and len(set(numbers)) == len(numbers)
    # Two consumers at once: each group comes in order, and never to both at the same time.
    taken, lock, holders = [], threading.Lock(), {}

    def consume():
        client = boto3.client("sqs", endpoint_url=ENDPOINT, config=PLAIN)
        while messages := client.receive_message(
            QueueUrl=url, MaxNumberOfMessages=3, WaitTimeSeconds=2, MessageSystemAttributeNames=["MessageGroupId"]
        ).get("Messages"):
            groups = {message["Attributes"]["MessageGroupId"] for message in messages}
            with lock:
                for group in groups:
                    assert group not in holders, holders
                    holders[group] = threading.get_ident()
                taken.extend(message["Body"] for message in messages)
            for message in messages:
                with lock:
                    last = message is [m for m in messages if m["Body"][0] == message["Body"][0]][-1]
                    if last:
                        del holders[message["Body"][0]]
                client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    consumers = [threading.Thread(target=consume) for _ in range(2)]
    for consumer in consumers:
        consumer.start()
    for consumer in consumers:
        consumer.join(2 * PATIENCE_S)
    assert [body for body in taken if body[0] == "a"] == [f"a{n}" for n in range(20)], taken
    assert [body for body in taken if body[0] == "b"] == [f"b{n}" for n in range(1, 20)], taken

    refused("MissingParameter", sqs.send_message, QueueUrl=url, MessageBody="x")
    refused("InvalidParameterValue", sqs.send_message, QueueUrl=url, MessageBody="x", MessageGroupId="g", DelaySeconds=1)
    refused("InvalidParameterValue", sqs.send_message, QueueUrl=url, MessageBody="x", MessageGroupId="ü")
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"ContentBasedDeduplication": "false"})
    refused("InvalidParameterValue", sqs.send_message, QueueUrl=url, MessageBody="x", MessageGroupId="g")
    sqs.send_message(QueueUrl=url, MessageBody="x", MessageGroupId="g", MessageDeduplicationId="1")
    [got] = receive(url, MessageSystemAttributeNames=["All"])
    assert (got["Attributes"]["MessageDeduplicationId"], got["Attributes"]["MessageGroupId"]) == ("1", "g")
    assert len(got["Attributes"]["SequenceNumber"]) == 20


def raw(target, body, **headers):
    """A signed request with a body of one's own."""
    request = AWSRequest("POST", ENDPOINT + "/", data=body, headers={
        "X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.0", **headers})
    session = boto3.Session().get_credentials()
    SigV4Auth(Credentials(session.access_key, session.secret_key), "sqs", "us-east-1").add_auth(request)
    sent = urllib.request.Request(ENDPOINT + "/", data=body, headers=dict(request.headers), method="POST")
    try:
        with urllib.request.urlopen(sent, timeout=PATIENCE_S) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def bad_input():
    url = make("bad-input", MaximumMessageSize=1024)
    for name in ("", "a b", "a" * 81, "a.fifo", "../a", "ü"):
        refused("InvalidParameterValue", sqs.create_queue, QueueName=name)
    refused("MissingParameter", sqs.create_queue)
    refused("InvalidParameterValue", sqs.create_queue, QueueName="a", Attributes={"FifoQueue": "true"})
    for name, value in (
        ("VisibilityTimeout", "43201"), ("VisibilityTimeout", "-1"), ("DelaySeconds", "x"), ("MaximumMessageSize", "1048577"),
        ("MessageRetentionPeriod", "59"), ("ReceiveMessageWaitTimeSeconds", "21"),
    ):
        refused("InvalidAttributeValue", sqs.create_queue, "InvalidAttributeValue", QueueName="a", Attributes={name: value})
    refused("InvalidAttributeName", sqs.create_queue, "InvalidAttributeName", QueueName="a", Attributes={"NoSuch": "1"})
    refused("InvalidAttributeName", sqs.get_queue_attributes, "InvalidAttributeName", QueueUrl=url, AttributeNames=["NoSuch"])
    refused(QUERY + "UnsupportedOperation", sqs.create_queue, "UnsupportedOperation", QueueName="a", Attributes={"KmsMasterKeyId": "k"})
    refused(QUERY + "UnsupportedOperation", sqs.add_permission, QueueUrl=url, Label="l", AWSAccountIds=[ACCOUNT], Actions=["*"])

    send = sqs.send_message
    refused("InvalidParameterValue", send, QueueUrl=url, MessageBody="x" * 1025)
    sqs.send_message(QueueUrl=url, MessageBody="x" * 1024)
    one = {"a": {"DataType": "String", "StringValue": "x"}}
    refused("InvalidParameterValue", send, QueueUrl=url, MessageBody="x" * 1024, MessageAttributes=one)
    refused("InvalidMessageContents", send, "InvalidMessageContents", QueueUrl=url, MessageBody="\x00")
    refused("MissingParameter", send, QueueUrl=url, MessageBody="")
    refused("InvalidParameterValue", send, QueueUrl=url, MessageBody="x", DelaySeconds=901)
    refused("InvalidParameterValue", send, QueueUrl=url, MessageBody="x", MessageDeduplicationId="d")
    refused("InvalidParameterValue", send, QueueUrl=url, MessageBody="x", MessageAttributes={f"a{n}": one["a"] for n in range(11)})
    refused("InvalidParameterValue", send, QueueUrl=url, MessageBody="x", MessageAttributes={"AWS.a": one["a"]})
    refused("InvalidParameterValue", send, QueueUrl=url, MessageBody="x", MessageAttributes={"a": {"DataType": "Number", "StringValue": "x"}})
    for bad in ({"MaxNumberOfMessages": 0}, {"MaxNumberOfMessages": 11}, {"WaitTimeSeconds": 21}, {"VisibilityTimeout": -1}):
        refused("InvalidParameterValue", sqs.receive_message, QueueUrl=url, **bad)
    refused("ReceiptHandleIsInvalid", sqs.delete_message, "ReceiptHandleIsInvalid", QueueUrl=url, ReceiptHandle="x")
    [got] = receive(url)
    other = make("bad-input-2")
    refused("ReceiptHandleIsInvalid", sqs.delete_message, "ReceiptHandleIsInvalid", QueueUrl=other, ReceiptHandle=got["ReceiptHandle"])
    large = make("large")
    refused("InvalidParameterValue", send, QueueUrl=large, MessageBody="x" * (1 << 20) + "x")
    sqs.send_message(QueueUrl=large, MessageBody="\n" * (1 << 20))
    assert receive(large)[0]["Body"] == "\n" * (1 << 20)

    missing = QUERY + "NonExistentQueue"
    refused(missing, sqs.purge_queue, "QueueDoesNotExist", QueueUrl=f"{ENDPOINT}/111111111111/bad-input")
    refused(missing, sqs.get_queue_url, "QueueDoesNotExist", QueueName="bad-input", QueueOwnerAWSAccountId="111111111111")
    for address in ("nonsense", f"{ENDPOINT}/{ACCOUNT}/a/b", f"{ENDPOINT}/{ACCOUNT}/../x"):
        refused("InvalidAddress", sqs.purge_queue, "InvalidAddress", QueueUrl=address)

    for body in (b"", b"[]", b'["a"]', b"{", b'{"QueueName": 7}', b'{"QueueName": "\xff"}', b"[" * 100_000):
        status, headers, answer = raw("AmazonSQS.CreateQueue", body)
        assert (status, headers["x-amzn-query-error"]) == (400, "InvalidParameterValue;Sender"), (body[:20], answer)
        assert json.loads(answer)["__type"].startswith("com.amazonaws.sqs#")
        assert headers["Content-Type"] == "application/x-amz-json-1.0"
    status, _, answer = raw("AmazonSQS.NoSuch", b"{}")
    assert status == 400 and json.loads(answer)["__type"] == "com.amazonaws.sqs#UnsupportedOperation"
    status, _, answer = raw("AmazonSQS.SendMessage", b" " * (5 << 20))
    assert 400 <= status < 500, (status, answer)
    # Without a signature, and with one for another service.
    sent = urllib.request.Request(ENDPOINT + "/", data=b"{}", headers={"X-Amz-Target": "AmazonSQS.ListQueues"}, method="POST")
    try:
        urllib.request.urlopen(sent, timeout=PATIENCE_S)
        raise AssertionError("an unsigned request was answered")
    except urllib.error.HTTPError as error:
        assert 400 <= error.code < 500
    forged = boto3.client("sqs", endpoint_url=ENDPOINT, config=PLAIN, aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="wrong")
    refused("InvalidSignatureException", forged.list_queues)


for part in (queues, messages, batches, long_polling, redrive, fifo, bad_input):
    part()
print("done")
