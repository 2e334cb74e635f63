"""Schedules on the real binary: boto3 and the AWS command line work unchanged, firings reach functions and queues, and
kills neither lose nor repeat one."""

import json
import random
import threading
from datetime import datetime, timedelta, timezone

import pytest
from harness import ROLE, create, error_of, wait_until

OFF = {"Mode": "OFF"}
SEES = """
def handler(event, context):
    print("ran", context.aws_request_id, context.invoked_function_arn, event)
"""


@pytest.fixture
def scheduler(node):
    return node.client("scheduler")


def at(seconds):
    """An expression for a time that is about to come."""
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).strftime("at(%Y-%m-%dT%H:%M:%S)")


def arn_of(queue):
    return f"arn:aws:sqs:us-east-1:000000000000:{queue}"


def queue(node, name, **attributes):
    """A queue and a call that takes all that it has."""
    sqs = node.client("sqs")
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    def taken():
        client = node.client("sqs")
        answer = client.receive_message(
            QueueUrl=client.get_queue_url(QueueName=name)["QueueUrl"],
            MaxNumberOfMessages=10,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return answer.get("Messages", [])

    assert url
    return taken


def make(scheduler, name, target, expression=None, **options):
    request = {
        "Name": name,
        "ScheduleExpression": expression or at(3),
        "FlexibleTimeWindow": OFF,
        "Target": {"RoleArn": ROLE, **target},
        **options,
    }
    return scheduler.create_schedule(**request)["ScheduleArn"]


def test_a_function_runs_with_its_input_and_the_schedule_goes(node, scheduler, lam, name):
    function = create(lam, name, SEES)["FunctionArn"]
    lam.publish_version(FunctionName=name)
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    attributes = ["schedule-arn", "scheduled-time", "execution-id", "attempt-number"]
    given = json.dumps({a: f"<aws.scheduler.{a}>" for a in attributes})
    expression = at(3)
    arn = make(scheduler, name, {"Arn": f"{function}:live", "Input": given}, expression, ActionAfterCompletion="DELETE")
    assert arn == f"arn:aws:scheduler:us-east-1:000000000000:schedule/default/{name}"

    def line():
        log = node.hearth("logs", name, check=False).stdout
        return next((line for line in log.splitlines() if "ran " in line), None)

    found = wait_until(line, "the function's line")
    assert f":function:{name}:live " in found
    event = json.loads(found[found.index("{"):].replace("'", '"'))
    assert event["schedule-arn"] == arn
    assert event["scheduled-time"] == expression[3:-1] + "Z"
    assert event["execution-id"] in found.split("{")[0]
    assert event["attempt-number"] == "1"
    wait_until(lambda: not_there(scheduler, name), "the schedule's end")


def not_there(scheduler, name):
    try:
        scheduler.get_schedule(Name=name)
        return False
    except scheduler.exceptions.ResourceNotFoundException:
        return True


def test_a_queue_gets_a_notification_without_an_input(node, scheduler, name):
    taken = queue(node, name)
    arn = make(scheduler, name, {"Arn": arn_of(name)})
    [message] = wait_until(taken, "the message")
    event = json.loads(message["Body"])
    assert event["resources"] == [arn]
    assert (event["source"], event["detail-type"]) == ("aws.scheduler", "Scheduled Event")
    # It stays, and is over.
    assert scheduler.get_schedule(Name=name)["State"] == "ENABLED"
    assert taken() == []


def test_a_rate_begins_at_once(node, scheduler, name):
    taken = queue(node, name + ".fifo", FifoQueue="true")
    target = {"Arn": arn_of(name + ".fifo"), "Input": "tick", "SqsParameters": {"MessageGroupId": "g"}}
    make(scheduler, name, target, "rate(1 minute)")
    [message] = wait_until(taken, "the message")
    assert (message["Body"], message["Attributes"]["MessageGroupId"]) == ("tick", "g")
    scheduler.delete_schedule(Name=name)


def test_a_firing_that_is_given_up_goes_to_its_dead_letter_queue(new_node, name):
    node = new_node()
    node.expected_log.append("a firing was given up")
    taken = queue(node, "dead")
    scheduler = node.client("scheduler")
    target = {
        "Arn": arn_of("missing"),
        "Input": "lost",
        "RetryPolicy": {"MaximumRetryAttempts": 0},
        "DeadLetterConfig": {"Arn": arn_of("dead")},
    }
    expression = at(3)
    arn = make(scheduler, name, target, expression)
    [message] = wait_until(taken, "the dead letter")
    assert message["Body"] == "lost"
    attributes = {key: value["StringValue"] for key, value in message["MessageAttributes"].items()}
    assert len(attributes.pop("EXECUTION_ID")) == 36
    assert attributes.pop("ERROR_MESSAGE")
    assert attributes == {
        "ERROR_CODE": "AWS.SimpleQueueService.NonExistentQueue",
        "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts",
        "IS_PAYLOAD_TRUNCATED": "false",
        "RETRY_ATTEMPTS": "0",
        "SCHEDULED_TIME": expression[3:-1] + "Z",
        "SCHEDULE_ARN": arn,
        "TARGET_ARN": arn_of("missing"),
    }


def test_a_firing_is_tried_again_until_its_target_is_there(node, scheduler, name):
    make(scheduler, name, {"Arn": arn_of(name), "Input": "attempt <aws.scheduler.attempt-number>"}, at(3))
    # The queue is made once the first attempt has failed: the schedule is over then.
    wait_until(lambda: listed(node, name)["Last"], "the first attempt")
    taken = queue(node, name)
    [message] = wait_until(taken, "the message")
    assert int(message["Body"].split()[1]) > 1


def listed(node, name):
    schedules = json.loads(node.hearth("schedules", "--json").stdout)
    return next(schedule for schedule in schedules if schedule["Name"] == name)


def test_what_is_due_while_the_node_is_down_is_fired_once_at_its_start(new_node, name):
    node = new_node()
    taken = queue(node, "work", VisibilityTimeout="600")
    expression = at(3)
    make(node.client("scheduler"), name, {"Arn": arn_of("work"), "Input": "<aws.scheduler.scheduled-time>"}, expression)
    node.kill()
    due = datetime.fromisoformat(expression[3:-1] + "+00:00")
    threading.Event().wait(max(0, (due - datetime.now(timezone.utc)).total_seconds()))
    node.start()
    [message] = wait_until(taken, "the message")
    assert message["Body"] == expression[3:-1] + "Z"
    node.kill()
    node.start()
    wait_until(lambda: listed(node, name)["Next"] is None, "the schedule's end")
    assert taken() == []


def test_kills_neither_lose_nor_repeat_a_firing(new_node):
    """Schedules that come due one after the other, and kills in the midst of them."""
    node = new_node()
    count, chance = 150, random.Random(7)
    taken = queue(node, "work", VisibilityTimeout="600")
    scheduler = node.client("scheduler")
    for n in range(count):
        input_ = f"{n}"
        make(scheduler, f"s{n}", {"Arn": arn_of("work"), "Input": input_}, at(4 + n % 5), ActionAfterCompletion="DELETE")
    bodies = []

    def drain():
        for message in taken():
            bodies.append(message["Body"])
        return not json.loads(node.hearth("schedules", "--json").stdout)

    for _ in range(6):
        threading.Event().wait(chance.random())
        node.kill()
        node.start()
    wait_until(drain, "the schedules' ends")
    while more := taken():
        bodies.extend(message["Body"] for message in more)
    assert sorted(bodies, key=int) == [str(n) for n in range(count)]


def test_schedules_are_shown_listed_changed_and_removed(node, scheduler, name):
    dead = arn_of("dead")
    target = {
        "Arn": arn_of(name),
        "RetryPolicy": {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 3},
        "DeadLetterConfig": {"Arn": dead},
    }
    start = datetime(2099, 1, 1, tzinfo=timezone.utc)
    make(
        scheduler, name, target, "cron(30 2 ? * MON#2 *)",
        ScheduleExpressionTimezone="Europe/Berlin", StartDate=start, EndDate=start + timedelta(days=365),
        Description="a test", State="DISABLED", FlexibleTimeWindow={"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15},
    )
    shown = scheduler.get_schedule(Name=name, GroupName="default")
    assert shown["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert (shown["StartDate"], shown["EndDate"]) == (start, start + timedelta(days=365))
    assert shown["Target"] == {"RoleArn": ROLE, **target}
    assert (shown["State"], shown["Description"], shown["ActionAfterCompletion"]) == ("DISABLED", "a test", "NONE")
    assert shown["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
    assert listed(node, name)["Next"] is None

    # An update sets all: what it leaves out is as if it had never been said.
    scheduler.update_schedule(
        Name=name, ScheduleExpression="cron(0 0 1 1 ? 2199)", FlexibleTimeWindow=OFF, Target={"Arn": arn_of(name), "RoleArn": ROLE}
    )
    shown = scheduler.get_schedule(Name=name)
    assert shown["State"] == "ENABLED" and "Description" not in shown and "StartDate" not in shown
    assert shown["Target"]["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}
    assert listed(node, name)["Next"] == "2199-01-01T00:00:00.000Z"
    [summary] = scheduler.list_schedules(NamePrefix=name, State="ENABLED")["Schedules"]
    assert (summary["Arn"], summary["Target"]["Arn"]) == (shown["Arn"], arn_of(name))
    assert scheduler.list_schedules(NamePrefix=name, State="DISABLED")["Schedules"] == []
    scheduler.delete_schedule(Name=name)
    assert error_of(scheduler.get_schedule, Name=name)[:2] == ("ResourceNotFoundException", 404)
    assert error_of(scheduler.delete_schedule, Name=name)[0] == "ResourceNotFoundException"


def test_groups_hold_schedules_and_tags(node, scheduler, name):
    group = f"{name[-50:]}-group"
    arn = scheduler.create_schedule_group(Name=group, Tags=[{"Key": "a", "Value": "b"}])["ScheduleGroupArn"]
    assert error_of(scheduler.create_schedule_group, Name=group)[:2] == ("ConflictException", 409)
    scheduler.tag_resource(ResourceArn=arn, Tags=[{"Key": "c", "Value": "d"}])
    scheduler.untag_resource(ResourceArn=arn, TagKeys=["a"])
    assert scheduler.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "c", "Value": "d"}]
    assert scheduler.get_schedule_group(Name=group)["State"] == "ACTIVE"
    assert scheduler.get_schedule_group(Name="default")["Arn"].endswith(":schedule-group/default")
    for n in range(5):
        make(scheduler, f"{n}", {"Arn": arn_of(name)}, "rate(1 day)", GroupName=group, StartDate=datetime(2099, 1, 1))
    pages = scheduler.get_paginator("list_schedules").paginate(GroupName=group, PaginationConfig={"PageSize": 2})
    pages = [[schedule["Name"] for schedule in page["Schedules"]] for page in pages]
    assert pages == [["0", "1"], ["2", "3"], ["4"]]
    names = [g["Name"] for page in scheduler.get_paginator("list_schedule_groups").paginate() for g in page["ScheduleGroups"]]
    assert group in names and "default" in names
    scheduler.delete_schedule_group(Name=group)

    def gone():
        return group not in [g["Name"] for g in scheduler.list_schedule_groups()["ScheduleGroups"]]

    wait_until(gone, "the group's end")
    assert error_of(scheduler.get_schedule, Name="0", GroupName=group)[0] == "ResourceNotFoundException"
    assert error_of(scheduler.list_schedules, GroupName=group)[0] == "ResourceNotFoundException"
    assert error_of(scheduler.delete_schedule_group, Name="default")[:2] == ("ValidationException", 400)


def test_a_request_that_is_repeated_is_answered_as_the_first_was(node, scheduler, name):
    def again(**options):
        return make(scheduler, name, {"Arn": arn_of(name)}, "rate(1 day)", StartDate=datetime(2099, 1, 1), **options)

    first = again(ClientToken="one")
    assert again(ClientToken="one") == first
    with pytest.raises(scheduler.exceptions.ConflictException, match="ClientToken"):
        again(ClientToken="one", Description="another")
    with pytest.raises(scheduler.exceptions.ConflictException, match="already exists"):
        again()
    scheduler.delete_schedule(Name=name, ClientToken="two")
    scheduler.delete_schedule(Name=name, ClientToken="two")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ScheduleExpression": "every day"}, "Invalid Schedule Expression"),
        ({"ScheduleExpression": "cron(0 0 1 * MON *)"}, "one must be ?"),
        ({"ScheduleExpression": "cron(0 0 30 2 ? *)"}, "no time that is still to come"),
        ({"ScheduleExpression": "at(2020-01-01T00:00:00)"}, "no time that is still to come"),
        ({"ScheduleExpression": "rate(0 minutes)"}, "positive number"),
        ({"ScheduleExpressionTimezone": "Europe/Atlantis"}, "time zone"),
        ({"ScheduleExpressionTimezone": "../../etc/passwd"}, "time zone"),
        ({"ScheduleExpression": "at(2099-03-29T02:30:00)", "ScheduleExpressionTimezone": "Europe/Berlin"}, "never show"),
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}}, "MaximumWindowInMinutes"),
        ({"FlexibleTimeWindow": {"Mode": "OFF", "MaximumWindowInMinutes": 5}}, "FLEXIBLE"),
        ({"StartDate": datetime(2099, 1, 2), "EndDate": datetime(2099, 1, 1)}, "EndDate"),
        ({"KmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/x"}, "KmsKeyArn"),
        ({"Target": {"Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage"}}, "functions"),
        ({"Target": {"Arn": "arn:aws:ecs:us-east-1:000000000000:cluster/c", "EcsParameters": {"TaskDefinitionArn": "t"}}}, "EcsParameters"),
        ({"Target": {"Arn": "arn:aws:lambda:us-east-1:000000000000:function:f", "Input": "{"}}, "JSON"),
        ({"Target": {"Arn": arn_of("q"), "Input": "\0"}}, "U+FFFE"),
        ({"Target": {"Arn": "arn:aws:lambda:eu-west-1:000000000000:function:f"}}, "account and region"),
        ({"Target": {"Arn": arn_of("q.fifo")}}, "MessageGroupId"),
        ({"Target": {"Arn": arn_of("q"), "DeadLetterConfig": {"Arn": arn_of("q.fifo")}}}, "standard queue"),
        ({"Target": {"Arn": arn_of("q"), "RoleArn": "arn:aws:iam::111111111111:role/x"}}, "RoleArn"),
    ],
)
def test_what_is_not_valid_is_refused_with_a_sentence(node, scheduler, change, says):
    request = {
        "Name": "refused",
        "ScheduleExpression": "rate(1 day)",
        "FlexibleTimeWindow": OFF,
        **change,
        "Target": {"RoleArn": ROLE, "Arn": arn_of("q"), **change.get("Target", {})},
    }
    code, status, message = error_of(scheduler.create_schedule, **request)
    assert (code, status) == ("ValidationException", 400)
    assert says in message
    assert not_there(scheduler, "refused")


