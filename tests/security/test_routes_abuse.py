"""Routes under attack: paths and hosts with two readings, framing, forged tokens and keys, and the platform's own paths."""

import base64
import json
import time

import jwt
import pytest

from conftest import request_bytes, send, send_signed, signed, status_of
from harness import Node, create
from issuer import Issuer, Key

HOST = "guarded.example.com"


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with Node(tmp_path_factory.mktemp("routes-abuse")) as node:
        create(node.client("lambda"), "echo")
        yield node


@pytest.fixture(scope="module")
def key(node):
    return json.loads(node.hearth("route", "key", "create", "abuse", "--json").stdout)["Secret"]


@pytest.fixture(scope="module")
def guarded(node, key):
    """An open site with a part that only a key opens."""
    put(node, "open", Hosts=[HOST], Path="/{*rest}", Target={"FunctionName": "echo"})
    put(node, "admin", Hosts=[HOST], Path="/admin/{*rest}", Auth={"Type": "API_KEY"}, Target={"FunctionName": "echo"})
    return HOST


def put(node, name, expected=200, **route):
    status, answer = send_signed(node, "PUT", f"/hearth/2026-11-01/routes/{name}", route)
    assert status == expected, answer
    return answer


def get(node, path, host=HOST, method="GET", seconds=20, body=b"", **headers):
    headers = {"Host": host, **{name.replace("_", "-"): value for name, value in headers.items()}, "Connection": "close"}
    return send(node, request_bytes(method, path, headers, body), seconds=seconds)


