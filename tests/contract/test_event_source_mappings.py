"""Event source mappings as configuration: shapes, states, and what is refused."""

import json
import uuid

import pytest

from harness import Node, create, error_of, wait_until

QUEUE = "arn:aws:sqs:us-east-1:000000000000:{}"
RABBIT = "arn:aws:mq:us-east-1:000000000000:broker:orders:b-1"
DEAD = {"Filters": [{"Pattern": '{"body": {"n": [{"numeric": [">", 5]}]}}'}]}


def state(lam, mapping, *states):
    """The mapping when it has come to one of the states."""
    return wait_until(
        lambda: (got := lam.get_event_source_mapping(UUID=mapping["UUID"])) and got["State"] in states and got, states
    )


def without(answer, *names):
    return {name: value for name, value in answer.items() if name not in ("ResponseMetadata", *names)}


@pytest.fixture
def queue(node, name):
    """A queue of the test's own: its ARN."""
    node.client("sqs").create_queue(QueueName=name)
    return QUEUE.format(name)


def test_a_mapping_from_creation_to_its_end(node, lam, name, queue):
    create(lam, name)
    made = lam.create_event_source_mapping(EventSourceArn=queue, FunctionName=name)
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 202
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    assert str(uuid.UUID(made["UUID"])) == made["UUID"]
    assert without(made, "LastModified", "UUID") == {
        "EventSourceMappingArn": f"arn:aws:lambda:us-east-1:000000000000:event-source-mapping:{made['UUID']}",
        "EventSourceArn": queue,
        "FunctionArn": arn,
        "BatchSize": 10,
        "MaximumBatchingWindowInSeconds": 0,
        "FunctionResponseTypes": [],
        "LastProcessingResult": "No records processed",
        "State": "Creating",
        "StateTransitionReason": "USER_INITIATED",
    }
    enabled = state(lam, made, "Enabled")
    assert without(enabled, "State") == without(made, "State")

    code, status, message = error_of(lam.create_event_source_mapping, EventSourceArn=queue, FunctionName=arn)
    assert (code, status) == ("ResourceConflictException", 409) and made["UUID"] in message

    changed = lam.update_event_source_mapping(
        UUID=made["UUID"],
        BatchSize=500,
        MaximumBatchingWindowInSeconds=1,
        FilterCriteria=DEAD,
        ScalingConfig={"MaximumConcurrency": 2},
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    assert changed["State"] == "Updating" and changed["ResponseMetadata"]["HTTPStatusCode"] == 202
    got = state(lam, made, "Enabled")
    assert got["BatchSize"] == 500 and got["MaximumBatchingWindowInSeconds"] == 1
    assert got["FilterCriteria"] == DEAD and got["ScalingConfig"] == {"MaximumConcurrency": 2}
    assert got["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    # What is absent stays; what is empty goes.
    lam.update_event_source_mapping(UUID=made["UUID"], FilterCriteria={}, ScalingConfig={}, FunctionResponseTypes=[])
    got = state(lam, made, "Enabled")
    assert "FilterCriteria" not in got and "ScalingConfig" not in got and got["FunctionResponseTypes"] == []
    assert got["BatchSize"] == 500

    assert lam.update_event_source_mapping(UUID=made["UUID"], Enabled=False)["State"] == "Disabling"
    state(lam, made, "Disabled")
    assert lam.update_event_source_mapping(UUID=made["UUID"], Enabled=True)["State"] == "Enabling"
    state(lam, made, "Enabled")
    gone = lam.delete_event_source_mapping(UUID=made["UUID"])
    assert gone["State"] == "Deleting" and gone["ResponseMetadata"]["HTTPStatusCode"] == 202
    wait_until(lambda: not lam.list_event_source_mappings(EventSourceArn=queue)["EventSourceMappings"], "its end")
    for call in (lam.get_event_source_mapping, lam.update_event_source_mapping, lam.delete_event_source_mapping):
        for other in (made["UUID"], "not a UUID, but as long as one is...."):
            assert error_of(call, UUID=other)[:2] == ("ResourceNotFoundException", 404)


def test_lists_by_function_by_queue_and_by_page(node, lam, name):
    create(lam, name)
    lam.publish_version(FunctionName=name)
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    sqs = node.client("sqs")
    made = set()
    for n in range(3):
        sqs.create_queue(QueueName=f"{n}-{name}"[:80])
        for target in (name, f"{name}:live"):
            answer = lam.create_event_source_mapping(
                EventSourceArn=QUEUE.format(f"{n}-{name}"[:80]), FunctionName=target, Enabled=False
            )
            made.add(answer["UUID"])
    pages = list(lam.get_paginator("list_event_source_mappings").paginate(FunctionName=name, PaginationConfig={"PageSize": 4}))
    assert [len(page["EventSourceMappings"]) for page in pages] == [4, 2]
    assert {m["UUID"] for page in pages for m in page["EventSourceMappings"]} == made
    of_alias = lam.list_event_source_mappings(FunctionName=f"{name}:live")["EventSourceMappings"]
    assert len(of_alias) == 3 and all(m["FunctionArn"].endswith(":live") for m in of_alias)
    of_queue = lam.list_event_source_mappings(EventSourceArn=QUEUE.format(f"0-{name}"[:80]))["EventSourceMappings"]
    assert len(of_queue) == 2
    other = node.client("lambda", region="eu-west-1")
    assert other.list_event_source_mappings()["EventSourceMappings"] == []
    assert error_of(other.get_event_source_mapping, UUID=made.pop())[0] == "ResourceNotFoundException"


def test_tags_are_its_own(lam, name, queue):
    create(lam, name)
    made = lam.create_event_source_mapping(EventSourceArn=queue, FunctionName=name, Tags={"a": "1"}, Enabled=False)
    arn = made["EventSourceMappingArn"]
    state(lam, made, "Disabled")
    lam.tag_resource(Resource=arn, Tags={"b": "2"})
    lam.untag_resource(Resource=arn, TagKeys=["a"])
    assert lam.list_tags(Resource=arn)["Tags"] == {"b": "2"}
    assert error_of(lam.tag_resource, Resource=arn, Tags={"aws:x": "1"})[0] == "InvalidParameterValueException"
    missing = arn[:-1] + ("0" if arn[-1] != "0" else "1")
    assert error_of(lam.list_tags, Resource=missing)[0] == "ResourceNotFoundException"


INVALID, VALIDATION = "InvalidParameterValueException", "ValidationException"


@pytest.mark.parametrize(
    "bad, code, says",
    [
        ({"FunctionName": None}, VALIDATION, "functionName"),
        ({"FunctionName": "nobody"}, "ResourceNotFoundException", "Function not found"),
        ({"FunctionName": "bad-mappings:7"}, "ResourceNotFoundException", "Function not found"),
        ({"EventSourceArn": None}, INVALID, "queue of this node"),
        ({"EventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/s"}, INVALID, "queue of this node"),
        ({"EventSourceArn": QUEUE.format("nothing")}, INVALID, "does not exist"),
        ({"EventSourceArn": "arn:aws:sqs:us-east-1:111111111111:q"}, INVALID, "account and region"),
        ({"EventSourceArn": QUEUE.format("bad-mappings-short")}, INVALID, "visibility timeout: 2 seconds is less"),
        ({"BatchSize": 0}, VALIDATION, "batchSize"),
        ({"BatchSize": 10001}, VALIDATION, "batchSize"),
        ({"BatchSize": 11}, INVALID, "batch window"),
        ({"MaximumBatchingWindowInSeconds": 301}, VALIDATION, "maximumBatchingWindowInSeconds"),
        ({"EventSourceArn": QUEUE.format("bad-mappings.fifo"), "BatchSize": 11}, INVALID, "FIFO"),
        ({"EventSourceArn": QUEUE.format("bad-mappings.fifo"), "MaximumBatchingWindowInSeconds": 1}, INVALID, "FIFO"),
        ({"ScalingConfig": {"MaximumConcurrency": 1}}, VALIDATION, "maximumConcurrency"),
        ({"ScalingConfig": {"MaximumConcurrency": 1001}}, VALIDATION, "maximumConcurrency"),
        ({"FunctionResponseTypes": ["Other"]}, VALIDATION, "functionResponseTypes"),
        ({"FilterCriteria": {"Filters": [{"Pattern": '{"body": "x"}'}]}}, INVALID, 'at body: write the value in a list'),
        ({"FilterCriteria": {"Filters": [{"Pattern": "x" * 4097}]}}, VALIDATION, "4096"),
        ({"FilterCriteria": {"Filters": [{"Pattern": '{"body": ["x"]}'}] * 6}}, INVALID, "at most 5"),
        ({"StartingPosition": "LATEST"}, INVALID, "StartingPosition"),
        ({"Queues": ["q"]}, INVALID, "Queues"),
        ({"SourceAccessConfigurations": [{"Type": "VIRTUAL_HOST", "URI": "/"}]}, INVALID, "SourceAccessConfigurations"),
        ({"EventSourceArn": RABBIT, "Queues": ["q"]}, INVALID, "no broker 'orders'. Name it in its configuration"),
        ({"EventSourceArn": "arn:aws:mq:us-east-1:000000000000:broker:orders"}, INVALID, "Unrecognized event source"),
        ({"EventSourceArn": "arn:aws:mq:us-east-1:111111111111:broker:orders:b-1"}, INVALID, "account and region"),
        ({"EventSourceArn": "arn:aws:redis:us-east-1:000000000000:stream:orders/s"}, INVALID, "no broker 'orders'"),
        ({"BisectBatchOnFunctionError": True}, INVALID, "BisectBatchOnFunctionError"),
        ({"ParallelizationFactor": 2}, INVALID, "ParallelizationFactor"),
        ({"DestinationConfig": {"OnFailure": {"Destination": QUEUE.format("q")}}}, INVALID, "RedrivePolicy"),
        ({"ProvisionedPollerConfig": {"MinimumPollers": 1}}, INVALID, "ProvisionedPollerConfig"),
        ({"KMSKeyArn": "arn:aws:kms:us-east-1:000000000000:key/k"}, INVALID, "KMSKeyArn"),
        ({"MetricsConfig": {"Metrics": ["EventCount"]}}, INVALID, "MetricsConfig"),
        ({"Tags": {"aws:x": "1"}}, INVALID, "aws:"),
        ({"BatchSize": "10"}, "SerializationException", "expected i64"),
    ],
)
def test_what_can_not_be_had_is_refused(node, lam, bad, code, says):
    name = "bad-mappings"
    if not any(f["FunctionName"] == name for f in lam.list_functions()["Functions"]):
        create(lam, name)
        sqs = node.client("sqs")
        sqs.create_queue(QueueName=name)
        sqs.create_queue(QueueName=f"{name}-short", Attributes={"VisibilityTimeout": "2"})
        sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})
    # The client's own checks would hide the node's.
    client = node.client("lambda", parameter_validation=False)
    request = {"EventSourceArn": QUEUE.format(name), "FunctionName": name, **bad}
    error = error_of(client.create_event_source_mapping, **{n: v for n, v in request.items() if v is not None})
    assert error[0] == code and says in error[2], error
    assert lam.list_event_source_mappings(FunctionName=name)["EventSourceMappings"] == []


