"""Brokers call functions: events, failures, filters, and what is killed on the way. The servers are the real ones."""

import asyncio
import base64
import json
import shutil
import struct

import nats
import pika
import pytest
import redis
from nats.js.api import RetentionPolicy, StreamConfig

import servers
from harness import Node, create, error_of, wait_until

PROGRAMS = {"rabbit": "/usr/lib/rabbitmq/bin/rabbitmq-server", "redis": "redis-server", "nats": "nats-server"}

# Prints what it was given, and does what messages ask for: their first delivery fails alone, or fails all, or takes a while.
HANDLER = """
import base64, json, time
def read(record):
    if "basicProperties" in record:
        return base64.b64decode(record["data"]).decode(), record["deliveryTag"], not record["redelivered"]
    data = record["data"]
    return data["body"] if isinstance(data, dict) else data, record["id"], record["deliveries"] == 1
def handler(event, context):
    records = event if isinstance(event, list) else [r for q in event["rmqMessagesByQueue"].values() for r in q]
    print("event", json.dumps(event))
    failed = []
    for body, name, is_first in map(read, records):
        print("got", json.dumps([body, is_first]))
        time.sleep(0.05 if body.startswith("slow") else 0)
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


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """All servers that the host has, by name."""
    folder = tmp_path_factory.mktemp("servers")
    there = {
        name: make(folder / name)
        for name, make in (("rabbit", servers.Rabbit), ("redis", servers.Redis), ("nats", servers.Nats))
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


@pytest.fixture(scope="module")
def broker_node(running, tmp_path_factory):
    """A node whose configuration has all servers, and one that is not there."""
    data = tmp_path_factory.mktemp("brokers")
    (data / "redis-password").write_text("secret\n")
    ports = {name: server.port for name, server in running.items()}
    (data / "hearth.toml").write_text(
        f"""
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
[brokers.away]
url = "amqp://127.0.0.1:1"
"""
    )
    # Messages that are given up, brokers that are not there, and connections that are lost while messages are settled.
    expected = ["a message of a broker was given up", "messages of a broker can't be taken", "settle messages"]
    with Node(data, expected_log=expected) as node:
        yield node


@pytest.fixture(params=[Rabbit, Redis, Nats], ids=lambda kind: kind.name)
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


def lines(node, name, word):
    log = node.hearth("logs", name, check=False).stdout
    return [json.loads(line.split(f"{word} ", 1)[1]) for line in log.splitlines() if f"{word} " in line]


def bodies(node, name):
    """What was given, each with whether it was for the first time."""
    return [tuple(got) for got in lines(node, name, "got")]


def result(node, uuid):
    return node.client("lambda").get_event_source_mapping(UUID=uuid)["LastProcessingResult"]


def test_what_fails_comes_again_and_what_no_filter_means_does_not(broker_node, broker, name):
    create(broker_node.client("lambda"), name, HANDLER)
    pattern = [{"anything-but": "unwanted"}]
    # Where the body is in a record of each.
    pattern = {"body": pattern} if broker.name == "redis" else pattern
    filters = {"Filters": [{"Pattern": json.dumps({"data": pattern})}]}
    source = broker.make(name)
    broker.send(name, ["good 1", "bad", "unwanted", "good 2"])
    types = ["ReportBatchItemFailures"]
    uuid = mapped(broker_node, name, source, FilterCriteria=filters, FunctionResponseTypes=types)
    wait_until(lambda: ("bad", False) in bodies(broker_node, name), "what failed")
    assert bodies(broker_node, name) == [("good 1", True), ("bad", True), ("good 2", True), ("bad", False)]
    wait_until(lambda: result(broker_node, uuid) == "OK" and broker.open(name) == 0, "the source to be empty")
    # All of a batch comes again, in order.
    broker.send(name, ["explode", "next"])
    wait_until(lambda: bodies(broker_node, name)[-1][0] == "next" and broker.open(name) == 0, "the batch")
    given = [body for body, _ in bodies(broker_node, name)[4:]]
    # They may have been two batches.
    assert given in (["explode", "explode", "next"], ["explode", "next", "explode", "next"]), given
    listed = broker_node.hearth("mappings").stdout
    assert uuid in listed and broker.name in listed
    made = broker_node.client("lambda").get_event_source_mapping(UUID=uuid)
    assert made["BatchSize"] == 100 and made["EventSourceArn"] == source["EventSourceArn"]
    broker_node.client("lambda").delete_event_source_mapping(UUID=uuid)


def test_kills_of_the_node_and_of_the_broker_lose_nothing(broker_node, broker, name):
    create(broker_node.client("lambda"), name, HANDLER)
    source = broker.make(name)
    uuid = mapped(broker_node, name, source, BatchSize=10)
    sent = [f"slow {n}" for n in range(30)]
    broker.send(name, sent[:15])
    wait_until(lambda: bodies(broker_node, name), "the first batch")
    broker_node.kill()
    broker_node.start()
    broker.send(name, sent[15:])
    count = len(bodies(broker_node, name))
    wait_until(lambda: len(bodies(broker_node, name)) > count, "another batch")
    broker.server.kill()
    broker.server.start().ready()
    wait_until(lambda: {body for body, _ in bodies(broker_node, name)} == set(sent), "all messages")
    wait_until(lambda: result(broker_node, uuid) == "OK" and broker.open(name) == 0, "the source to be empty")
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
    for kind in (Redis, Nats):
        if kind.name not in running:
            continue
        broker = kind(running[kind.name])
        own = f"{name[:50]}-{kind.name}"
        source = broker.make(own)
        uuid = mapped(broker_node, name, source)
        if kind is Redis:
            broker.client().xadd(own, {"body": "é", "bytes": b"\xff"}, id="1700000000000-7")
            expected = {
                "id": "1700000000000-7", "type": "hearth.redis.entry", "subject": own, "time": "2023-11-14T22:13:20Z",
                "data": {"body": "é", "bytes": {"base64": "/w=="}},
            }
        else:
            broker.send(own, ['{"body": "é"}'])
            expected = {"id": "1", "type": "hearth.nats.message", "subject": f"{own}.new", "data": {"body": "é"}}
        (event,) = wait_until(
            lambda: [e for e in lines(broker_node, name, "event") if e[0]["source"] == source["EventSourceArn"]], own
        )
        common = {"specversion": "1.0", "datacontenttype": "application/json", "deliveries": 1}
        (record,) = event
        expected = {**common, "source": source["EventSourceArn"], "time": record["time"], **expected}
        assert record == expected
        wait_until(lambda: broker.open(own) == 0, "the acknowledgement")
        broker_node.client("lambda").delete_event_source_mapping(UUID=uuid)
        # What the broker kept for the mapping goes with it.
        if kind is Redis:
            wait_until(lambda: broker.client().xinfo_groups(own) == [], "the group's end")
        else:
            wait_until(lambda: broker.do(lambda stream: stream.consumers_info(own)) == [], "the consumer's end")
