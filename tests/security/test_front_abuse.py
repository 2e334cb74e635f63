"""Abuse of the public listener: what is not signed, not well formed or not public is not served."""

import json
import socket

import pytest

from conftest import request_bytes, send, send_signed, signed, status_of
from harness import create, error_of, invoke

FUNCTIONS = "/2015-03-31/functions"
INVOKE = FUNCTIONS + "/front/invocations"


@pytest.fixture(scope="module")
def lam(fort, fort_lam):
    code = (
        "def handler(event, context):\n"
        "    client = context.client_context\n"
        "    return [context.function_name, context.function_version, context.invoked_function_arn, event, bool(client)]\n"
    )
    create(fort_lam, "front", code)
    fort_lam.publish_version(FunctionName="front")
    return fort_lam


ARN = "arn:aws:lambda:us-east-1:000000000000:function:front"


def invoke_bytes(fort, body, headers=None, unsigned=None, path=INVOKE):
    """A signed invocation, with more headers that are signed and more that are not."""
    complete = signed(fort, "POST", path, body, headers)
    complete.update({"Content-Length": str(len(body)), "Connection": "close", **(unsigned or {})})
    return request_bytes("POST", path, complete, body)


def payload_of(answer):
    return answer.split(b"\r\n\r\n", 1)[1]


def test_the_control_works(fort, lam):
    """The raw client that the others use does get through."""
    answer = send(fort, invoke_bytes(fort, b"1"))
    assert status_of(answer) == 200, answer
    assert json.loads(payload_of(answer)) == ["front", "$LATEST", ARN, 1, False]


@pytest.mark.parametrize(
    "path",
    [
        "/2018-06-01/runtime/invocation/next", "/2018-06-01/runtime/init/error", "/2018-06-01/runtime/invocation/x/response", "/2020-01-01/extension/register",
        "/2022-07-01/telemetry", "/internal", "/_internal/invoke", "/admin", "/metrics", "/debug/pprof", "/_localstack/health", "/.env", "/", "//", "/..%2f..%2fetc/passwd",
        "/2015-03-31/functions/../../../etc/passwd", "/2015-03-31/functions/front/invocations/../../../runtime", "/data/credentials", "/credentials",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_there_is_nothing_but_the_public_api(fort, lam, path, method):
    unsigned = send(fort, request_bytes(method, path, {"Host": "x", "Content-Length": "0", "Connection": "close"}))
    assert status_of(unsigned) in (400, 403, 404, 405), unsigned
    status, answer = send_signed(fort, method, path)
    assert status in (400, 403, 404, 405), answer
    assert b"aws_secret" not in answer and b"root:" not in answer


def test_nothing_is_served_unsigned(fort, lam):
    for method, path in (("GET", FUNCTIONS), ("POST", INVOKE), ("GET", FUNCTIONS + "/front"), ("DELETE", FUNCTIONS + "/front"), ("POST", FUNCTIONS)):
        answer = send(fort, request_bytes(method, path, {"Host": "x", "Content-Length": "0", "Connection": "close"}))
        assert status_of(answer) == 403, answer
    assert invoke(lam, "front", 1)[0]


def test_a_swapped_body_is_refused(fort, lam):
    for header in ({}, {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}):
        data = invoke_bytes(fort, b'"mine"', unsigned=header).replace(b'"mine"', b'"your"')
        assert status_of(send(fort, data)) == 403


def test_a_swapped_path_method_query_or_host_is_refused(fort, lam):
    good = invoke_bytes(fort, b"1")
    for old, new in (
        (b"/front/invocations", b"/other/invocations"), (b"POST ", b"PUT "), (b"/invocations HTTP", b"/invocations?Qualifier=1 HTTP"),
        (b"Host: ", b"Host: other."), (b"us-east-1/lambda", b"eu-west-1/lambda"), (b"/lambda/aws4_request", b"/s3/aws4_request"),
    ):
        assert old in good
        assert status_of(send(fort, good.replace(old, new, 1))) in (400, 403, 404, 405), (old, new)


@pytest.mark.parametrize(
    "name, value",
    [
        ("X-Hearth-Account", "111111111111"), ("X-Hearth-Function", "other"), ("X-Hearth-Internal", "1"), ("X-Forwarded-For", "127.0.0.1"), ("X-Original-URL", "/admin"),
        ("X-Amzn-RequestId", "11111111-1111-4111-8111-111111111111"), ("Lambda-Runtime-Aws-Request-Id", "11111111-1111-4111-8111-111111111111"),
        ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:111111111111:function:other"), ("Lambda-Runtime-Client-Context", "e30="),
        ("Lambda-Runtime-Deadline-Ms", "99999999999999"), ("X-Amz-Function-Error", "Unhandled"), ("X-Amz-Account-Id", "111111111111"), ("X-HTTP-Method-Override", "DELETE"),
    ],
)
@pytest.mark.parametrize("how", ["signed", "unsigned"])
def test_internal_headers_mean_nothing(fort, lam, name, value, how):
    data = invoke_bytes(fort, b"1", **{"headers" if how == "signed" else "unsigned": {name: value}})
    answer = send(fort, data)
    if how == "unsigned" and name.startswith("X-Amz-"):
        # Amazon's own headers must be signed.
        assert status_of(answer) == 403, answer
        return
    assert status_of(answer) == 200, answer
    assert json.loads(payload_of(answer)) == ["front", "$LATEST", ARN, 1, False]
    head = answer.split(b"\r\n\r\n", 1)[0].lower()
    assert b"11111111-1111" not in head and b"x-amz-function-error" not in head


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:lambda:us-east-1:111111111111:function:front", "arn:aws:lambda:eu-west-1:000000000000:function:front", "111111111111:function:front", "111111111111:front",
        "arn:aws:lambda:us-east-1:000000000000:layer:front", "arn:aws:s3:us-east-1:000000000000:function:front",
    ],
)
def test_arns_of_others_are_refused(lam, arn):
    for call, more in ((lam.invoke, {}), (lam.get_function, {}), (lam.update_function_configuration, {"Timeout": 4}), (lam.delete_function, {})):
        code, status, _ = error_of(call, FunctionName=arn, **more)
        assert 400 <= status < 500 and code != "InternalFailure", (arn, code)
    assert invoke(lam, "front", 1)[0] == ["front", "$LATEST", ARN, 1, False]


