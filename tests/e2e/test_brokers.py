"""Brokers call functions: events, failures, filters, and what is killed on the way. The servers are the real ones."""

import asyncio
import base64
import json
import re
import shutil
import struct

import boto3
import nats
import paho.mqtt.publish
import pika
import pytest
import redis
from nats.js.api import RetentionPolicy, StreamConfig

import servers
from authority import Authority
from harness import Node, create, error_of, wait_until
from sources import DeadLetters, lines, result, turn

PROGRAMS = {
    "rabbit": "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "redis": "redis-server",
    "nats": "nats-server",
    "mqtt": "mosquitto",
    "sqs": str(servers.BINARY),
}

# Prints what it was given, and does what messages ask for: their first delivery fails alone, or fails all, or takes a while.
HANDLER = """
import base64, json, time
def read(record):
    if "receiptHandle" in record:
        return record["body"], record["messageId"], record["attributes"]["ApproximateReceiveCount"] == "1"
    if "basicProperties" in record:
        return base64.b64decode(record["data"]).decode(), record["deliveryTag"], not record["redelivered"]
    data = record["data"]
    return data["body"] if isinstance(data, dict) else data, record["id"], record["deliveries"] == 1
def handler(event, context):
    records = event if isinstance(event, list) else event.get("Records")
    records = records or [r for q in event["rmqMessagesByQueue"].values() for r in q]
    print("event", json.dumps(event))
    failed = []
    for body, name, is_first in map(read, records):
        print("got", json.dumps([body, is_first]))
        time.sleep(0.05 if body.startswith("slow") else 8 if body == "long" else 0)
        if body == "explode" and is_first:
            raise ValueError("no")
        if body == "bad" and is_first:
            failed.append({"itemIdentifier": name})
    return {"batchItemFailures": failed}
"""


class Rabbit:
    """Queues of RabbitMQ."""

    name = "rabbit"

    def __init__(self, server):
        self.server = server

    def channel(self):
        return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self.server.port)).channel()

    def make(self, name, **arguments):
        channel = self.channel()
        channel.queue_declare(name, durable=True, arguments=arguments)
        channel.connection.close()
        return {"EventSourceArn": "arn:aws:mq:us-east-1:000000000000:broker:rabbit:b-1", "Queues": [name]}

    def send(self, name, bodies, properties=None):
        channel = self.channel()
        channel.confirm_delivery()
        for body in bodies:
            channel.basic_publish("", name, body, properties or pika.BasicProperties(delivery_mode=2), mandatory=True)
        channel.connection.close()

    def open(self, name):
        """Messages that are not acknowledged; only those that nobody has are counted by the protocol."""
        channel = self.channel()
        count = channel.queue_declare(name, passive=True).method.message_count
        channel.connection.close()
        return count


class Redis:
    """Streams of Redis."""

    name = "redis"

    def __init__(self, server):
        self.server = server

    def client(self):
        return redis.Redis(port=self.server.port, password="secret")

    def make(self, name):
        arn = f"arn:aws:redis:us-east-1:000000000000:stream:redis/{name}"
        return {"EventSourceArn": arn, "StartingPosition": "TRIM_HORIZON"}

    def send(self, name, bodies):
        for body in bodies:
            self.client().xadd(name, {"body": body})

    def open(self, name):
        (group,) = self.client().xinfo_groups(name)
        return group["pending"] + group["lag"]


