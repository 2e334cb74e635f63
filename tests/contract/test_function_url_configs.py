"""Function URLs and resource policies through boto3."""

import json
import re

import pytest

from harness import create, error_of, python_zip

PUBLIC = {"Principal": "*", "FunctionUrlAuthType": "NONE", "Action": "lambda:InvokeFunctionUrl"}


def test_a_url_from_creation_to_deletion(lam, name):
    create(lam, name)
    created = lam.create_function_url_config(
        FunctionName=name,
        AuthType="NONE",
        Cors={"AllowOrigins": ["https://site.example"], "AllowMethods": ["GET", "POST"], "MaxAge": 5},
    )
    assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert re.fullmatch(r"http://[a-z2-7]{32}\.lambda-url\.us-east-1\.localhost:\d+/", created["FunctionUrl"])
    assert created["FunctionArn"].endswith(f":function:{name}")
    assert created["AuthType"] == "NONE"
    assert created["InvokeMode"] == "BUFFERED"
    assert created["Cors"]["AllowMethods"] == ["GET", "POST"]
    assert "CreationTime" in created and "LastModifiedTime" not in created

    found = lam.get_function_url_config(FunctionName=name)
    assert found["FunctionUrl"] == created["FunctionUrl"]
    assert found["CreationTime"] == created["CreationTime"]
    assert found["LastModifiedTime"]

    updated = lam.update_function_url_config(FunctionName=name, AuthType="AWS_IAM")
    assert updated["AuthType"] == "AWS_IAM"
    assert updated["FunctionUrl"] == created["FunctionUrl"]
    assert updated["Cors"]["MaxAge"] == 5, "what is absent stays"
    assert "Cors" not in lam.update_function_url_config(FunctionName=name, Cors={})

    assert error_of(lam.create_function_url_config, FunctionName=name, AuthType="NONE")[:2] == (
        "ResourceConflictException",
        409,
    )
    answer = lam.delete_function_url_config(FunctionName=name)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert error_of(lam.get_function_url_config, FunctionName=name)[:2] == ("ResourceNotFoundException", 404)
    assert error_of(lam.delete_function_url_config, FunctionName=name)[:2] == ("ResourceNotFoundException", 404)
    again = lam.create_function_url_config(FunctionName=name, AuthType="NONE")
    assert again["FunctionUrl"] != created["FunctionUrl"]


def test_aliases_have_urls_and_versions_have_none(lam, name):
    create(lam, name)
    lam.publish_version(FunctionName=name)
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    own = lam.create_function_url_config(FunctionName=name, AuthType="AWS_IAM")
    live = lam.create_function_url_config(FunctionName=name, Qualifier="live", AuthType="NONE")
    assert live["FunctionArn"].endswith(f":{name}:live")
    assert lam.get_function_url_config(FunctionName=f"{name}:live")["FunctionUrl"] == live["FunctionUrl"]
    listed = lam.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"]
    assert {u["FunctionUrl"] for u in listed} == {own["FunctionUrl"], live["FunctionUrl"]}
    page = lam.list_function_url_configs(FunctionName=name, MaxItems=1)
    rest = lam.list_function_url_configs(FunctionName=name, Marker=page["NextMarker"])
    assert len(page["FunctionUrlConfigs"]) == len(rest["FunctionUrlConfigs"]) == 1
    assert "NextMarker" not in rest
    for qualifier in ("1", "$LATEST"):
        assert error_of(lam.create_function_url_config, FunctionName=name, Qualifier=qualifier, AuthType="NONE")[:2] == (
            "ValidationException",
            400,
        )
    lam.delete_alias(FunctionName=name, Name="live")
    assert len(lam.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"]) == 1


@pytest.mark.parametrize(
    "bad, code",
    [
        ({"AuthType": "EVERYONE"}, "ValidationException"),
        ({"AuthType": "NONE", "InvokeMode": "STREAM"}, "ValidationException"),
        ({"AuthType": "NONE", "Cors": {"MaxAge": 86_401}}, "ValidationException"),
        ({"AuthType": "NONE", "Cors": {"AllowMethods": ["TRACE"]}}, "InvalidParameterValueException"),
        ({"AuthType": "NONE", "Cors": {"AllowOrigins": ["a\r\nb"]}}, "InvalidParameterValueException"),
    ],
)
def test_what_can_not_be_had_is_refused(node, lam, bad, code):
    name = "bad-urls"
    if not any(f["FunctionName"] == name for f in lam.list_functions()["Functions"]):
        create(lam, name)
    # The client's own checks would hide the node's.
    client = node.client("lambda", parameter_validation=False)
    assert error_of(client.create_function_url_config, FunctionName=name, **bad)[:2] == (code, 400)


def test_a_policy_is_kept_as_it_is_given(lam, name):
    create(lam, name)
    assert error_of(lam.get_policy, FunctionName=name)[:2] == ("ResourceNotFoundException", 404)
    added = lam.add_permission(FunctionName=name, StatementId="url", **PUBLIC)
    statement = json.loads(added["Statement"])
    arn = lam.get_function_configuration(FunctionName=name)["FunctionArn"]
    assert statement == {
        "Sid": "url",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "lambda:InvokeFunctionUrl",
        "Resource": arn,
        "Condition": {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}},
    }
    lam.add_permission(
        FunctionName=name, StatementId="invoke", Principal="*", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True
    )
    lam.add_permission(
        FunctionName=name,
        StatementId="bucket",
        Principal="s3.amazonaws.com",
        Action="lambda:InvokeFunction",
        SourceArn="arn:aws:s3:::b",
        SourceAccount="111111111111",
    )
    found = lam.get_policy(FunctionName=name)
    policy = json.loads(found["Policy"])
    assert [s["Sid"] for s in policy["Statement"]] == ["url", "invoke", "bucket"]
    assert policy["Statement"][1]["Condition"] == {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}
    assert policy["Statement"][2]["Principal"] == {"Service": "s3.amazonaws.com"}
    assert policy["Statement"][2]["Condition"]["ArnLike"] == {"AWS:SourceArn": "arn:aws:s3:::b"}

    assert error_of(lam.add_permission, FunctionName=name, StatementId="url", **PUBLIC)[:2] == (
        "ResourceConflictException",
        409,
    )
    stale = error_of(lam.remove_permission, FunctionName=name, StatementId="url", RevisionId="x")
    assert stale[:2] == ("PreconditionFailedException", 412)
    lam.remove_permission(FunctionName=name, StatementId="url", RevisionId=found["RevisionId"])
    assert error_of(lam.remove_permission, FunctionName=name, StatementId="url")[:2] == ("ResourceNotFoundException", 404)
    for statement in ("invoke", "bucket"):
        lam.remove_permission(FunctionName=name, StatementId=statement)
    assert error_of(lam.get_policy, FunctionName=name)[:2] == ("ResourceNotFoundException", 404)


def test_urls_and_policies_outlive_a_restart(new_node):
    node = new_node()
    lam = node.client("lambda")
    create(lam, "f", python_zip("def handler(e, c):\n    return 1\n"))
    url = lam.create_function_url_config(FunctionName="f", AuthType="NONE")["FunctionUrl"]
    lam.add_permission(FunctionName="f", StatementId="url", **PUBLIC)
    identifier = url.split("//")[1].split(".")[0]
    node.stop()
    lam = node.start().client("lambda")
    assert identifier in lam.get_function_url_config(FunctionName="f")["FunctionUrl"]
    assert "InvokeFunctionUrl" in lam.get_policy(FunctionName="f")["Policy"]