@pytest.mark.parametrize(
    "bad, code, says",
    [
        ({"Queues": None}, INVALID, "one queue"),
        ({"Queues": ["a", "b"]}, INVALID, "one queue"),
        ({"Queues": ["a" * 256]}, INVALID, "255 bytes"),
        ({"Queues": [""]}, VALIDATION, "queues"),
        ({"StartingPosition": "LATEST"}, INVALID, "StartingPosition"),
        ({"SourceAccessConfigurations": [{"Type": "SASL_SCRAM_256_AUTH", "URI": "x"}]}, INVALID, "SASL_SCRAM_256_AUTH"),
        ({"SourceAccessConfigurations": [{"Type": "VIRTUAL_HOST"}]}, VALIDATION, "sourceAccessConfigurations"),
        ({"SourceAccessConfigurations": [{"Type": "VIRTUAL_HOST", "URI": "é" * 200}]}, INVALID, "255 bytes"),
        ({"MaximumRetryAttempts": 1}, INVALID, "MaximumRetryAttempts"),
        ({"EventSourceArn": "arn:aws:nats:us-east-1:000000000000:stream:orders/S"}, INVALID, "RabbitMQ"),
        ({"EventSourceArn": "arn:aws:redis:us-east-1:000000000000:stream:cache/s", "Queues": None}, INVALID, "TRIM_HORIZON"),
        (
            {"EventSourceArn": "arn:aws:redis:us-east-1:000000000000:stream:cache/s", "StartingPosition": "LATEST"},
            INVALID,
            "Queues",
        ),
    ],
)
def test_what_a_broker_does_not_have_is_refused(brokers, bad, code, says):
    client = brokers.client("lambda", parameter_validation=False)
    request = {"EventSourceArn": RABBIT, "Queues": ["q"], "FunctionName": "f", **bad}
    error = error_of(client.create_event_source_mapping, **{n: v for n, v in request.items() if v is not None})
    assert error[0] == code and says in error[2], error