def test_the_aws_command_line(new_node):
    node = new_node()
    taken = queue(node, "work")

    def aws(*arguments):
        out = node.aws("scheduler", *arguments).stdout
        return json.loads(out) if out.strip() else None

    group = aws("create-schedule-group", "--name", "nightly")["ScheduleGroupArn"]
    aws("tag-resource", "--resource-arn", group, "--tags", "Key=team,Value=ops")
    assert aws("list-tags-for-resource", "--resource-arn", group)["Tags"] == [{"Key": "team", "Value": "ops"}]
    target = json.dumps({"Arn": arn_of("work"), "RoleArn": ROLE, "Input": "hello"})
    common = ["--flexible-time-window", "Mode=OFF", "--target", target, "--group-name", "nightly"]
    # The command line takes seconds to begin on a busy machine.
    made = aws("create-schedule", "--name", "job", "--schedule-expression", at(10), *common)
    assert made["ScheduleArn"].endswith(":schedule/nightly/job")
    [message] = wait_until(taken, "the message")
    assert message["Body"] == "hello"
    cron = ["--schedule-expression", "cron(0 9 ? * MON-FRI *)", "--schedule-expression-timezone", "America/New_York"]
    aws("update-schedule", "--name", "job", *cron, *common)
    shown = aws("get-schedule", "--name", "job", "--group-name", "nightly")
    assert shown["ScheduleExpression"] == "cron(0 9 ? * MON-FRI *)"
    assert [s["Name"] for s in aws("list-schedules", "--group-name", "nightly")["Schedules"]] == ["job"]
    assert "nightly/job" in node.hearth("schedules").stdout
    aws("delete-schedule", "--name", "job", "--group-name", "nightly")
    refused = node.aws("scheduler", "get-schedule", "--name", "job", "--group-name", "nightly", check=False)
    assert "ResourceNotFoundException" in refused.stderr
    aws("delete-schedule-group", "--name", "nightly")
