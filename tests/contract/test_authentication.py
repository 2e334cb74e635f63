"""SigV4: who may come in, and with what."""

import datetime
import http.client
import json
import socket
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from harness import create, error_of, invoke


def signed(node, method="GET", path="/2015-03-31/functions/", body=b"", key=None, when=None, service="lambda"):
    credentials = botocore.credentials.Credentials(*(key or node.key()))
    request = botocore.awsrequest.AWSRequest(method, node.endpoint + path, data=body)
    if when is not None:
        # botocore takes the time from its own clock: sign by hand at another.
        import unittest.mock

        with unittest.mock.patch("botocore.auth.get_current_datetime", return_value=when):
            botocore.auth.SigV4Auth(credentials, service, "us-east-1").add_auth(request)
    else:
        botocore.auth.SigV4Auth(credentials, service, "us-east-1").add_auth(request)
    return dict(request.headers)


def send(node, headers, method="GET", path="/2015-03-31/functions/", body=b""):
    connection = http.client.HTTPConnection(urlsplit(node.endpoint).netloc, timeout=30)
    try:
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers.get("x-amzn-errortype"), response.read()
    finally:
        connection.close()


def test_a_right_signature_comes_in(node):
    assert send(node, signed(node))[0] == 200


def now():
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)


@pytest.mark.parametrize("minutes, expected", [(-4, 200), (4, 200), (-6, 403), (6, 403)])
def test_clocks_may_differ_by_five_minutes(node, minutes, expected):
    status, kind, _ = send(node, signed(node, when=now() + datetime.timedelta(minutes=minutes)))
    assert status == expected
    assert expected == 200 or kind.startswith("InvalidSignatureException")


def test_what_is_not_signed_right_stays_out(node):
    good = signed(node)
    access, secret = node.key()
    attempts = {
        "nothing": {},
        "wrong secret": signed(node, key=(access, secret[:-1] + ("A" if secret[-1] != "A" else "B"))),
        "unknown key": signed(node, key=("AKIAAAAAAAAAAAAAAAAA", secret)),
        "garbage": good | {"Authorization": "AWS4-HMAC-SHA256 garbage"},
        "other scheme": good | {"Authorization": "Basic dXNlcjpwYXNz"},
        "one bit": good | {"Authorization": good["Authorization"][:-1] + ("0" if good["Authorization"][-1] != "0" else "1")},
        "other service": signed(node, service="s3"),
    }
    for what, headers in attempts.items():
        status, kind, body = send(node, headers)
        assert status == 403, what
        assert kind and json.loads(body), what


def test_a_signature_is_for_one_request(node):
    headers = signed(node, "POST", "/2015-03-31/functions/x/invocations", b'{"a":1}')
    swaps = [
        ("POST", "/2015-03-31/functions/x/invocations", b'{"a":2}'),
        ("POST", "/2015-03-31/functions/y/invocations", b'{"a":1}'),
        ("POST", "/2015-03-31/functions/x/invocations?Qualifier=1", b'{"a":1}'),
        ("PUT", "/2015-03-31/functions/x/invocations", b'{"a":1}'),
    ]
    for method, path, body in swaps:
        assert send(node, headers, method, path, body)[0] in (403, 405), (method, path)
    status, kind, _ = send(node, headers, "POST", "/2015-03-31/functions/x/invocations", b'{"a":1}')
    assert (status, kind.split(":")[0]) == (404, "ResourceNotFoundException")


def test_a_package_url_opens_one_package(lam, name):
    create(lam, name)
    create(lam, name + "-b", "def handler(e, c):\n    return 'b'\n")
    mine = lam.get_function(FunctionName=name)["Code"]["Location"]
    other = lam.get_function(FunctionName=name + "-b")["Code"]["Location"]
    with urllib.request.urlopen(mine) as response:
        assert response.status == 200
    swapped = urlsplit(other)._replace(query=urlsplit(mine).query).geturl()
    for bad in (swapped, mine.split("?")[0], mine + "0"):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(bad)
        assert error.value.code == 403, bad


def test_the_account_is_checked(lam, node, name):
    create(lam, name)
    foreign = f"arn:aws:lambda:us-east-1:999999999999:function:{name}"
    assert error_of(lam.invoke, FunctionName=foreign)[1] == 403
    assert error_of(lam.get_function, FunctionName=foreign)[1] == 403
    role = "arn:aws:iam::999999999999:role/x"
    assert error_of(create, lam, name + "-b", Role=role)[:2] == ("InvalidParameterValueException", 400)
    for own in (name, f"000000000000:function:{name}", f"arn:aws:lambda:us-east-1:000000000000:function:{name}"):
        assert invoke(lam, own, 1)[0] == 1
        assert invoke(lam, own + ":$LATEST", 1)[0] == 1


def test_an_account_of_ones_own_and_a_key_from_the_environment(new_node):
    key = {"HEARTH_ACCESS_KEY_ID": "OWNKEY", "HEARTH_SECRET_ACCESS_KEY": "own-secret-own-secret"}
    node = new_node("--account", "111111111111", environment=key)
    assert not (node.data / "credentials").exists()
    node.key = lambda: tuple(key.values())
    created = create(node.client("lambda"), "f", Role="arn:aws:iam::111111111111:role/x")
    assert ":111111111111:" in created["FunctionArn"]
    assert node.client("sts").get_caller_identity()["Account"] == "111111111111"


def test_the_key_file_is_private(node):
    assert (node.data / "credentials").stat().st_mode & 0o777 == 0o600


def test_a_body_that_stops_half_way_does_not_hold_the_node(node):
    headers = signed(node, "POST", "/2015-03-31/functions/x/invocations", b"x" * 100)
    host = urlsplit(node.endpoint)
    with socket.create_connection((host.hostname, host.port)) as stalled:
        lines = [f"{k}: {v}" for k, v in headers.items()] + [f"host: {host.netloc}", "content-length: 100"]
        stalled.sendall(("POST /2015-03-31/functions/x/invocations HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\nxx").encode())
        assert send(node, signed(node))[0] == 200
