"""Layers, tags and reserved concurrency."""

import threading
import urllib.request

from harness import ECHO, create, error_of, invoke, wait_until, zipped

USES_LAYER = "import shared\n\ndef handler(e, c):\n    return [shared.WHO, open('/opt/data.txt').read()]\n"


def layer(lam, name, who, **options):
    package = zipped({"python/shared.py": f"WHO = {who!r}\n", "data.txt": who})
    return lam.publish_layer_version(LayerName=name, Content={"ZipFile": package}, **options), package


def test_layers_are_mounted_and_the_later_one_wins(lam, name):
    (one, package), (two, _) = layer(lam, name, "one", Description="d"), layer(lam, name + "-b", "two")
    assert one["Version"] == 1
    with urllib.request.urlopen(one["Content"]["Location"]) as response:
        assert response.read() == package
    create(lam, name, USES_LAYER, Layers=[one["LayerVersionArn"]])
    assert invoke(lam, name)[0] == ["one", "one"]
    both = [one["LayerVersionArn"], two["LayerVersionArn"]]
    lam.update_function_configuration(FunctionName=name, Layers=both)
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    assert invoke(lam, name)[0] == ["two", "two"]
    shown = lam.get_function_configuration(FunctionName=name)["Layers"]
    assert [each["Arn"] for each in shown] == both
    # A deleted layer goes on in functions that use it, and can't be taken by new ones.
    lam.delete_layer_version(LayerName=name, VersionNumber=1)
    lam.update_function_configuration(FunctionName=name, Description="still")
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    assert invoke(lam, name)[0] == ["two", "two"]
    error = error_of(create, lam, name + "-c", USES_LAYER, Layers=[one["LayerVersionArn"]])
    assert error[0] == "InvalidParameterValueException"


def test_layer_versions_are_listed_and_never_renumbered(lam, name):
    first, _ = layer(lam, name, "1", CompatibleRuntimes=["python3.12"])
    layer(lam, name, "2")
    versions = lam.list_layer_versions(LayerName=name)["LayerVersions"]
    assert [v["Version"] for v in versions] == [2, 1]
    assert lam.get_layer_version_by_arn(Arn=first["LayerVersionArn"])["Version"] == 1
    assert lam.get_layer_version(LayerName=name, VersionNumber=2)["Version"] == 2
    latest = {each["LayerName"]: each["LatestMatchingVersion"]["Version"] for each in lam.list_layers()["Layers"]}
    assert latest[name] == 2
    lam.delete_layer_version(LayerName=name, VersionNumber=2)
    lam.delete_layer_version(LayerName=name, VersionNumber=2)
    assert error_of(lam.get_layer_version, LayerName=name, VersionNumber=2)[0] == "ResourceNotFoundException"
    assert layer(lam, name, "3")[0]["Version"] == 3


def test_tags(lam, name):
    arn = create(lam, name, Tags={"a": "1"})["FunctionArn"]
    lam.tag_resource(Resource=arn, Tags={"b": "2", "a": "3"})
    assert lam.list_tags(Resource=arn)["Tags"] == {"a": "3", "b": "2"}
    lam.untag_resource(Resource=arn, TagKeys=["a"])
    assert lam.list_tags(Resource=arn)["Tags"] == {"b": "2"}
    assert error_of(lam.tag_resource, Resource=arn, Tags={"aws:x": "1"})[1] == 400
    assert error_of(lam.tag_resource, Resource=arn, Tags={"hearth:network": "maybe"})[1] == 400
    assert error_of(lam.tag_resource, Resource=arn, Tags={"hearth:netwrok": "none"})[1] == 400
    assert error_of(lam.tag_resource, Resource=arn + "-none", Tags={"x": "1"})[0] == "ResourceNotFoundException"
    assert lam.list_tags(Resource=arn)["Tags"] == {"b": "2"}


def test_reserved_concurrency_zero_stops_a_function(lam, name):
    create(lam, name, ECHO)
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    assert lam.get_function_concurrency(FunctionName=name)["ReservedConcurrentExecutions"] == 0
    code, status, _ = error_of(lam.invoke, FunctionName=name)
    assert (code, status) == ("TooManyRequestsException", 429)
    lam.delete_function_concurrency(FunctionName=name)
    assert "ReservedConcurrentExecutions" not in lam.get_function_concurrency(FunctionName=name)
    assert invoke(lam, name, 1)[0] == 1
    assert error_of(lam.put_function_concurrency, FunctionName=name, ReservedConcurrentExecutions=901)[1] == 400


def test_reserved_concurrency_is_a_bound(node, lam, name):
    code = "import time\n\ndef handler(e, c):\n    print('begun', flush=True)\n    time.sleep(e)\n    return 'slept'\n"
    create(lam, name, code, Timeout=30)
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    results = []
    slow = threading.Thread(target=lambda: results.append(invoke(node.client("lambda"), name, 5)[0]))
    slow.start()
    wait_until(lambda: "begun" in node.hearth("logs", name, check=False).stdout, "the slow invocation")
    throttled = error_of(lam.invoke, FunctionName=name, Payload=b"0")
    slow.join()
    assert results == ["slept"]
    assert throttled[:2] == ("TooManyRequestsException", 429)