def test_a_mapping_of_a_broker_is_changed_and_listed(brokers):
    lam = brokers.client("lambda")
    made = lam.create_event_source_mapping(EventSourceArn=RABBIT, Queues=["q"], FunctionName="f", Enabled=False)
    assert made["Queues"] == ["q"] and made["BatchSize"] == 100 and made["SourceAccessConfigurations"] == []
    state(lam, made, "Disabled")
    # Another queue, and another virtual host, are other sources.
    access = [{"Type": "VIRTUAL_HOST", "URI": "other"}]
    other = {"SourceAccessConfigurations": access, "Enabled": False, "FunctionName": "f"}
    second = lam.create_event_source_mapping(EventSourceArn=RABBIT, Queues=["q"], **other)
    state(lam, second, "Disabled")
    assert len(lam.list_event_source_mappings(EventSourceArn=RABBIT)["EventSourceMappings"]) == 2
    same = error_of(lam.update_event_source_mapping, UUID=made["UUID"], SourceAccessConfigurations=access)
    assert same[0] == "ResourceConflictException"
    access[0]["URI"] = "third"
    lam.update_event_source_mapping(UUID=made["UUID"], SourceAccessConfigurations=access, BatchSize=10_000)
    got = state(lam, made, "Disabled")
    assert got["SourceAccessConfigurations"] == access and got["BatchSize"] == 10_000
    for mapping in (made, second):
        lam.delete_event_source_mapping(UUID=mapping["UUID"])


