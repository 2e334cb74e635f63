"""How events are handled, dead letters, loops and topics, through boto3 and the command lines."""

import datetime
import json
import re
import time

import pytest

from harness import create, error_of

ACCOUNT = "arn:aws:{}:us-east-1:000000000000:{}"


@pytest.fixture
def topic(node, name):
    """The ARN of a topic of the test's own."""
    # Names of topics may be longer than those of functions.
    return node.hearth("topic", "create", f"topic-{name}").stdout.split()[0]


def test_a_configuration_from_put_to_delete(lam, name, topic):
    create(lam, name)
    error = error_of(lam.get_function_event_invoke_config, FunctionName=name)
    assert error[:2] == ("ResourceNotFoundException", 404)
    assert error[2].endswith(f":function:{name}:$LATEST doesn't have an EventInvokeConfig")

    put = lam.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0, MaximumEventAgeInSeconds=60)
    assert put["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert put["FunctionArn"] == ACCOUNT.format("lambda", f"function:{name}:$LATEST")
    assert put["MaximumRetryAttempts"] == 0 and put["MaximumEventAgeInSeconds"] == 60
    assert put["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
    age = datetime.datetime.now(datetime.timezone.utc) - put["LastModified"]
    assert abs(age) < datetime.timedelta(minutes=5), "seconds since the epoch, not milliseconds"

    updated = lam.update_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnSuccess": {"Destination": topic}}
    )
    assert updated["MaximumRetryAttempts"] == 0, "what is absent stays"
    assert updated["DestinationConfig"]["OnSuccess"]["Destination"] == topic
    found = lam.get_function_event_invoke_config(FunctionName=name, Qualifier="$LATEST")
    del found["ResponseMetadata"], updated["ResponseMetadata"]
    assert found == updated

    put = lam.put_function_event_invoke_config(FunctionName=name, MaximumEventAgeInSeconds=21600)
    assert "MaximumRetryAttempts" not in put, "what is absent is gone"
    assert put["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
    deleted = lam.delete_function_event_invoke_config(FunctionName=name)
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
    for call in (lam.get_function_event_invoke_config, lam.delete_function_event_invoke_config):
        assert error_of(call, FunctionName=name)[:2] == ("ResourceNotFoundException", 404)


def test_versions_and_aliases_have_their_own(lam, name):
    create(lam, name)
    lam.publish_version(FunctionName=name)
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    for retries, qualifier in enumerate(("$LATEST", "1", "live")):
        lam.put_function_event_invoke_config(FunctionName=name, Qualifier=qualifier, MaximumRetryAttempts=retries)
    assert lam.get_function_event_invoke_config(FunctionName=f"{name}:live")["MaximumRetryAttempts"] == 2
    pages = lam.get_paginator("list_function_event_invoke_configs").paginate(
        FunctionName=name, PaginationConfig={"PageSize": 2}
    )
    pages = [page["FunctionEventInvokeConfigs"] for page in pages]
    assert [len(page) for page in pages] == [2, 1]
    configs = {c["FunctionArn"].rsplit(":", 1)[1]: c["MaximumRetryAttempts"] for page in pages for c in page}
    assert configs == {"$LATEST": 0, "1": 1, "live": 2}
    lam.delete_alias(FunctionName=name, Name="live")
    assert len(lam.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"]) == 2


@pytest.mark.parametrize(
    "bad, code, says",
    [
        ({}, "InvalidParameterValueException", "at least one"),
        ({"MaximumRetryAttempts": 3}, "ValidationException", "maximumRetryAttempts"),
        ({"MaximumRetryAttempts": -1}, "ValidationException", "maximumRetryAttempts"),
        ({"MaximumRetryAttempts": "1"}, "SerializationException", "expected i64"),
        ({"MaximumEventAgeInSeconds": 59}, "ValidationException", "maximumEventAgeInSeconds"),
        ({"MaximumEventAgeInSeconds": 21601}, "ValidationException", "maximumEventAgeInSeconds"),
        ({"failure": "somewhere"}, "ValidationException", "destinationConfig.onFailure.destination"),
        ({"failure": "arn:aws:sns:us-east-1:000000000000:" + "a" * 350}, "ValidationException", "350"),
        ({"failure": ACCOUNT.format("lambda", "function:nobody")}, "InvalidParameterValueException", "no such function"),
        ({"failure": ACCOUNT.format("lambda", "function:bad-events")}, "InvalidParameterValueException", "itself"),
        ({"failure": ACCOUNT.format("sqs", "queue")}, "InvalidParameterValueException", "no such queue"),
        ({"failure": ACCOUNT.format("sqs", "bad-events.fifo")}, "InvalidParameterValueException", "standard queue"),
        ({"failure": "arn:aws:sqs:eu-west-1:000000000000:queue"}, "InvalidParameterValueException", "account and region"),
        ({"failure": ACCOUNT.format("sns", "nothing")}, "InvalidParameterValueException", "hearth topic create nothing"),
        ({"failure": "arn:aws:sns:us-east-1:111111111111:t"}, "InvalidParameterValueException", "account and region"),
        ({"failure": ACCOUNT.format("events", "event-bus/default")}, "InvalidParameterValueException", "use the ARN of"),
        ({"failure": "arn:aws:s3:::nowhere"}, "InvalidParameterValueException", "destinations.buckets.nowhere"),
    ],
)
def test_what_can_not_be_had_is_refused(node, lam, bad, code, says):
    name = "bad-events"
    if not any(f["FunctionName"] == name for f in lam.list_functions()["Functions"]):
        create(lam, name)
        lam.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1)
        node.client("sqs").create_queue(QueueName="bad-events.fifo", Attributes={"FifoQueue": "true"})
    before = lam.get_function_event_invoke_config(FunctionName=name)
    # The client's own checks would hide the node's.
    client = node.client("lambda", parameter_validation=False)
    if failure := bad.get("failure"):
        bad = {"DestinationConfig": {"OnFailure": {"Destination": failure}}}
    for call in (client.put_function_event_invoke_config, client.update_function_event_invoke_config):
        error = error_of(call, FunctionName=name, **bad)
        assert error[:2] == (code, 400), error
        assert says in error[2]
    after = lam.get_function_event_invoke_config(FunctionName=name)
    assert {**before, "ResponseMetadata": 0} == {**after, "ResponseMetadata": 0}


def test_buckets_are_those_of_the_node_and_for_failures(new_node, tmp_path):
    configuration = tmp_path / "hearth.toml"
    configuration.write_text(f"[destinations.buckets.failed]\nurl = 'file://{tmp_path}/failed'\n")
    node = new_node("--config", str(configuration))
    lam = node.client("lambda")
    create(lam, "f", wait=False)
    bucket = {"Destination": "arn:aws:s3:::failed"}
    put = lam.put_function_event_invoke_config(FunctionName="f", DestinationConfig={"OnFailure": bucket})
    assert put["DestinationConfig"]["OnFailure"] == bucket
    error = error_of(lam.put_function_event_invoke_config, FunctionName="f", DestinationConfig={"OnSuccess": bucket})
    assert error[0] == "InvalidParameterValueException" and "failures alone" in error[2]
    node.stop()
    found = node.start().client("lambda").get_function_event_invoke_config(FunctionName="f")
    assert found["DestinationConfig"]["OnFailure"] == bucket
    assert "destinations.buckets.failed" in node.hearth("config", "show", "--config", str(configuration)).stdout


def test_dead_letters_are_part_of_a_version(lam, name, topic):
    create(lam, name, DeadLetterConfig={"TargetArn": topic})
    assert lam.get_function_configuration(FunctionName=name)["DeadLetterConfig"] == {"TargetArn": topic}
    lam.publish_version(FunctionName=name)
    lam.update_function_configuration(FunctionName=name, DeadLetterConfig={"TargetArn": ""})
    assert "DeadLetterConfig" not in lam.get_function_configuration(FunctionName=name)
    version = lam.get_function_configuration(FunctionName=name, Qualifier="1")
    assert version["DeadLetterConfig"] == {"TargetArn": topic}
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    for bad in (ACCOUNT.format("lambda", "function:f"), "arn:aws:s3:::failed", ACCOUNT.format("sns", "nothing")):
        error = error_of(lam.update_function_configuration, FunctionName=name, DeadLetterConfig={"TargetArn": bad})
        assert error[:2] == ("InvalidParameterValueException", 400), error


def test_loops_end_unless_they_may_not(node, lam, name):
    create(lam, name, wait=False)
    assert lam.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Terminate"
    put = lam.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")
    assert put["RecursiveLoop"] == "Allow"
    shown = node.aws("lambda", "get-function-recursion-config", "--function-name", name)
    assert json.loads(shown.stdout) == {"RecursiveLoop": "Allow"}
    client = node.client("lambda", parameter_validation=False)
    for bad in ({"RecursiveLoop": "Stop"}, {}):
        assert error_of(client.put_function_recursion_config, FunctionName=name, **bad)[:2] == ("ValidationException", 400)
    missing = error_of(lam.get_function_recursion_config, FunctionName="nobody")
    assert missing[:2] == ("ResourceNotFoundException", 404)


def test_the_aws_command_line_does_it(node, lam, name, topic):
    create(lam, name, wait=False)
    destinations = json.dumps({"OnFailure": {"Destination": topic}})
    node.aws(
        "lambda", "put-function-event-invoke-config", "--function-name", name,
        "--maximum-retry-attempts", "1", "--destination-config", destinations,
    )
    listed = json.loads(node.aws("lambda", "list-function-event-invoke-configs", "--function-name", name).stdout)
    (config,) = listed["FunctionEventInvokeConfigs"]
    assert config["MaximumRetryAttempts"] == 1
    assert config["DestinationConfig"]["OnFailure"]["Destination"] == topic
    assert abs(time.time() - config["LastModified"]) < 300, "as it is on the wire"


def test_topics_from_the_command_line(node, name):
    first, second = "https://one.example/hook", "https://two.example/hook"
    made = node.hearth("topic", "create", name, "--webhook", first, "--webhook", second)
    secrets = re.findall(r"whsec_[A-Za-z0-9+/=]{44}", made.stdout)
    assert len(set(secrets)) == 2
    assert ACCOUNT.format("sns", name) in made.stdout
    shown = json.loads(node.hearth("topic", "show", name).stdout)
    assert shown["Webhooks"] == [{"Url": first}, {"Url": second}], "secrets are shown once"

    taken = node.hearth("topic", "create", name, check=False)
    assert taken.returncode == 1 and "already" in taken.stderr
    again = node.hearth("topic", "--json", "create", name, "--webhook", second, "--replace")
    assert json.loads(again.stdout)["Webhooks"] == [{"Url": second}], "it keeps its secret"
    assert name in node.hearth("topic", "list").stdout
    bad = node.hearth("topic", "create", "bad", "--webhook", "http://one.example", check=False)
    assert bad.returncode == 1 and "https" in bad.stderr
    node.hearth("topic", "rm", name)
    assert node.hearth("topic", "show", name, check=False).returncode == 4
