"""What a component answers is hostile: headers, statuses and lengths, through a function URL, read off the wire."""

import re

import pytest

from conftest import request_bytes, send
from wasm import ask, body_of, create_component, quoted, url_of
from wasm_fort import fort, fort_lam  # noqa: F401 (fixtures)


@pytest.fixture(scope="module")
def url(fort, fort_lam):
    create_component(fort_lam, "wasm-liar", Timeout=5)
    _, _, prefix, _ = url_of(fort, fort_lam, "wasm-liar")
    return prefix


def get(node, url, target, **headers):
    """One request on a connection that is kept open for a second: (head, rest), both answers' bytes."""
    host = node.endpoint.removeprefix("http://")
    first = request_bytes("GET", url + target, {"Host": host, **headers})
    second = request_bytes("GET", url + "/counter", {"Host": host, "Connection": "close"})
    answer = send(node, first + second)
    head, _, rest = answer.partition(b"\r\n\r\n")
    return head, rest


FORBIDDEN = ["connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection", "te", "trailer", "host"]


@pytest.mark.parametrize("name", FORBIDDEN)
def test_headers_of_the_connection_are_the_platform_s(fort, url, name):
    head, rest = get(fort, url, f"/head?name={name}&value=smuggled")
    assert head.startswith(b"HTTP/1.1 ") and b"smuggled" not in head, head
    assert b"HTTP/1.1 200" in rest or head.startswith(b"HTTP/1.1 5"), "the next request on the connection is answered by itself"


@pytest.mark.parametrize("value", ["a\r\nx-smuggled: 1", "a\nx-smuggled: 1", "a\0b", "a\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"])
def test_a_header_is_one_line(fort, url, value):
    head, rest = get(fort, url, f"/head?name=x-own&value={quoted(value)}")
    assert b"x-smuggled" not in head + rest and head.count(b"HTTP/1.1") == 1, (head, rest)
    assert rest.count(b"HTTP/1.1") <= 1


@pytest.mark.parametrize("name", ["x y", "x:y", "x\r\ny", "", "é"])
def test_a_header_s_name_is_one(fort_lam, url, name):
    payload, answer = ask(fort_lam, "wasm-liar", f"/head?name={quoted(name)}&value=v")
    assert "FunctionError" in answer or b"Err" in body_of(payload), payload


def test_lengths_are_kept(fort, url):
    """More than was said is not sent; less does not look whole."""
    head, rest = get(fort, url, "/length?say=3&write=10")
    assert b"xxxx" not in rest.split(b"HTTP/1.1")[0], rest
    head, rest = get(fort, url, "/length?say=10&write=3")
    body = rest.split(b"HTTP/1.1")[0]
    assert head.startswith(b"HTTP/1.1 5") or (body == b"xxx" and b"HTTP/1.1" not in rest), (head, rest)


@pytest.mark.parametrize("code", [0, 1, 99, 100, 101, 103, 600, 999, 1000, 65535])
def test_statuses_that_are_none(fort, fort_lam, url, code):
    head, rest = get(fort, url, f"/status?code={code}")
    status = int(head.split(b" ")[1])
    assert 200 <= status <= 599 or status == code and code in range(600, 1000), head
    assert head.count(b"HTTP/1.1") == 1 and rest.count(b"HTTP/1.1") <= 1
    payload, answer = ask(fort_lam, "wasm-liar", f"/status?code={code}")
    assert "FunctionError" in answer or 200 <= payload["statusCode"] <= 999, payload


def test_statuses_without_a_body(fort, url):
    for code in (204, 304):
        head, rest = get(fort, url, f"/status?code={code}")
        assert head.startswith(f"HTTP/1.1 {code}".encode()) and b"taken" not in rest.split(b"HTTP/1.1")[0], (head, rest)


def test_header_floods(fort, url):
    """Thousands of headers, and large ones: an answer that a client can read, or an error."""
    for target in ("/many-headers?count=5000&bytes=10", "/many-headers?count=10&bytes=100000", "/many-headers?count=200&bytes=8000"):
        head, _ = get(fort, url, target)
        assert head.startswith(b"HTTP/1.1 ") and len(head) < 1 << 20, (target, len(head))
        if not head.startswith(b"HTTP/1.1 200"):
            assert head.startswith(b"HTTP/1.1 5"), head[:100]


def test_ends_in_the_middle_do_not_look_whole(fort, url):
    for target in ("/late-trap", "/unfinished"):
        head, rest = get(fort, url, target)
        assert not re.search(rb"\r\n0\r\n\r\n", rest.split(b"HTTP/1.1")[0]) or head.startswith(b"HTTP/1.1 5"), (target, head, rest)


def test_names_of_the_platform_are_not_passed_in(fort, url):
    """Headers that only the platform may set are not the caller's to send."""
    spoofed = {"lambda-runtime-aws-request-id": "spoofed", "x-hearth-account": "spoofed", "Connection": "close, x-own", "x-own": "1"}
    head, rest = get(fort, url, "/headers", **spoofed)
    assert b"spoofed" not in rest, rest
