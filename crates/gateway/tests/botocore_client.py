"""The service's own client against a front door: argument 1 is the endpoint. Functions return their events."""

import io
import json
import sys
import urllib.error
import urllib.request
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = sys.argv[1]
ACCOUNT = "000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/test"
PLAIN = Config(retries={"max_attempts": 0, "mode": "standard"})


def client(service, **options):
    return boto3.client(service, endpoint_url=ENDPOINT, config=PLAIN, **options)


def package(text="def handler(event, context): return event\n"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("main.py"), text)
    return buffer.getvalue()


def refused(code, status, call, **arguments):
    """The error, if the call is refused as it must be."""
    try:
        call(**arguments)
    except ClientError as error:
        response = error.response
        found = (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"])
        assert found == (code, status), response
        assert response["Error"]["Message"], response
        return response
    raise AssertionError(f"{call.__name__} was not refused with {code}")


def functions(lam):
    created = lam.create_function(
        FunctionName="whole-life",
        Runtime="python3.12",
        Role=ROLE,
        Handler="main.handler",
        Code={"ZipFile": package()},
        Tags={"team": "a b+c"},
    )
    assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
    lam.get_waiter("function_active_v2").wait(FunctionName="whole-life")
    refused("ResourceConflictException", 409, lam.create_function, FunctionName="whole-life", Runtime="python3.12",
            Role=ROLE, Handler="main.handler", Code={"ZipFile": package()})

    answer = lam.invoke(FunctionName=created["FunctionArn"], Payload=b'{"a": 1}', LogType="Tail")
    assert json.load(answer["Payload"]) == {"a": 1}
    assert answer["ExecutedVersion"] == "$LATEST" and answer["LogResult"]
    assert lam.invoke(FunctionName="whole-life", Payload=io.BytesIO(b'{"streamed": true}'))["StatusCode"] == 200
    assert lam.invoke(FunctionName="whole-life", InvocationType="DryRun")["StatusCode"] == 204
    assert lam.invoke(FunctionName="whole-life", Payload=b'"fail"')["FunctionError"] == "Unhandled"

    found = lam.get_function(FunctionName="whole-life")
    assert found["Tags"] == {"team": "a b+c"}
    with urllib.request.urlopen(found["Code"]["Location"]) as answer:
        assert answer.read() == package()

    published = lam.publish_version(FunctionName="whole-life", Description="one")
    assert published["Version"] == "1"
    alias = lam.create_alias(FunctionName="whole-life", Name="live", FunctionVersion="1")
    assert alias["ResponseMetadata"]["HTTPStatusCode"] == 201
    lam.get_waiter("published_version_active").wait(FunctionName="whole-life", Qualifier="1")
    assert lam.invoke(FunctionName="whole-life", Qualifier="live")["ExecutedVersion"] == "1"
    assert lam.invoke(FunctionName=alias["AliasArn"])["ExecutedVersion"] == "1"
    lam.update_function_code(FunctionName="whole-life", ZipFile=package("def handler(e, c): return 2\n"))
    lam.get_waiter("function_updated_v2").wait(FunctionName="whole-life")
    lam.update_function_configuration(FunctionName="whole-life", Timeout=9)
    lam.get_waiter("function_updated_v2").wait(FunctionName="whole-life")
    names = [f["FunctionName"] for page in lam.get_paginator("list_functions").paginate() for f in page["Functions"]]
    assert "whole-life" in names
    assert [v["Version"] for v in lam.list_versions_by_function(FunctionName="whole-life")["Versions"]] == ["$LATEST", "1"]
    assert [a["Name"] for a in lam.list_aliases(FunctionName="whole-life")["Aliases"]] == ["live"]
    assert lam.update_alias(FunctionName="whole-life", Name="live", Description="x")["Description"] == "x"
    assert lam.get_alias(FunctionName="whole-life", Name="live")["FunctionVersion"] == "1"


def rest_of_the_operations(lam):
    arn = lam.get_function_configuration(FunctionName="whole-life")["FunctionArn"]
    lam.tag_resource(Resource=arn, Tags={"k=/:+": "v + 1"})
    assert lam.list_tags(Resource=arn)["Tags"] == {"team": "a b+c", "k=/:+": "v + 1"}
    lam.untag_resource(Resource=arn, TagKeys=["k=/:+", "team"])
    assert lam.list_tags(Resource=arn)["Tags"] == {}

    assert lam.put_function_concurrency(FunctionName="whole-life", ReservedConcurrentExecutions=0)
    throttled = refused("TooManyRequestsException", 429, lam.invoke, FunctionName="whole-life")
    assert throttled["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded", throttled
    assert throttled["retryAfterSeconds"] == "1", throttled
    assert lam.get_function_concurrency(FunctionName="whole-life")["ReservedConcurrentExecutions"] == 0
    lam.delete_function_concurrency(FunctionName="whole-life")
    assert lam.get_account_settings()["AccountLimit"]["ConcurrentExecutions"] > 0

    layer = lam.publish_layer_version(LayerName="libs", Content={"ZipFile": package()}, CompatibleRuntimes=["python3.12"])
    assert layer["ResponseMetadata"]["HTTPStatusCode"] == 201
    with urllib.request.urlopen(layer["Content"]["Location"]) as answer:
        assert answer.read() == package()
    assert lam.get_layer_version(LayerName="libs", VersionNumber=1)["LayerVersionArn"] == layer["LayerVersionArn"]
    assert lam.get_layer_version_by_arn(Arn=layer["LayerVersionArn"])["Version"] == 1
    assert [one["LayerName"] for one in lam.list_layers()["Layers"]] == ["libs"]
    assert len(lam.list_layer_versions(LayerName="libs")["LayerVersions"]) == 1
    lam.delete_layer_version(LayerName="libs", VersionNumber=1)


def refusals(lam):
    refused("ResourceNotFoundException", 404, lam.get_function, FunctionName="missing")
    refused("ResourceNotFoundException", 404, lam.get_function_event_invoke_config, FunctionName="whole-life")
    refused("InvalidRequestContentException", 400, lam.invoke, FunctionName="whole-life", Payload=b"{")
    large = refused("RequestTooLargeException", 413, lam.invoke, FunctionName="whole-life", Payload=b" " * 6_291_457)
    assert large["Error"]["Message"] == "Request must be smaller than 6291456 bytes for the InvokeFunction operation"
    refused("NotImplementedException", 501, lam.list_code_signing_configs)
    refused("ResourceNotFoundException", 404, lam.create_function_url_config, FunctionName="missing", AuthType="NONE")
    refused("AccessDeniedException", 403, lam.get_function,
            FunctionName="arn:aws:lambda:us-east-1:111111111111:function:whole-life")
    for secret, key, code in [
        ("wrong", "AKIDEXAMPLE", "InvalidSignatureException"),
        ("wrong", "AKIDSTRANGER", "UnrecognizedClientException"),
    ]:
        other = client("lambda", aws_access_key_id=key, aws_secret_access_key=secret)
        refused(code, 403, other.list_functions)
        refused(code, 403, other.invoke, FunctionName="f", Payload=b" " * 3_000_000)
    elsewhere = client("lambda", region_name="eu-west-1")
    assert elsewhere.list_functions()["Functions"] == []


def presigned(lam):
    url = lam.generate_presigned_url("get_function_configuration", Params={"FunctionName": "whole-life"}, ExpiresIn=60)
    with urllib.request.urlopen(url) as answer:
        assert json.load(answer)["FunctionName"] == "whole-life"
    try:
        urllib.request.urlopen(url.replace("whole-life", "other-life"))
    except urllib.error.HTTPError as error:
        assert error.code == 403
    else:
        raise AssertionError("a changed link opened")


def logs():
    cloudwatch = client("logs")
    group = "/aws/lambda/f"
    assert [g["logGroupName"] for g in cloudwatch.describe_log_groups()["logGroups"]] == [group]
    streams = cloudwatch.describe_log_streams(logGroupName=group, orderBy="LastEventTime", descending=True)["logStreams"]
    assert [s["logStreamName"] for s in streams] == ["2026/01/02/[$LATEST]b", "2026/01/02/[$LATEST]a"], streams
    pages = cloudwatch.get_paginator("filter_log_events").paginate(
        logGroupName=group, filterPattern="line", PaginationConfig={"PageSize": 2}
    )
    events = [event for page in pages for event in page["events"]]
    assert [event["message"] for event in events] == ["line 1", "line 2", "line 3", "line 4", "line 5"], events
    assert len({event["eventId"] for event in events}) == 5
    stream = streams[1]["logStreamName"]
    last = cloudwatch.get_log_events(logGroupName=group, logStreamName=stream, limit=2)
    assert [event["message"] for event in last["events"]] == ["line 3", "line 5"], last
    before = cloudwatch.get_log_events(logGroupName=group, logStreamName=stream, nextToken=last["nextBackwardToken"])
    assert [event["message"] for event in before["events"]] == ["line 1"], before
    end = cloudwatch.get_log_events(logGroupName=group, logStreamName=stream, nextToken=last["nextForwardToken"])
    assert end["events"] == [] and end["nextForwardToken"] == last["nextForwardToken"], end
    bounded = cloudwatch.filter_log_events(logGroupName=group, startTime=2_000, endTime=4_000)["events"]
    assert [event["timestamp"] for event in bounded] == [2_000, 3_000, 4_000], bounded
    assert cloudwatch.filter_log_events(logGroupName="/aws/lambda/whole-life")["events"] == []
    refused("ResourceNotFoundException", 400, cloudwatch.filter_log_events, logGroupName="/aws/lambda/missing")
    refused("ResourceNotFoundException", 400, cloudwatch.get_log_events, logGroupName=group, logStreamName="x")
    refused("InvalidParameterValueException", 400, cloudwatch.filter_log_events, logGroupName=group, nextToken="x")
    refused("NotImplementedException", 501, cloudwatch.delete_log_group, logGroupName=group)


def main():
    lam = client("lambda")
    functions(lam)
    rest_of_the_operations(lam)
    refusals(lam)
    presigned(lam)
    logs()
    assert lam.delete_function(FunctionName="whole-life")["ResponseMetadata"]["HTTPStatusCode"] == 204
    refused("ResourceNotFoundException", 404, lam.invoke, FunctionName="whole-life")
    print("done")


main()