def test_versions_and_aliases_are_not_confused(lam):
    for name in ("1", "$LATEST", "2", "01", "$latest", "", "a:b", "../1"):
        code, status, _ = error_of(lambda: lam._make_api_call("CreateAlias", {"FunctionName": "front", "Name": name or "-" * 200, "FunctionVersion": "1"}))
        assert 400 <= status < 500, name
    # Two qualifiers that contradict each other, and qualifiers that are nothing.
    for function, qualifier in ((ARN + ":1", "$LATEST"), ("front:1", "2"), ("front", "2"), ("front", "nope"), ("front", "1.0"), ("front", "0"), ("front", "-1"), ("front:nope", "1")):
        code, status, _ = error_of(lam.invoke, FunctionName=function, Qualifier=qualifier)
        assert 400 <= status < 500, (function, qualifier, code)
    assert invoke(lam, "front:1", 1)[0][1] == "1"
    assert invoke(lam, ARN + ":1", 1, Qualifier="1")[0][1] == "1"
    # Nothing can be changed through a version.
    assert 400 <= error_of(lam.update_function_configuration, FunctionName="front:1", Timeout=9)[1] < 500
    assert 400 <= error_of(lam.put_function_concurrency, FunctionName="front:1", ReservedConcurrentExecutions=0)[1] < 500
    assert 400 <= error_of(lam.delete_function, FunctionName="front", Qualifier="$LATEST")[1] < 500


