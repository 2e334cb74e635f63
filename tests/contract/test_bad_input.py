"""What is wrong gets AWS's error and a sentence, and changes nothing."""

import json

import pytest

from harness import PYTHON, ROLE, create, error_of, invoke, python_zip, zipped
from test_authentication import send, signed

PACKAGE = python_zip("def handler(e, c):\n    return 1\n")
INVALID = "InvalidParameterValueException"
VALIDATION = "ValidationException"


def unchecked(node):
    """A client that sends what it is told: the node's checks are tested, not boto3's."""
    return node.client("lambda", parameter_validation=False)


BAD_CREATIONS = {
    "name with a space": ({"FunctionName": "a b"}, {VALIDATION, INVALID}),
    "name too long": ({"FunctionName": "a" * 65}, {VALIDATION, INVALID}),
    "name of dots": ({"FunctionName": "../../etc"}, {VALIDATION, INVALID}),
    "memory too small": ({"MemorySize": 127}, {VALIDATION, INVALID}),
    "memory too large": ({"MemorySize": 10241}, {VALIDATION, INVALID}),
    "timeout zero": ({"Timeout": 0}, {VALIDATION, INVALID}),
    "timeout too long": ({"Timeout": 901}, {VALIDATION, INVALID}),
    "tmp too small": ({"EphemeralStorage": {"Size": 511}}, {VALIDATION, INVALID}),
    "runtime unknown": ({"Runtime": "cobol85"}, {VALIDATION, INVALID}),
    "no handler": ({"Handler": None}, {VALIDATION, INVALID}),
    "no role": ({"Role": None}, {VALIDATION, INVALID}),
    "role not an ARN": ({"Role": "root"}, {VALIDATION, INVALID}),
    "no code": ({"Code": {}}, {VALIDATION, INVALID}),
    "not a zip": ({"Code": {"ZipFile": b"not a zip"}}, {INVALID, "InvalidZipFileException"}),
    "empty zip": ({"Code": {"ZipFile": zipped({})}}, {INVALID, "InvalidZipFileException"}),
    "path traversal": ({"Code": {"ZipFile": zipped({"../../x": "x"})}}, {INVALID, "InvalidZipFileException"}),
    "reserved variable": ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, {INVALID}),
    "too much environment": ({"Environment": {"Variables": {"AB": "x" * 4096}}}, {INVALID}),
    "six layers": ({"Layers": [f"arn:aws:lambda:us-east-1:000000000000:layer:l{i}:1" for i in range(6)]}, {VALIDATION, INVALID}),
    "unknown layer": ({"Layers": ["arn:aws:lambda:us-east-1:000000000000:layer:none:1"]}, {INVALID}),
    "image": ({"PackageType": "Image", "Code": {"ImageUri": "x"}}, {INVALID}),
    "a stronger wall than there is": ({"Tags": {"hearth:isolation": "microvm"}}, {INVALID}),
    "bad description": ({"Description": "x" * 257}, {VALIDATION, INVALID}),
}


@pytest.mark.parametrize("what", BAD_CREATIONS)
def test_creations_that_cannot_be(node, name, what):
    changes, codes = BAD_CREATIONS[what]
    lam = unchecked(node)
    name = f"bad-{list(BAD_CREATIONS).index(what)}"
    request = {"FunctionName": name, "Runtime": PYTHON, "Role": ROLE, "Handler": "app.handler", "Code": {"ZipFile": PACKAGE}}
    request = {k: v for k, v in (request | changes).items() if v is not None}
    code, status, message = error_of(lam.create_function, **request)
    assert status == 400, (code, message)
    assert code in codes, message
    assert len(message) > 10
    assert error_of(lam.get_function, FunctionName=name)[0] == "ResourceNotFoundException"


def test_a_zip_bomb_is_refused(lam, name):
    bomb = zipped({"bomb": b"\0" * (300 * 1024 * 1024)})
    assert len(bomb) < 1024 * 1024
    assert error_of(create, lam, name, bomb)[:2] == (INVALID, 400)


def test_a_bad_update_changes_nothing(node, lam, name):
    create(lam, name)
    before = lam.get_function_configuration(FunctionName=name)
    for bad in ({"MemorySize": 1}, {"Timeout": 1000}, {"Runtime": "x"}, {"Handler": "x y"}, {"Role": "x"}):
        assert error_of(unchecked(node).update_function_configuration, FunctionName=name, **bad)[1] == 400, bad
    assert error_of(lam.update_function_code, FunctionName=name, ZipFile=b"x")[1] == 400
    after = lam.get_function_configuration(FunctionName=name)
    before.pop("ResponseMetadata"), after.pop("ResponseMetadata")
    assert after == before
    assert invoke(lam, name, 1)[0] == 1


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"null", b'{"FunctionName":1}', b'{"FunctionName":"f","Timeout":"x"}', b'{"Code":{"ZipFile":"%%%"}}', b"\xff\xfe"],
)
def test_bodies_that_are_not_the_shape(node, body):
    path = "/2015-03-31/functions"
    status, kind, answer = send(node, signed(node, "POST", path, body), "POST", path, body)
    assert status == 400, answer
    assert kind.split(":")[0] in ("SerializationException", VALIDATION, INVALID)
    assert json.loads(answer)


@pytest.mark.parametrize("path", ["/", "/nonsense", "/2015-03-31", "/2015-03-31/functions/a/b/c", "/2018-06-01/runtime/invocation/next", "/../etc/passwd", "/%2e%2e/"])
def test_unknown_paths(node, path):
    status, _, body = send(node, signed(node, "GET", path), "GET", path)
    # A path that the client's and the node's rules of canonical form read differently is a bad signature.
    assert status in (403, 404), body
    assert json.loads(body)
    assert send(node, {}, "GET", path)[0] in (403, 404)


def test_payloads(lam, name):
    create(lam, name, Timeout=30)
    for bad in (b"{", b"{'a': 1}", b"\xff", b"nan"):
        code, status, message = error_of(lam.invoke, FunctionName=name, Payload=bad)
        assert (code, status) == ("InvalidRequestContentException", 400), bad
        assert message
    code, status, _ = error_of(lam.invoke, FunctionName=name, Payload=b'"' + b"x" * 6_291_456 + b'"')
    assert (code, status) == ("RequestTooLargeException", 413)
    largest = "x" * (6_291_456 - 2)
    assert invoke(lam, name, largest)[0] == largest
    assert lam.invoke(FunctionName=name, InvocationType="DryRun")["StatusCode"] == 204
    assert error_of(lam.invoke, FunctionName=name, ClientContext="%%%")[1] == 400


def test_names_that_break_the_rules(node):
    lam = unchecked(node)
    for bad in ("a b", "a/b", "arn:aws:s3:::x", "arn:aws:lambda:us-east-1:1:function:x", "x:y:z", "%00", "ü"):
        assert error_of(lam.get_function, FunctionName=bad)[1] in (400, 404), bad
    for bad in ("a b", "$OLDEST", "0"):
        assert error_of(lam.get_function, FunctionName="x", Qualifier=bad)[1] in (400, 404), bad