def event_of(answer):
    return json.loads(answer.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("path", [
    "/admin/x", "/admin", "/admin/", "/%61dmin/x", "/%61%64%6d%69%6E/x", "/admin/%2e%2e%2fadmin", "/admin/x?y=/../..",
])
def test_no_spelling_of_a_guarded_path_is_open(node, guarded, path):
    assert status_of(get(node, path)) in (400, 401), path


@pytest.mark.parametrize("path", [
    "//admin/x", "/x//admin", "/x/../admin/x", "/./admin/x", "/x/%2e%2e/admin/x", "/%2E/admin", "/.%2e/admin", "/x/..", "/..",
    "/x%2f..%2fadmin/x", "/x%2Fadmin", "/x%5c..%5cadmin", "/x\\..\\admin", "/%00", "/admin%00", "/x%0d%0aX-Evil:1", "/%7f", "/%", "/%4",
    "/%zz", "/x/%c0%ae%c0%ae%2fadmin",
])
def test_a_path_with_two_readings_reaches_nobody(node, guarded, path):
    answer = get(node, path)
    assert status_of(answer) == 400, answer
    assert b"rawPath" not in answer


def test_what_remains_is_seen_as_it_was_matched(node, guarded):
    assert event_of(get(node, "/%61/b%20c"))["rawPath"] == "/a/b%20c"
    # Overlong and foreign encodings are bytes like others: no route takes them for a slash or a dot.
    assert event_of(get(node, "/%c0%af"))["rawPath"] == "/%C0%AF"


@pytest.mark.parametrize("host", ["GUARDED.example.COM", "guarded.example.com.", "guarded.example.com:1", "guarded.example.com.:65535"])
def test_every_spelling_of_a_host_is_that_host(node, guarded, host):
    assert status_of(get(node, "/admin/x", host=host)) == 401
    assert status_of(get(node, "/x", host=host)) == 200


def test_two_hosts_are_none(node, guarded):
    for lines in (
        b"GET /admin/x HTTP/1.1\r\nHost: other.example\r\nHost: guarded.example.com\r\n\r\n",
        b"GET http://guarded.example.com/x HTTP/1.1\r\nHost: other.example\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: guarded.example.com, other.example\r\nConnection: close\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: guarded.example.com@other.example\r\nConnection: close\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: guarded.example.com/x\r\nConnection: close\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: guarded.example.com\0\r\nConnection: close\r\n\r\n",
    ):
        answer = send(node, lines, seconds=2)
        assert status_of(answer) in (400, 403, None) and b"rawPath" not in answer, (lines, answer)


@pytest.mark.parametrize("path", [
    "/health", "/2015-03-31/functions", "/2015-03-31/functions/echo/invocations", "/_hearth/packages/x", "/_url/x/", "/metrics",
    "/hearth/2026-11-01/routes",
])
def test_nothing_of_the_platform_is_at_a_route_s_host(node, guarded, path):
    """The open route takes every path there; on another site nothing does."""
    put(node, "small", Hosts=["small.example.com"], Path="/only", Target={"FunctionName": "echo"})
    assert event_of(get(node, path))["rawPath"] == path
    headers = signed(node, "GET", path) | {"Host": "small.example.com", "Connection": "close"}
    answer = send(node, request_bytes("GET", path, headers))
    assert status_of(answer) == 404 and b"No route" in answer, answer


def test_the_api_s_own_names_can_not_be_taken(node):
    address = node.endpoint.removeprefix("http://")
    for host in ("localhost", "LOCALHOST.", address, "127.0.0.1", "[::1]", "0x7f.1", "2130706433", "x.lambda-url.us-east-1.localhost",
                 "*.lambda-url.us-east-1.localhost", "*", "", "a b", "http://x", "x/y", "*.*", "x\r\ny"):
        put(node, "steal", 400, Hosts=[host], Path="/{*all}", Target={"Response": {"Body": "stolen"}})
    # The name by which the request has come is one of them.
    path = "/hearth/2026-11-01/routes/steal"
    body = json.dumps({"Hosts": ["api.example.net"], "Path": "/", "Target": {"Response": {}}}).encode()
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest("PUT", "http://api.example.net" + path, data=body)
    SigV4Auth(Credentials(*node.key()), "lambda", "us-east-1").add_auth(request)
    headers = {**dict(request.headers.items()), "Host": "api.example.net", "Content-Length": str(len(body)), "Connection": "close"}
    answer = send(node, request_bytes("PUT", path, headers, body))
    assert status_of(answer) == 400 and b"reached the API" in answer, answer
    assert status_of(get(node, "/health", host="localhost")) == 200


def test_a_wildcard_leaves_function_urls_alone(node):
    lam = node.client("lambda")
    create(lam, "with-url")
    url = node.hearth("url", "create", "with-url", "--public").stdout.strip()
    put(node, "under", Hosts=["*.localhost"], Path="/{*all}", Target={"Response": {"Body": "route"}})
    host = url.removeprefix("http://").rstrip("/")
    assert event_of(get(node, "/x", host=host))["requestContext"]["domainName"] == host.split(":")[0]
    assert b"route" in get(node, "/x", host="a.localhost")
    assert status_of(get(node, "/health", host="localhost")) == 200


def test_who_may_not_sign_makes_no_route(node):
    path, body = "/hearth/2026-11-01/routes/forged", b'{"Path": "/forged", "Target": {"Response": {}}}'
    for headers in ({}, {"x-api-key": "hk_x"}, {"Authorization": "Bearer x"}):
        answer = send(node, request_bytes("PUT", path, {"Host": "127.0.0.1", "Content-Length": str(len(body)), "Connection": "close", **headers}, body))
        assert status_of(answer) == 403, answer
    assert status_of(get(node, "/forged", host="127.0.0.1")) == 403


def test_framing_is_read_in_one_way(node, guarded):
    """Length and chunks at once, twice, or wrong: refused, or the connection ends; never a second request of the attacker's."""
    smuggled = b"GET /admin/smuggled HTTP/1.1\r\nHost: guarded.example.com\r\n\r\n"
    for framing in (
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: +5\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
    ):
        request = b"POST /x HTTP/1.1\r\nHost: guarded.example.com\r\n" + framing + b"\r\n0\r\n\r\n" + smuggled
        answer = send(node, request, seconds=2)
        assert answer.count(b"HTTP/1.1 200") <= 1 and b"/admin/smuggled" not in answer, (framing, answer)
        if b"Content-Length: 5\r\nTransfer" not in framing:
            assert status_of(answer) in (400, None), (framing, answer)


def test_captures_can_not_leave_their_place(node):
    host = "inject.example.com"
    put(node, "inject", Hosts=[host], Path="/in/{a}/{*rest}", Rewrite={"Path": "/out/{rest}/{a}"}, Target={"FunctionName": "echo"},
        RequestHeaders={"Set": {"x-route": "1"}})
    for part in ("a%0d%0aX-Evil:%201", "%0aSet-Cookie:x", "%00"):
        assert status_of(get(node, f"/in/{part}/b", host=host)) == 400
    event = event_of(get(node, "/in/a%3Fadmin=1%23x/%26%3D%25;b=c/d?q=%0d%0aX:1", host=host))
    assert event["rawPath"] == "/out/%26%3D%25;b=c/d/a%3Fadmin=1%23x"
    assert event["rawQueryString"] == "q=%0d%0aX:1"
    assert not {"x", "x-evil", "set-cookie"} & set(event["headers"])
    assert event["pathParameters"]["a"] == "a?admin=1#x"
    for header in ("a\r\nb: c", "a\nb", "a\0b"):
        put(node, "inject2", 400, Hosts=[host], Path="/x", Target={"Response": {"Headers": {"x-a": header}}})


def test_nobody_speaks_in_the_platform_s_name(node, guarded):
    forged = {"X-Hearth-Account": "forged", "X-Amzn-Trace-Id": "forged", "Lambda-Runtime-Aws-Request-Id": "forged", "X-Amzn-RequestId": "forged"}
    headers = {"Host": HOST, **forged, "Connection": "close, x-forwarded-for, host, authorization"}
    answer = send(node, request_bytes("GET", "/x", headers))
    assert b"forged" not in answer, answer


def test_keys_that_are_nearly_right(node, guarded, key):
    assert status_of(get(node, "/admin/x", x_api_key=key)) == 200
    prefix, secret = key.rsplit("_", 1) if key.count("_") == 2 else (key[:23], key[24:])
    for bad in (key[:-1], key + "A", key.upper(), " ", "hk_", prefix + "_" + "A" * len(secret), "hk_" + "0" * 20 + key[23:], "\xff" * 67, "k" * 60_000):
        answer = get(node, "/admin/x", x_api_key=bad)
        assert status_of(answer) in (400, 401, 431), (bad[:80], answer)
    lines = f"GET /admin/x HTTP/1.1\r\nHost: {HOST}\r\nX-Api-Key: {key}\r\nX-Api-Key: {key}\r\nConnection: close\r\n\r\n"
    assert status_of(send(node, lines.encode())) == 401, "two keys are none"
    assert status_of(get(node, f"/admin/x?x-api-key={key}")) == 401
    for region in ("eu-west-1",):
        path = f"/hearth/2026-11-01/route-keys/{region}"
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        request = AWSRequest("POST", node.endpoint + path, data=b"{}")
        SigV4Auth(Credentials(*node.key()), "lambda", region).add_auth(request)
        headers = {**dict(request.headers.items()), "Host": node.endpoint.removeprefix("http://"), "Content-Length": "2", "Connection": "close"}
        made = send(node, request_bytes("POST", path, headers, b"{}"))
        elsewhere = json.loads(made.partition(b"\r\n\r\n")[2])["Secret"]
        assert status_of(get(node, "/admin/x", x_api_key=elsewhere)) == 401, "a key of another region"


@pytest.fixture(scope="module")
def tokens(node):
    with Issuer() as issuer:
        rules = {"Issuer": issuer.url, "Audiences": ["orders"]}
        put(node, "tokens", Hosts=["tokens.example.com"], Path="/t", Auth={"Type": "JWT", "Jwt": rules}, Target={"FunctionName": "echo"})
        assert status_of(with_token(node, issuer.token())) == 200
        yield issuer


def with_token(node, token, scheme="Bearer"):
    return get(node, "/t", host="tokens.example.com", Authorization=f"{scheme} {token}")


def encoded(value):
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def test_forged_tokens(node, tokens):
    good, now = tokens.token(), int(time.time())
    head, body, signature = good.split(".")
    public = tokens.keys[0].private.public_key()
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    import hashlib
    import hmac

    def confused(secret):
        """HS256 with the public key for a secret."""
        signed_part = encoded({"alg": "HS256", "kid": "first", "typ": "JWT"}) + "." + body
        return signed_part + "." + encoded(hmac.new(secret, signed_part.encode(), hashlib.sha256).digest())

    own = Key("first")
    forged = {
        "nothing": "",
        "no token": "a.b.c",
        "alg none": encoded({"alg": "none", "kid": "first"}) + "." + body + ".",
        "alg None": encoded({"alg": "None", "kid": "first"}) + "." + body + ".",
        "no algorithm": encoded({"kid": "first"}) + "." + body + "." + signature,
        "HS256 with the public key": confused(pem),
        "HS256 with the modulus": confused(jwt.utils.base64url_decode(tokens.keys[0].jwk["n"])),
        "no signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "four parts": good + ".x",
        "another signature": f"{head}.{body}.{encoded(b'x' * 256)}",
        "another body": f"{head}.{encoded(tokens.claims(sub='root'))}.{signature}",
        "one's own key under the issuer's name": tokens.token(own),
        "one's own key in the head": tokens.token(own, headers={"jwk": own.jwk}),
        "a place for keys in the head": tokens.token(own, headers={"jku": tokens.url + "/keys", "x5u": tokens.url}),
        "RS512 where the key says RS256": jwt.encode(tokens.claims(), tokens.keys[0].private, "RS512", headers={"kid": "first"}),
        "critical extensions": tokens.token(headers={"crit": ["b64"], "b64": False}),
        "expired": tokens.token(exp=now - 60),
        "not yet good": tokens.token(nbf=now + 120),
        "never ends": tokens.token(exp=None),
        "ends in words": tokens.token(exp="tomorrow"),
        "another issuer": tokens.token(iss=tokens.url + "/"),
        "no issuer": tokens.token(iss=None),
        "another audience": tokens.token(aud="orders2"),
        "no audience": tokens.token(aud=None),
        "audiences of nobody": tokens.token(aud=[]),
        "too long": tokens.token(more="x" * 20_000),
    }
    for what, token in forged.items():
        answer = with_token(node, token)
        assert status_of(answer) == 401, (what, answer)
        assert b"rawPath" not in answer
    for scheme in ("Basic", "bearerx", ""):
        assert status_of(with_token(node, good, scheme)) == 401
    lines = f"GET /t HTTP/1.1\r\nHost: tokens.example.com\r\nAuthorization: Bearer {good}\r\nAuthorization: Bearer {good}\r\nConnection: close\r\n\r\n"
    assert status_of(send(node, lines.encode())) == 401, "two tokens are none"
    assert status_of(with_token(node, tokens.token(exp=now - 5))) == 200, "clocks differ a little"
    assert status_of(with_token(node, good)) == 200


def test_unknown_keys_don_t_make_the_node_ask(node, tokens):
    before = tokens.asked
    strangers = [tokens.token(tokens.keys[0], headers={"kid": f"unknown-{n}"}) for n in range(50)]
    assert {status_of(with_token(node, token)) for token in strangers} == {401}
    # Once in ten seconds, however long fifty requests take here.
    assert tokens.asked - before <= 6


def test_issuers_that_lie(node):
    with Issuer() as issuer:
        for name, rules in {
            "liar": {"Issuer": issuer.url + "/liar"},
            "moved": {"Issuer": issuer.url + "/moved"},
            "missing": {"Issuer": issuer.url + "/nowhere"},
            "large": {"Issuer": issuer.url, "JwksUrl": issuer.url + "/large"},
            "moved-keys": {"Issuer": issuer.url, "JwksUrl": issuer.url + "/moved"},
            "no-document": {"Issuer": issuer.url, "JwksUrl": issuer.url + "/.well-known/openid-configuration"},
        }.items():
            host = f"{name}.example.com"
            put(node, name, Hosts=[host], Path="/", Auth={"Type": "JWT", "Jwt": rules | {"Audiences": ["orders"]}}, Target={"Response": {}})
            token = issuer.token(iss=rules["Issuer"])
            answer = get(node, "/", host=host, Authorization=f"Bearer {token}")
            assert status_of(answer) == 503, (name, answer)
        for bad in ("http://10.0.0.1", "http://metadata.internal", "file:///etc/passwd", "https://user:word@x.example", "x"):
            put(node, "bad-issuer", 400, Hosts=["i.example.com"], Path="/", Target={"Response": {}},
                Auth={"Type": "JWT", "Jwt": {"Issuer": bad, "Audiences": ["a"]}})


def test_a_large_body_is_bounded_at_a_route(node, guarded):
    answer = get(node, "/x", method="POST", body=b"x" * 7_000_000, Content_Length="7000000")
    assert status_of(answer) == 413, answer[:500]