STREAM = {"EventSourceArn": "arn:aws:redis:us-east-1:000000000000:stream:cache/s", "StartingPosition": "LATEST"}


def on_failure(arn):
    return {"DestinationConfig": {"OnFailure": {"Destination": arn}}}


@pytest.mark.parametrize(
    "bad, code, says",
    [
        ({"MaximumRetryAttempts": -2}, VALIDATION, "maximumRetryAttempts"),
        ({"MaximumRetryAttempts": 10_001}, VALIDATION, "maximumRetryAttempts"),
        ({"MaximumRecordAgeInSeconds": -2}, VALIDATION, "maximumRecordAgeInSeconds"),
        ({"MaximumRecordAgeInSeconds": 604_801}, VALIDATION, "maximumRecordAgeInSeconds"),
        ({"MaximumRecordAgeInSeconds": 0}, INVALID, "from 60 to 604800"),
        ({"MaximumRecordAgeInSeconds": 59}, INVALID, "from 60 to 604800"),
        ({"BisectBatchOnFunctionError": "yes"}, "SerializationException", "boolean"),
        ({"DestinationConfig": {"OnSuccess": {"Destination": QUEUE.format("q")}}}, INVALID, "no DestinationConfig.OnSuccess"),
        (on_failure(QUEUE.format("nobody")), INVALID, "no such queue"),
        (on_failure(QUEUE.format("dead.fifo")), INVALID, "FIFO"),
        (on_failure("arn:aws:s3:::nobody"), INVALID, "no such bucket"),
        (on_failure("arn:aws:sns:us-east-1:000000000000:nobody"), INVALID, "no such topic"),
        (on_failure("arn:aws:lambda:us-east-1:000000000000:function:f"), INVALID, "destination for itself"),
        (on_failure("arn:aws:lambda:us-east-1:000000000000:function:nobody"), INVALID, "no such function"),
        (on_failure("kafka://failed"), INVALID, "no topics of Kafka"),
        (on_failure("queue"), VALIDATION, "destinationConfig.onFailure.destination"),
        ({"EventSourceArn": RABBIT, "Queues": ["q"], "StartingPosition": None, "MaximumRetryAttempts": -1}, INVALID, "Unsupported"),
    ],
)
def test_retries_that_can_not_be_had_are_refused(brokers, bad, code, says):
    client = brokers.client("lambda", parameter_validation=False)
    request = {**STREAM, "FunctionName": "f", **bad}
    error = error_of(client.create_event_source_mapping, **{n: v for n, v in request.items() if v is not None})
    assert error[0] == code and says in error[2], error


