"""Versions and aliases."""

from collections import Counter

from harness import create, error_of, invoke, python_zip

SAYS_VERSION = "def handler(e, c):\n    return c.function_version\n"


def update(lam, name, code):
    lam.update_function_code(FunctionName=name, ZipFile=python_zip(code))
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})


def publish(lam, name, **options):
    version = lam.publish_version(FunctionName=name, **options)["Version"]
    lam.get_waiter("published_version_active").wait(FunctionName=name, Qualifier=version, WaiterConfig={"Delay": 1})
    return version


def test_a_version_never_changes(lam, name):
    create(lam, name, "def handler(e, c):\n    return 'one'\n")
    assert publish(lam, name, Description="first") == "1"
    assert publish(lam, name) == "1", "unchanged code and configuration give the last version"
    update(lam, name, "def handler(e, c):\n    return 'two'\n")
    assert publish(lam, name) == "2"
    assert invoke(lam, name, Qualifier="1")[0] == "one"
    assert invoke(lam, name, Qualifier="2")[0] == "two"
    payload, answer = invoke(lam, f"{name}:1")
    assert (payload, answer["ExecutedVersion"]) == ("one", "1")
    versions = lam.list_versions_by_function(FunctionName=name)["Versions"]
    assert [v["Version"] for v in versions] == ["$LATEST", "1", "2"]
    assert versions[1]["Description"] == "first"
    assert versions[1]["FunctionArn"].endswith(f":function:{name}:1")
    everything = [f for page in lam.get_paginator("list_functions").paginate(FunctionVersion="ALL") for f in page["Functions"]]
    assert [f["Version"] for f in everything if f["FunctionName"] == name] == ["$LATEST", "1", "2"]
    lam.delete_function(FunctionName=name, Qualifier="1")
    assert error_of(lam.invoke, FunctionName=name, Qualifier="1")[0] == "ResourceNotFoundException"
    update(lam, name, "def handler(e, c):\n    return 'three'\n")
    assert publish(lam, name) == "3", "numbers are never used again"


def test_an_alias_points(lam, name):
    create(lam, name, SAYS_VERSION)
    publish(lam, name)
    update(lam, name, SAYS_VERSION + "# 2\n")
    publish(lam, name)
    alias = lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1", Description="d")
    assert alias["AliasArn"].endswith(f":function:{name}:live")
    payload, answer = invoke(lam, name, Qualifier="live")
    assert (payload, answer["ExecutedVersion"]) == ("1", "1")
    assert invoke(lam, alias["AliasArn"])[0] == "1"
    lam.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    assert invoke(lam, name, Qualifier="live")[0] == "2"
    assert lam.get_alias(FunctionName=name, Name="live")["Description"] == "d"
    assert [a["Name"] for a in lam.list_aliases(FunctionName=name, FunctionVersion="2")["Aliases"]] == ["live"]
    assert lam.list_aliases(FunctionName=name, FunctionVersion="1")["Aliases"] == []
    code, status, _ = error_of(lam.delete_function, FunctionName=name, Qualifier="2")
    assert (code, status) == ("ResourceConflictException", 409)
    lam.delete_alias(FunctionName=name, Name="live")
    assert error_of(lam.get_alias, FunctionName=name, Name="live")[0] == "ResourceNotFoundException"


def test_a_weighted_alias_shares(lam, name):
    create(lam, name, SAYS_VERSION)
    publish(lam, name)
    update(lam, name, SAYS_VERSION + "# 2\n")
    publish(lam, name)
    lam.create_alias(
        FunctionName=name, Name="half", FunctionVersion="1", RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}}
    )
    counts = Counter(invoke(lam, name, Qualifier="half")[0] for _ in range(80))
    # Fair coins miss this range less than once in a billion runs.
    assert 12 <= counts["1"] <= 68, counts
    lam.update_alias(FunctionName=name, Name="half", RoutingConfig={"AdditionalVersionWeights": {"2": 1.0}})
    assert {invoke(lam, name, Qualifier="half")[0] for _ in range(10)} == {"2"}


def test_aliases_that_cannot_be(lam, name):
    create(lam, name)
    publish(lam, name)
    weights = {"AdditionalVersionWeights": {"1": 0.5}}
    bad = [
        ({"Name": "a", "FunctionVersion": "9"}, "ResourceNotFoundException"),
        ({"Name": "a", "FunctionVersion": "$LATEST", "RoutingConfig": weights}, "InvalidParameterValueException"),
        ({"Name": "a", "FunctionVersion": "1", "RoutingConfig": weights}, "InvalidParameterValueException"),
    ]
    for arguments, code in bad:
        assert error_of(lam.create_alias, FunctionName=name, **arguments)[0] == code, arguments
    assert lam.list_aliases(FunctionName=name)["Aliases"] == []
    lam.create_alias(FunctionName=name, Name="a", FunctionVersion="1")
    assert error_of(lam.create_alias, FunctionName=name, Name="a", FunctionVersion="1")[0] == "ResourceConflictException"
    assert error_of(lam.invoke, FunctionName=name, Qualifier="none")[0] == "ResourceNotFoundException"


def test_create_and_update_can_publish(lam, name):
    assert create(lam, name, Publish=True)["Version"] == "1"
    updated = lam.update_function_code(FunctionName=name, ZipFile=python_zip(SAYS_VERSION), Publish=True)
    assert updated["Version"] == "2"
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    lam.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="2", WaiterConfig={"Delay": 1})
    assert invoke(lam, name, Qualifier="2")[0] == "2"