def test_two_lengths_are_refused(fort, lam):
    """One reader's body is another's second request: neither must be served."""
    inner = request_bytes("GET", "/smuggled", {"Host": "x"})
    body = b"0\r\n\r\n" + inner
    headers = signed(fort, "POST", INVOKE, body)
    for lengths in (
        {"Content-Length": str(len(body)), "Transfer-Encoding": "chunked"}, {"Content-Length": "3", "Transfer-Encoding": "chunked"},
        {"Transfer-Encoding": "chunked, identity"}, {"Transfer-Encoding": "xchunked"}, {"Transfer-Encoding ": "chunked"}, {"Content-Length": "+3"}, {"Content-Length": "3, 4"},
        {"Content-Length": "-1"}, {"Content-Length": "18446744073709551617"},
    ):
        answer = send(fort, request_bytes("POST", INVOKE, {**headers, **lengths}, body), seconds=5)
        assert answer.count(b"HTTP/1.1 ") <= 1, (lengths, answer)
        assert not answer.startswith(b"HTTP/1.1 2"), (lengths, answer)
    two = request_bytes("POST", INVOKE, headers).replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n") + body
    answer = send(fort, two, seconds=5)
    assert answer.count(b"HTTP/1.1 ") <= 1 and not answer.startswith(b"HTTP/1.1 2"), answer


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 1000, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 600, b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"".join(b"H%d: x\r\n" % n for n in range(5000)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: AWS4-HMAC-SHA256 " + b"Credential=," * 1000 + b"\r\n\r\n", b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n folded: x\r\n\r\n", b"GET / HTTP/1.1\r\nHo\0st: x\r\n\r\n", b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://127.0.0.1:22/ HTTP/1.1\r\nHost: x\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"x" * 1000,
    ],
    ids=range(14),
)
def test_what_is_not_http_is_turned_away(fort, lam, data):
    answer = send(fort, data, half_close=True)
    assert not answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 5", b"HTTP/1.0 2")), answer
    assert invoke(lam, "front", 1)[0]


def test_slow_and_half_requests_do_not_keep_others_out(fort, lam):
    """Connections that never finish their headers or bodies are many; an honest client is served all the same."""
    host, port = fort.endpoint.removeprefix("http://").rsplit(":", 1)
    good = invoke_bytes(fort, b'"' + b"x" * 100 + b'"')
    held = []
    try:
        for n in range(400):
            connection = socket.create_connection((host, int(port)))
            connection.sendall((b"", b"POST / HTTP/1.1\r\nHos", good[:-50], b"GET / HTTP/1.1\r\n")[n % 4])
            held.append(connection)
        for _ in range(20):
            assert invoke(lam, "front", 1)[0][0] == "front"
    finally:
        for connection in held:
            connection.close()
    assert invoke(lam, "front", 1)[0][0] == "front"


def test_a_body_that_stops_half_way_changes_nothing(fort, lam):
    before = lam.get_function_configuration(FunctionName="front")["Timeout"]
    path = FUNCTIONS + "/front/configuration"
    body = b'{"Timeout": 77}'
    headers = signed(fort, "PUT", path, body)
    data = request_bytes("PUT", path, {**headers, "Content-Length": str(len(body))}, body)
    for end in (1, 5, len(body)):
        answer = send(fort, data[:-end], half_close=True)
        assert not answer.startswith(b"HTTP/1.1 2"), answer
    assert lam.get_function_configuration(FunctionName="front")["Timeout"] == before


def test_json_that_hurts(fort, lam):
    for body in (b"[" * 100_000, b'{"a":' * 50_000, b'{"FunctionName": "x", "FunctionName": "y"}', b"\xff\xfe", b"{", b"null", b"[]", b'"x"', b'{"Timeout": 1e999}', b'{"Timeout": "3"}', b'{"Code": {"ZipFile": "%%%"}}'):
        headers = signed(fort, "POST", FUNCTIONS, body)
        answer = send(fort, request_bytes("POST", FUNCTIONS, {**headers, "Content-Length": str(len(body)), "Connection": "close"}, body))
        assert 400 <= status_of(answer) < 500, (body[:40], answer)
    # An event is the function's business, but it has to be JSON.
    answer = send(fort, invoke_bytes(fort, b"[" * 100_000))
    assert status_of(answer) in (200, 400), answer[:200]
    assert invoke(lam, "front", 1)[0]


def test_tags_cannot_choose_a_weaker_wall(lam):
    """What a function's owner can say about its sandbox is a short list."""
    for tags in ({"hearth:isolation": "none"}, {"hearth:network": "host"}, {"hearth:network": "None"}, {"hearth:network": ""}, {"aws:x": "y"}):
        code, status, message = error_of(lam.tag_resource, Resource=ARN, Tags=tags)
        assert 400 <= status < 500, (tags, code, message)