def test_retries_of_a_stream_are_shown_changed_and_kept(brokers):
    lam, sqs = brokers.client("lambda"), brokers.client("sqs")
    sqs.create_queue(QueueName="dead")
    said = {"MaximumRetryAttempts": 3, "MaximumRecordAgeInSeconds": 604_800, "BisectBatchOnFunctionError": True}
    said.update(on_failure(QUEUE.format("dead")))
    made = lam.create_event_source_mapping(**STREAM, FunctionName="f", Enabled=False, **said)
    assert {member: made[member] for member in said} == said
    state(lam, made, "Disabled")
    # What is not spoken of stays, though its destination is gone.
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName="dead")["QueueUrl"])
    lam.update_event_source_mapping(UUID=made["UUID"], MaximumRetryAttempts=0)
    said["MaximumRetryAttempts"] = 0
    brokers.kill()
    brokers.start()
    lam = brokers.client("lambda")
    got = state(lam, made, "Disabled")
    assert {member: got[member] for member in said} == said
    assert error_of(lam.update_event_source_mapping, UUID=made["UUID"], **on_failure(QUEUE.format("dead")))[0] == INVALID
    none = {"MaximumRetryAttempts": -1, "MaximumRecordAgeInSeconds": -1, "BisectBatchOnFunctionError": False}
    lam.update_event_source_mapping(UUID=made["UUID"], **none, **on_failure(""))
    got = state(lam, made, "Disabled")
    assert {member: got[member] for member in none} == none and got["DestinationConfig"] == {"OnFailure": {}}
    (listed,) = lam.list_event_source_mappings(EventSourceArn=STREAM["EventSourceArn"])["EventSourceMappings"]
    assert listed == without(got)
    lam.delete_event_source_mapping(UUID=made["UUID"])


@pytest.fixture(scope="module")
def brokers(tmp_path_factory):
    """A node whose configuration names brokers, which are not there, with a function."""
    data = tmp_path_factory.mktemp("brokers")
    (data / "hearth.toml").write_text(
        '[brokers.orders]\nurl = "amqp://127.0.0.1:1"\n[brokers.cache]\nurl = "redis://127.0.0.1:1"\n'
    )
    # The one whose mapping is deleted is asked to forget it.
    with Node(data, expected_log=["keeps of a mapping: Cannot connect to the broker 'cache'"]) as node:
        create(node.client("lambda"), "f")
        node.client("sqs").create_queue(QueueName="dead.fifo", Attributes={"FifoQueue": "true"})
        yield node


def test_an_update_that_can_not_be_had_changes_nothing(lam, name, queue):
    create(lam, name)
    made = lam.create_event_source_mapping(EventSourceArn=queue, FunctionName=name)
    before = without(state(lam, made, "Enabled"))
    for bad, code in (
        ({"BatchSize": 11}, INVALID),
        ({"FunctionName": "nobody"}, "ResourceNotFoundException"),
        ({"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}}, INVALID),
    ):
        assert error_of(lam.update_event_source_mapping, UUID=made["UUID"], **bad)[0] == code
    assert without(lam.get_event_source_mapping(UUID=made["UUID"])) == before


def test_mappings_and_their_states_survive_a_kill(new_node):
    node = new_node()
    lam = node.client("lambda")
    create(lam, "f")
    node.client("sqs").create_queue(QueueName="q")
    node.client("sqs").create_queue(QueueName="r")
    made = lam.create_event_source_mapping(
        EventSourceArn=QUEUE.format("q"), FunctionName="f", FilterCriteria=DEAD, Tags={"a": "1"}
    )
    off = lam.create_event_source_mapping(EventSourceArn=QUEUE.format("r"), FunctionName="f", Enabled=False)
    # Killed at whatever state they are: they get on after the start.
    node.kill()
    node.start()
    lam = node.client("lambda")
    got = state(lam, made, "Enabled")
    assert without(got, "State") == without(made, "State")
    assert lam.list_tags(Resource=made["EventSourceMappingArn"])["Tags"] == {"a": "1"}
    state(lam, off, "Disabled")
    lam.delete_event_source_mapping(UUID=off["UUID"])
    node.kill()
    node.start()
    lam = node.client("lambda")
    wait_until(lambda: len(lam.list_event_source_mappings()["EventSourceMappings"]) == 1, "its end")


def test_the_aws_command_line(node, lam, name, queue):
    create(lam, name)

    def aws(*arguments):
        return json.loads(node.aws("lambda", *arguments).stdout)

    made = aws("create-event-source-mapping", "--function-name", name, "--event-source-arn", queue, "--batch-size", "5")
    state(lam, made, "Enabled")
    assert aws("get-event-source-mapping", "--uuid", made["UUID"])["BatchSize"] == 5
    assert aws("update-event-source-mapping", "--uuid", made["UUID"], "--no-enabled")["State"] == "Disabling"
    state(lam, made, "Disabled")
    listed = aws("list-event-source-mappings", "--function-name", name)["EventSourceMappings"]
    assert [m["UUID"] for m in listed] == [made["UUID"]]
    assert aws("delete-event-source-mapping", "--uuid", made["UUID"])["State"] == "Deleting"