class Nats:
    """Streams of NATS JetStream."""

    name = "nats"

    def __init__(self, server):
        self.server = server

    def do(self, work):
        async def run():
            client = await nats.connect(f"nats://127.0.0.1:{self.server.port}")
            try:
                return await work(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(run())

    def make(self, name):
        config = StreamConfig(name=name, subjects=[f"{name}.*"], retention=RetentionPolicy.LIMITS)
        self.do(lambda stream: stream.add_stream(config))
        arn = f"arn:aws:nats:us-east-1:000000000000:stream:nats/{name}"
        return {"EventSourceArn": arn, "StartingPosition": "TRIM_HORIZON"}

    def send(self, name, bodies):
        async def send(stream):
            for body in bodies:
                await stream.publish(f"{name}.new", body.encode())

        self.do(send)

    def open(self, name):
        (info,) = self.do(lambda stream: stream.consumers_info(name))
        return info.num_pending + info.num_ack_pending


class Mqtt:
    """Topics of MQTT."""

    name = "mqtt"

    def __init__(self, server):
        self.server = server

    def make(self, name):
        return {"EventSourceArn": f"arn:aws:mqtt:us-east-1:000000000000:topic:mqtt/{name}/+"}

    def send(self, name, bodies):
        messages = [{"topic": f"{name}/new", "payload": body, "qos": 1} for body in bodies]
        paho.mqtt.publish.multiple(messages, "127.0.0.1", self.server.port)

    def log(self):
        return (self.server.folder / "output").read_text(errors="replace")

    def subscribed(self, uuid):
        """The broker keeps messages for sessions that are there, and no others."""
        wait_until(lambda: f"Sending SUBACK to hearth-{uuid}" in self.log(), "the subscription")

    def open(self, name):
        """Messages that were handed out and not acknowledged. The protocol has no question for it: the broker's log tells."""
        open = set()
        for line in self.log().splitlines():
            if sent := re.search(r"Sending PUBLISH to (\S+) \(d\d, q1, r\d, m(\d+), '([^/]*)", line):
                client, packet, topic = sent.groups()
                if topic == name:
                    open.add((client, packet))
            if taken := re.search(r"Received PUBACK from (\S+) \(Mid: (\d+)", line):
                open.discard(taken.groups())
        return len(open)


class Sqs:
    """Queues at an SQS endpoint outside."""

    name = "sqs"

    def __init__(self, server):
        self.server = server

    def client(self):
        access, secret = self.server.KEY
        return boto3.client(
            "sqs", region_name="us-east-1", endpoint_url=f"http://127.0.0.1:{self.server.port}",
            aws_access_key_id=access, aws_secret_access_key=secret,
        )

    def make(self, name):
        self.client().create_queue(QueueName=name, Attributes={"VisibilityTimeout": "5"})
        return {"EventSourceArn": f"arn:aws:sqs:us-east-1:000000000000:queue:sqs/{name}"}

    def url(self, name):
        return self.client().get_queue_url(QueueName=name)["QueueUrl"]

    def send(self, name, bodies):
        client, url = self.client(), self.url(name)
        for body in bodies:
            client.send_message(QueueUrl=url, MessageBody=body)

    def open(self, name):
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        counts = self.client().get_queue_attributes(QueueUrl=self.url(name), AttributeNames=names)["Attributes"]
        return sum(int(counts[one]) for one in names)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """All servers that the host has, by name."""
    folder = tmp_path_factory.mktemp("servers")
    authority = Authority(folder, "known")
    # The node's own certificate; and an authority that has signed nothing.
    authority.issue("node")
    Authority(folder, "other")
    there = {
        name: make(folder / name, authority)
        for name, make in (
            ("rabbit", servers.Rabbit),
            ("redis", servers.Redis),
            ("nats", servers.Nats),
            ("mqtt", servers.Mosquitto),
            ("sqs", servers.Sqs),
        )
        if shutil.which(PROGRAMS[name], path=servers.PATH)
    }
    try:
        for server in there.values():
            server.start()
        for server in there.values():
            server.ready()
        yield there
    finally:
        for server in there.values():
            server.stop()


# How each is reached by TLS, and by whom.
TLS = {
    "rabbit": ("amqps", 'username = "guest"\npassword = "guest"'),
    "redis": ("rediss", 'password = "secret"'),
    "nats": ("tls", ""),
    "mqtt": ("mqtts", ""),
    "sqs": ("https", 'username = "{}"\npassword = "{}"'.format(*servers.Sqs.KEY)),
}


def by_tls(name, server):
    """A broker of the configuration whose authority is known, and the same with another one."""
    scheme, who = TLS[name]
    folder = server.folder.parent
    return "".join(
        f"""
[brokers.{name}-{authority}]
url = "{scheme}://localhost:{server.tls_port}"
{who}
ca = "{folder}/{authority}-ca.pem"
certificate = "{folder}/node.pem"
key = "{folder}/node.key"
"""
        for authority in ("known", "other")
    )


@pytest.fixture(scope="module")
def broker_node(running, tmp_path_factory):
    """A node whose configuration has all servers, and one that is not there."""
    data = tmp_path_factory.mktemp("brokers")
    (data / "redis-password").write_text("secret\n")
    ports = {name: server.port for name, server in running.items()}
    (data / "hearth.toml").write_text(
        "".join(by_tls(name, server) for name, server in running.items())
        + f"""
[brokers.rabbit]
url = "amqp://127.0.0.1:{ports.get("rabbit", 1)}"
username = "guest"
password = "guest"
[brokers.stranger]
url = "amqp://127.0.0.1:{ports.get("rabbit", 1)}"
username = "nobody"
password = "wrong"
[brokers.redis]
url = "redis://127.0.0.1:{ports.get("redis", 1)}"
password_file = "{data}/redis-password"
[brokers.nats]
url = "nats://127.0.0.1:{ports.get("nats", 1)}"
[brokers.mqtt]
url = "mqtt://127.0.0.1:{ports.get("mqtt", 1)}"
[brokers.sqs]
url = "http://127.0.0.1:{ports["sqs"]}"
username = "{servers.Sqs.KEY[0]}"
password = "{servers.Sqs.KEY[1]}"
[brokers.forger]
url = "http://127.0.0.1:{ports["sqs"]}"
username = "{servers.Sqs.KEY[0]}"
password = "wrong"
[brokers.away]
url = "amqp://127.0.0.1:1"
"""
    )
    # Messages that are given up, brokers that are not there, and connections that are lost while messages are settled.
    expected = ["a message of a broker was given up", "messages of a broker can't be taken", "settle messages"]
    # And what an authority that is not known is asked to remove.
    expected.append(r"keeps of a mapping: Cannot connect to the broker '\w+-other'")
    with Node(data, expected_log=expected) as node:
        yield node


@pytest.fixture(params=[Rabbit, Redis, Nats, Mqtt, Sqs], ids=lambda kind: kind.name)
def broker(request, running):
    """Each kind of broker, with its server."""
    kind = request.param
    if kind.name not in running:
        pytest.skip(f"{PROGRAMS[kind.name]} is not installed")
    return kind(running[kind.name])


@pytest.fixture
def rabbit(running):
    if "rabbit" not in running:
        pytest.skip(f"{PROGRAMS['rabbit']} is not installed")
    return Rabbit(running["rabbit"])


def mapped(node, name, source, **options):
    lam = node.client("lambda")
    made = lam.create_event_source_mapping(FunctionName=name, **source, **options)
    wait_until(lambda: lam.get_event_source_mapping(UUID=made["UUID"])["State"] == "Enabled", "the mapping")
    return made["UUID"]


def filled(node, broker, name, source, sent, **options):
    """A mapping that finds messages when it begins."""
    if broker.name != "mqtt":
        broker.send(name, sent)
        return mapped(node, name, source, **options)
    uuid = mapped(node, name, source, **options)
    broker.subscribed(uuid)
    turn(node, uuid, "Disabled")
    broker.send(name, sent)
    turn(node, uuid, "Enabled")
    return uuid


def bodies(node, name):
    """What was given, each with whether it was for the first time."""
    return [tuple(got) for got in lines(node, name, "got")]


def test_what_fails_comes_again_and_what_no_filter_means_does_not(broker_node, broker, name):
    create(broker_node.client("lambda"), name, HANDLER)
    pattern = [{"anything-but": "unwanted"}]
    # Where the body is in a record of each.
    pattern = {"redis": {"data": {"body": pattern}}, "sqs": {"body": pattern}}.get(broker.name, {"data": pattern})
    filters = {"Filters": [{"Pattern": json.dumps(pattern)}]}
    source = broker.make(name)
    types = ["ReportBatchItemFailures"]
    sent = ["good 1", "bad", "unwanted", "good 2"]
    uuid = filled(broker_node, broker, name, source, sent, FilterCriteria=filters, FunctionResponseTypes=types)
    wait_until(lambda: ("bad", False) in bodies(broker_node, name), "what failed")
    assert bodies(broker_node, name) == [("good 1", True), ("bad", True), ("good 2", True), ("bad", False)]
    wait_until(lambda: result(broker_node, uuid) == "OK" and broker.open(name) == 0, "the source to be empty")
    # All of a batch comes again, in order.
    broker.send(name, ["explode", "next"])

    def given():
        return [body for body, _ in bodies(broker_node, name)[4:]]

    wait_until(lambda: "next" in given() and broker.open(name) == 0, "the batch")
    # They may have been two batches; and what failed is left in a queue of SQS while others are taken.
    assert given() in (["explode", "explode", "next"], ["explode", "next", "explode", "next"]) or (
        broker.name == "sqs" and given() == ["explode", "next", "explode"]
    ), given()
    listed = broker_node.hearth("mappings").stdout
    assert uuid in listed and broker.name in listed
    made = broker_node.client("lambda").get_event_source_mapping(UUID=uuid)
    assert made["BatchSize"] == (10 if broker.name == "sqs" else 100) and made["EventSourceArn"] == source["EventSourceArn"]
    broker_node.client("lambda").delete_event_source_mapping(UUID=uuid)


@pytest.mark.parametrize("kind", [Redis, Nats], ids=lambda kind: kind.name)
def test_what_always_fails_in_a_stream_is_given_up_after_its_retries(broker_node, running, kind, name):
    if kind.name not in running:
        pytest.skip(f"{PROGRAMS[kind.name]} is not installed")
    broker = kind(running[kind.name])
    lam = broker_node.client("lambda")
    create(lam, name, HANDLER.replace(" and is_first", ""))
    source = broker.make(name)
    dead = DeadLetters(broker_node, name)
    broker.send(name, ["good 1", "explode", "good 2"])
    uuid = mapped(broker_node, name, source, BatchSize=1, MaximumRetryAttempts=2, **dead.config)
    wait_until(lambda: ("good 2", True) in bodies(broker_node, name) and broker.open(name) == 0, "the stream to be done")
    given = [body for body, _ in bodies(broker_node, name)]
    assert given == ["good 1", "explode", "explode", "explode", "good 2"]
    (told,) = dead.received()
    context, place = told["requestContext"], told["StreamBatchInfo"]
    assert (context["condition"], context["approximateInvokeCount"]) == ("RetryAttemptsExhausted", 3)
    (failed,) = [event for event in lines(broker_node, name, "event") if event[0]["deliveries"] == 3]
    assert place["eventSourceArn"] == source["EventSourceArn"] and place["batchSize"] == 1
    assert place["firstRecordId"] == place["lastRecordId"] == failed[0]["id"]
    assert place["firstRecordTimestamp"] == place["lastRecordTimestamp"]
    # With names, and in halves: what is taken is not given again.
    turn(broker_node, uuid, "Disabled")
    broker.send(name, ["good 3", "bad", "good 4"])
    types = ["ReportBatchItemFailures"]
    lam.update_event_source_mapping(UUID=uuid, BatchSize=100, FunctionResponseTypes=types, BisectBatchOnFunctionError=True)
    wait_until(lambda: lam.get_event_source_mapping(UUID=uuid)["State"] == "Disabled", "the change")
    turn(broker_node, uuid, "Enabled")
    wait_until(dead.received, "what was named to be given up")
    wait_until(lambda: broker.open(name) == 0, "the stream to be done")
    given = [body for body, _ in bodies(broker_node, name)]
    assert given.count("good 4") == 1 and given.count("bad") == 3
    lam.delete_event_source_mapping(UUID=uuid)


def test_entries_of_redis_that_are_too_old_are_given_up(broker_node, running, name):
    if "redis" not in running:
        pytest.skip(f"{PROGRAMS['redis']} is not installed")
    broker = Redis(running["redis"])
    create(broker_node.client("lambda"), name, HANDLER)
    source = broker.make(name)
    broker.client().xadd(name, {"body": "old"}, id="1700000000000-7")
    broker.send(name, ["new"])
    dead = DeadLetters(broker_node, name)
    uuid = mapped(broker_node, name, source, MaximumRecordAgeInSeconds=60, **dead.config)
    wait_until(lambda: bodies(broker_node, name) == [("new", True)] and broker.open(name) == 0, "the new one")
    (told,) = dead.received()
    assert told["requestContext"]["condition"] == "RecordAgeExceeded" and told["responseContext"] is None
    assert told["StreamBatchInfo"]["firstRecordTimestamp"] == "2023-11-14T22:13:20.000Z"
    broker_node.client("lambda").delete_event_source_mapping(UUID=uuid)


def test_kills_of_the_node_and_of_the_broker_lose_nothing(broker_node, broker, name):
    create(broker_node.client("lambda"), name, HANDLER)
    source = broker.make(name)
    uuid = mapped(broker_node, name, source, BatchSize=10)
    if broker.name == "mqtt":
        broker.subscribed(uuid)
    sent = [f"slow {n}" for n in range(30)]
    broker.send(name, sent[:15])
    wait_until(lambda: bodies(broker_node, name), "the first batch")
    broker_node.kill()
    broker_node.start()
    count = len(bodies(broker_node, name))
    broker.send(name, sent[15:])
    wait_until(lambda: len(bodies(broker_node, name)) > count, "another batch")
    broker.server.kill()
    broker.server.start().ready()
    wait_until(lambda: {body for body, _ in bodies(broker_node, name)} == set(sent), "all messages")
    # All may have been taken before the broker was killed.
    ends = ("OK", "No records processed")
    wait_until(lambda: result(broker_node, uuid) in ends and broker.open(name) == 0, "the source to be empty")
    broker_node.client("lambda").delete_event_source_mapping(UUID=uuid)


def test_messages_of_rabbitmq_have_the_services_shape(broker_node, rabbit, name):
    lam = broker_node.client("lambda")
    create(lam, name, HANDLER)
    properties = pika.BasicProperties(
        content_type="text/plain", delivery_mode=2, message_id="m", timestamp=2021,
        headers={"text": "é", "number": 10, "flag": True, "deep": {"list": [1]}},
    )
    access = [
        {"Type": "BASIC_AUTH", "URI": "arn:aws:secretsmanager:us-east-1:000000000000:secret:s"},
        {"Type": "VIRTUAL_HOST", "URI": "/"},
    ]
    source = rabbit.make(name)
    uuid = mapped(broker_node, name, source, BatchSize=1, SourceAccessConfigurations=access)
    rabbit.send(name, ["hello"], properties)
    (event,) = wait_until(lambda: lines(broker_node, name, "event"), "the event")
    (record,) = event["rmqMessagesByQueue"].pop(f"{name}::/")
    assert event == {"eventSource": "aws:rmq", "eventSourceArn": source["EventSourceArn"], "rmqMessagesByQueue": {}}
    assert record.pop("deliveryTag").isdigit()
    empty = ["contentEncoding", "priority", "correlationId", "replyTo", "expiration", "type", "userId", "appId", "clusterId"]
    assert record == {
        "basicProperties": {
            "contentType": "text/plain",
            "headers": {"text": {"bytes": [195, 169]}, "number": 10, "flag": True, "deep": {"list": [1]}},
            "deliveryMode": 2,
            "messageId": "m",
            "timestamp": "Jan 1, 1970, 12:33:41 AM",
            "bodySize": 5,
            **dict.fromkeys(empty),
        },
        "redelivered": False,
        "data": base64.b64encode(b"hello").decode(),
    }
    made = lam.get_event_source_mapping(UUID=uuid)
    assert made["Queues"] == [name] and made["SourceAccessConfigurations"] == access
    code, status, _ = error_of(lam.create_event_source_mapping, FunctionName=name, **source)
    assert (code, status) == ("ResourceConflictException", 409)
    lam.delete_event_source_mapping(UUID=uuid)


def test_what_no_function_can_be_given_goes_to_the_dead_letter_exchange(broker_node, rabbit, name):
    create(broker_node.client("lambda"), name, HANDLER)
    dead = f"dead-{name}"
    rabbit.make(dead)
    source = rabbit.make(name, **{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
    uuid = mapped(broker_node, name, source)
    rabbit.send(name, [b"x" * 6_291_456])
    wait_until(lambda: rabbit.open(dead) == 1, "the dead letter")
    wait_until(lambda: "larger than" in result(broker_node, uuid), "the reason")
    rabbit.send(name, ["good"])
    wait_until(lambda: bodies(broker_node, name) == [("good", True)], "the next one")
    broker_node.client("lambda").delete_event_source_mapping(UUID=uuid)


class Nested(pika.BasicProperties):
    """Headers of lists in lists, which the client itself would not write."""

    def __init__(self, levels):
        super().__init__()
        self.levels = levels

    def encode(self):
        # The innermost comes first: each list is as long as what is in it.
        value = b"".join(b"A" + struct.pack(">I", 5 * left) for left in reversed(range(self.levels)))
        table = b"\x01h" + value
        return [struct.pack(">H", 1 << 13), struct.pack(">I", len(table)), table]


def test_properties_that_are_nested_too_deep_end_the_connection_and_not_the_node(broker_node, rabbit, name):
    create(broker_node.client("lambda"), name, HANDLER)
    source = rabbit.make(name)
    uuid = mapped(broker_node, name, source)
    # Nearly as deep as they may be, and nearly as deep as fits into a frame.
    rabbit.send(name, ["deep"], Nested(63))
    wait_until(lambda: bodies(broker_node, name) == [("deep", True)], "what is read")
    rabbit.send(name, ["poison"], Nested(26_000))
    wait_until(lambda: "nested too deep" in result(broker_node, uuid), "the reason")
    channel = rabbit.channel()
    channel.queue_purge(name)
    channel.connection.close()
    broker_node.client("lambda").delete_event_source_mapping(UUID=uuid)


def test_a_broker_that_refuses_is_said_and_asked_again(broker_node, rabbit, name):
    create(broker_node.client("lambda"), name, HANDLER)
    lam = broker_node.client("lambda")
    source = rabbit.make(name)
    for broker, queue, says in (
        ("away", name, "Connection refused"),
        ("stranger", name, "ACCESS_REFUSED"),
        ("rabbit", f"none-{name}", "NOT_FOUND"),
    ):
        arn = source["EventSourceArn"].replace(":rabbit:", f":{broker}:")
        uuid = mapped(broker_node, name, {"EventSourceArn": arn, "Queues": [queue]})
        wait_until(lambda: says in result(broker_node, uuid), says)
        assert f"'{broker}'" in result(broker_node, uuid)
        if broker == "rabbit":
            rabbit.make(queue)
            rabbit.send(queue, ["late"])
            wait_until(lambda: bodies(broker_node, name) == [("late", True)], "a queue that is made later")
        lam.delete_event_source_mapping(UUID=uuid)


def test_entries_and_messages_are_cloud_events(broker_node, running, name):
    create(broker_node.client("lambda"), name, HANDLER)
    for kind in (Redis, Nats, Mqtt):
        if kind.name not in running:
            continue
        broker = kind(running[kind.name])
        own = f"{name[:50]}-{kind.name}"
        source = broker.make(own)
        uuid = mapped(broker_node, name, source)
        if kind is Mqtt:
            broker.subscribed(uuid)
        if kind is Redis:
            broker.client().xadd(own, {"body": "é", "bytes": b"\xff"}, id="1700000000000-7")
            expected = {
                "id": "1700000000000-7", "type": "hearth.redis.entry", "subject": own, "time": "2023-11-14T22:13:20Z",
                "data": {"body": "é", "bytes": {"base64": "/w=="}},
            }
        else:
            broker.send(own, ['{"body": "é"}'])
            subject = f"{own}.new" if kind is Nats else f"{own}/new"
            expected = {"type": f"hearth.{kind.name}.message", "subject": subject, "data": {"body": "é"}}
        (event,) = wait_until(
            lambda: [e for e in lines(broker_node, name, "event") if e[0]["source"] == source["EventSourceArn"]], own
        )
        common = {"specversion": "1.0", "datacontenttype": "application/json", "deliveries": 1}
        (record,) = event
        own_to_broker = {name: record[name] for name in ("id", "time") if name in record}
        assert record == {**common, "source": source["EventSourceArn"], **own_to_broker, **expected}
        assert record["id"] == "1" or kind is not Nats
        assert ("time" in record) == (kind is not Mqtt)
        wait_until(lambda: broker.open(own) == 0, "the acknowledgement")
        broker_node.client("lambda").delete_event_source_mapping(UUID=uuid)
        # What the broker kept for the mapping goes with it.
        if kind is Redis:
            wait_until(lambda: broker.client().xinfo_groups(own) == [], "the group's end")
        elif kind is Mqtt:
            wait_until(lambda: re.search(rf"as hearth-{uuid} \(p5, c1", broker.log()), "the session's end")
        else:
            wait_until(lambda: broker.do(lambda stream: stream.consumers_info(own)) == [], "the consumer's end")


def test_messages_of_an_sqs_endpoint_have_the_services_shape_and_are_hidden_while_the_function_runs(broker_node, running, name):
    create(broker_node.client("lambda"), name, HANDLER)
    sqs = Sqs(running["sqs"])
    source = sqs.make(name)
    uuid = mapped(broker_node, name, source, FunctionResponseTypes=["ReportBatchItemFailures"])
    attributes = {"n": {"DataType": "Number", "StringValue": "7"}, "b": {"DataType": "Binary", "BinaryValue": b"\xff"}}
    url = sqs.url(name)
    # The function takes longer than the queue's visibility timeout.
    sent = sqs.client().send_message(QueueUrl=url, MessageBody="long", MessageAttributes=attributes)
    wait_until(lambda: bodies(broker_node, name), "the function's beginning")
    wait_until(lambda: sqs.open(name) == 0, "the message's end")
    ((record,),) = [event["Records"] for event in lines(broker_node, name, "event")]
    assert record.pop("receiptHandle") and int(record["attributes"].pop("SentTimestamp"))
    assert int(record["attributes"].pop("ApproximateFirstReceiveTimestamp"))
    assert record["attributes"].pop("SenderId")
    record["attributes"].pop("AWSTraceHeader", None)
    assert record == {
        "messageId": sent["MessageId"],
        "body": "long",
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {
            "n": {"stringValue": "7", "stringListValues": [], "binaryListValues": [], "dataType": "Number"},
            "b": {"binaryValue": "/w==", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
        },
        "md5OfMessageAttributes": sent["MD5OfMessageAttributes"],
        "md5OfBody": sent["MD5OfMessageBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:us-east-1:000000000000:{name}",
        "awsRegion": "us-east-1",
    }
    broker_node.client("lambda").delete_event_source_mapping(UUID=uuid)


def test_an_sqs_endpoint_that_refuses_is_said(broker_node, running, name):
    create(broker_node.client("lambda"), name, HANDLER)
    sqs = Sqs(running["sqs"])
    source = sqs.make(name)
    for source, says in (
        ({"EventSourceArn": source["EventSourceArn"].replace(":sqs/", ":forger/")}, "signature we calculated does not match"),
        ({"EventSourceArn": source["EventSourceArn"] + "-none"}, "QueueDoesNotExist"),
    ):
        uuid = mapped(broker_node, name, source)
        wait_until(lambda: says in result(broker_node, uuid), says)
        broker_node.client("lambda").delete_event_source_mapping(UUID=uuid)


def test_tls_is_spoken_with_servers_of_an_authority_that_is_known_and_with_no_other(broker_node, broker, name):
    lam = broker_node.client("lambda")
    create(lam, name, HANDLER)
    source = broker.make(name)
    for authority in ("other", "known"):
        arn = re.sub(rf"(broker|stream|topic|queue):{broker.name}", rf"\g<0>-{authority}", source["EventSourceArn"])
        uuid = mapped(broker_node, name, {**source, "EventSourceArn": arn})
        if authority == "known":
            if broker.name == "mqtt":
                broker.subscribed(uuid)
            broker.send(name, ["secret"])
            wait_until(lambda: bodies(broker_node, name) == [("secret", True)], "the message")
            wait_until(lambda: broker.open(name) == 0, "the acknowledgement")
        else:
            wait_until(lambda: re.search(r"certificate|UnknownIssuer", result(broker_node, uuid)), "the refusal")
        lam.delete_event_source_mapping(UUID=uuid)
