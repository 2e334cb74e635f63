"""The life of a function, as boto3 lives it."""

import base64
import hashlib
import urllib.request

import pytest

from harness import ECHO, PYTHON, ROLE, create, error_of, invoke, python_zip


def sha256(data):
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def test_the_whole_life_of_a_function(lam, name):
    package = python_zip(ECHO)
    created = lam.create_function(
        FunctionName=name,
        Runtime=PYTHON,
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": package},
        Description="about",
        Timeout=5,
        MemorySize=256,
        EphemeralStorage={"Size": 1024},
        Environment={"Variables": {"AB": "1"}},
        Tags={"team": "x"},
    )
    assert created["State"] == "Pending"
    assert created["StateReasonCode"] == "Creating"
    assert created["FunctionArn"] == f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    assert created["Version"] == "$LATEST"
    assert created["CodeSha256"] == sha256(package)
    assert created["CodeSize"] == len(package)
    assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
    lam.get_waiter("function_active").wait(FunctionName=name, WaiterConfig={"Delay": 1})

    got = lam.get_function(FunctionName=name)
    configuration = got["Configuration"]
    assert configuration["State"] == "Active"
    assert configuration["LastUpdateStatus"] == "Successful"
    assert configuration["MemorySize"] == 256
    assert configuration["Timeout"] == 5
    assert configuration["EphemeralStorage"] == {"Size": 1024}
    assert configuration["Environment"] == {"Variables": {"AB": "1"}}
    assert configuration["PackageType"] == "Zip"
    assert got["Tags"] == {"team": "x"}
    with urllib.request.urlopen(got["Code"]["Location"]) as response:
        assert response.read() == package

    assert invoke(lam, name, {"n": 1})[0] == {"n": 1}

    second = python_zip("def handler(event, context):\n    return 'second'\n")
    updated = lam.update_function_code(FunctionName=name, ZipFile=second)
    assert updated["LastUpdateStatus"] == "InProgress"
    assert updated["CodeSha256"] == sha256(second)
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    assert invoke(lam, name, {})[0] == "second"

    changed = lam.update_function_configuration(FunctionName=name, MemorySize=512, Environment={"Variables": {}})
    assert changed["MemorySize"] == 512
    assert changed["Timeout"] == 5, "what is not named stays"
    lam.get_waiter("function_updated").wait(FunctionName=name, WaiterConfig={"Delay": 1})

    names = [f["FunctionName"] for page in lam.get_paginator("list_functions").paginate() for f in page["Functions"]]
    assert name in names
    lam.delete_function(FunctionName=name)
    assert error_of(lam.get_function, FunctionName=name)[:2] == ("ResourceNotFoundException", 404)
    assert error_of(lam.invoke, FunctionName=name)[:2] == ("ResourceNotFoundException", 404)


def test_a_name_is_taken_once(lam, name):
    create(lam, name)
    code, status, message = error_of(create, lam, name)
    assert (code, status) == ("ResourceConflictException", 409)
    assert message == f"Function already exist: {name}"


def test_a_dry_run_changes_nothing(lam, name):
    create(lam, name)
    before = lam.get_function_configuration(FunctionName=name)
    dry = lam.update_function_code(FunctionName=name, ZipFile=python_zip("x = 1"), DryRun=True)
    assert dry["CodeSha256"] != before["CodeSha256"]
    after = lam.get_function_configuration(FunctionName=name)
    assert (after["CodeSha256"], after["RevisionId"]) == (before["CodeSha256"], before["RevisionId"])


def test_a_stale_revision_is_refused(lam, name):
    create(lam, name)
    stale = lam.get_function_configuration(FunctionName=name)["RevisionId"]
    lam.update_function_configuration(FunctionName=name, Description="x", RevisionId=stale)
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    for call, arguments in [
        (lam.update_function_configuration, {"Description": "y"}),
        (lam.update_function_code, {"ZipFile": python_zip("y = 1")}),
        (lam.publish_version, {}),
    ]:
        code, status, _ = error_of(call, FunctionName=name, RevisionId=stale, **arguments)
        assert (code, status) == ("PreconditionFailedException", 412), call


def test_listings_are_paged(lam, name):
    names = [f"{name[:50]}-{i}" for i in range(5)]
    for each in names:
        create(lam, each, wait=False)
    pages = list(lam.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2}))
    assert all(len(page["Functions"]) <= 2 for page in pages)
    listed = [f["FunctionName"] for page in pages for f in page["Functions"]]
    assert [n for n in listed if n in names] == names
    assert len(listed) == len(set(listed))
    assert error_of(lam.list_functions, Marker="nonsense")[0] == "InvalidParameterValueException"


def test_regions_are_apart(node, lam, name):
    create(lam, name)
    elsewhere = node.client("lambda", region="eu-central-1")
    assert error_of(elsewhere.get_function, FunctionName=name)[0] == "ResourceNotFoundException"
    created = create(elsewhere, name, "def handler(e, c):\n    return c.invoked_function_arn\n")
    assert created["FunctionArn"] == f"arn:aws:lambda:eu-central-1:000000000000:function:{name}"
    assert invoke(elsewhere, name)[0] == created["FunctionArn"]
    assert invoke(lam, name, 1)[0] == 1
    # boto3 takes the region from an ARN of another one only if it is told to: the node must not mix them up.
    assert error_of(lam.get_function, FunctionName=created["FunctionArn"])[1] in (400, 403, 404)


def test_code_from_an_object_store(new_node, tmp_path, name):
    bucket = tmp_path / "objects" / "code"
    bucket.mkdir(parents=True)
    (bucket / "app.zip").write_bytes(python_zip("def handler(e, c):\n    return 'from a bucket'\n"))
    lam = new_node("--object-store", f"file://{tmp_path}/objects").client("lambda")
    create(lam, name, Code={"S3Bucket": "code", "S3Key": "app.zip"})
    assert invoke(lam, name)[0] == "from a bucket"
    code, status, message = error_of(create, lam, name + "2", Code={"S3Bucket": "code", "S3Key": "none.zip"})
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert "NoSuchKey" in message


def test_an_update_takes_over_without_a_failed_invocation(lam, name):
    create(lam, name, "def handler(e, c):\n    return 0\n")
    seen = set()
    for number in range(1, 4):
        lam.update_function_code(FunctionName=name, ZipFile=python_zip(f"def handler(e, c):\n    return {number}\n"))
        while True:
            payload, answer = invoke(lam, name)
            assert "FunctionError" not in answer
            seen.add(payload)
            if payload == number:
                break
    assert seen == {0, 1, 2, 3} or seen == {1, 2, 3}


@pytest.mark.parametrize("operation", ["list_code_signing_configs"])
def test_what_is_not_there_yet_says_so(lam, operation):
    code, status, message = error_of(getattr(lam, operation))
    assert (code, status) == ("NotImplementedException", 501)
    assert message


def test_account_settings_count(new_node):
    lam = new_node().client("lambda")
    assert lam.get_account_settings()["AccountUsage"]["FunctionCount"] == 0
    create(lam, "one")
    settings = lam.get_account_settings()
    assert settings["AccountUsage"]["FunctionCount"] == 1
    assert settings["AccountUsage"]["TotalCodeSize"] > 0
    assert settings["AccountLimit"]["ConcurrentExecutions"] == 1000
