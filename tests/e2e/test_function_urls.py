"""Functions under their URLs: by host and by path, with http.client, curl and signed requests."""

import http.client
import json
import subprocess
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from harness import create

# Answers as its query says, and otherwise with its event.
CODE = """
import base64, json

def handler(event, context):
    ask = event.get("queryStringParameters", {}).get("ask")
    if ask == "cookies":
        return {"statusCode": 201, "cookies": ["a=1; Path=/", "b=2"], "headers": {"X-Seen": ",".join(event.get("cookies", []))}, "body": "é"}
    if ask == "binary":
        body = base64.b64decode(event["body"]) if event["isBase64Encoded"] else event["body"].encode()
        return {"statusCode": 200, "headers": {"content-type": "application/octet-stream"}, "isBase64Encoded": True,
                "body": base64.b64encode(body[::-1]).decode()}
    if ask == "raise":
        raise ValueError("secret")
    if ask == "malformed":
        return {"statusCode": 200, "headers": {"a": "b\\r\\nx: y"}}
    if ask == "empty":
        return {"statusCode": 204}
    return event
"""


@pytest.fixture(scope="module")
def url(node):
    lam = node.client("lambda")
    create(lam, "behind-a-url", CODE)
    return node.hearth("url", "create", "behind-a-url", "--public", "--cors", "https://site.example").stdout.strip()


class Asked:
    """A request by one of the two forms of a URL, and its answer."""

    def __init__(self, node, url, form, method, path, body=None, headers=None):
        address = urllib.parse.urlsplit(node.endpoint)
        host = urllib.parse.urlsplit(url).netloc
        headers = dict(headers or {})
        if form == "host":
            headers["Host"] = host
        else:
            path = f"/_url/{host.split('.')[0]}{path}"
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        self.status, self.headers, self.body = response.status, response.headers, response.read()
        connection.close()

    def json(self):
        return json.loads(self.body)


@pytest.fixture(params=["host", "path"])
def ask(request, node, url):
    return lambda *arguments, **options: Asked(node, url, request.param, *arguments, **options)


def test_a_request_becomes_an_event(ask, url):
    answer = ask("POST", "/a%20b/?x=1&x=2&y=%C3%A9", body='{"k": 1}', headers={"Content-Type": "application/json", "X-A": "1"})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    event = answer.json()
    assert event["version"] == "2.0"
    assert event["rawPath"] == "/a%20b/"
    assert event["rawQueryString"] == "x=1&x=2&y=%C3%A9"
    assert event["queryStringParameters"] == {"x": "1,2", "y": "é"}
    assert event["headers"]["x-a"] == "1"
    assert event["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert event["body"] == '{"k": 1}' and event["isBase64Encoded"] is False
    context = event["requestContext"]
    assert context["domainName"] == urllib.parse.urlsplit(url).hostname
    assert context["http"]["method"] == "POST" and context["http"]["path"] == "/a%20b/"
    assert context["requestId"] == answer.headers["x-amzn-requestid"]


def test_cookies_bodies_and_failures(ask):
    answer = ask("GET", "/?ask=cookies", headers={"Cookie": "p=1; q=2"})
    assert answer.status == 201
    assert answer.headers.get_all("set-cookie") == ["a=1; Path=/", "b=2"]
    assert answer.headers["x-seen"] == "p=1,q=2"
    assert answer.body.decode() == "é"
    binary = bytes(range(256)) * 100
    answer = ask("PUT", "/?ask=binary", body=binary, headers={"Content-Type": "image/png"})
    assert (answer.status, answer.body) == (200, binary[::-1])
    answer = ask("GET", "/?ask=empty")
    assert (answer.status, answer.body) == (204, b"")
    answer = ask("HEAD", "/")
    assert (answer.status, answer.body) == (200, b"")
    for bad in ("raise", "malformed"):
        answer = ask("GET", f"/?ask={bad}")
        assert (answer.status, answer.json()) == (502, {"Message": "Internal Server Error"})
        assert answer.headers["x"] is None


def test_browsers_learn_what_they_may(ask):
    headers = {"Origin": "https://site.example", "Access-Control-Request-Method": "PUT"}
    answer = ask("OPTIONS", "/?ask=raise", headers=headers)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "https://site.example"
    assert answer.headers["access-control-allow-methods"] == "*"
    answer = ask("GET", "/", headers={"Origin": "https://site.example"})
    assert answer.headers["access-control-allow-origin"] == "https://site.example"
    answer = ask("GET", "/", headers={"Origin": "https://other.example"})
    assert answer.headers["access-control-allow-origin"] is None


def test_curl_reaches_names_under_localhost(url):
    # curl resolves every name under localhost itself (RFC 6761).
    result = subprocess.run(
        ["curl", "-sS", "--max-time", "60", "-d", "a=1", f"{url}form?ask=cookies", "-i"],
        capture_output=True, text=True, check=True,
    )
    assert result.stdout.startswith("HTTP/1.1 201 Created")
    assert "set-cookie: b=2" in result.stdout


def test_aws_iam_takes_signed_requests_only(node, name):
    lam = node.client("lambda")
    create(lam, name)
    url = node.hearth("url", "create", name).stdout.strip()
    address = urllib.parse.urlsplit(url)
    path = f"{node.endpoint}/_url/{address.hostname.split('.')[0]}/x?b=2&a=1"
    credentials = botocore.credentials.Credentials(*node.key())

    def send(sign, region="us-east-1"):
        request = botocore.awsrequest.AWSRequest("POST", path, data=b"hello", headers={"Content-Type": "text/plain"})
        if sign:
            botocore.auth.SigV4Auth(credentials, "lambda", region).add_auth(request)
        target = urllib.parse.urlsplit(path)
        connection = http.client.HTTPConnection(target.hostname, target.port, timeout=60)
        connection.request("POST", f"{target.path}?{target.query}", body=b"hello", headers=dict(request.headers))
        response = connection.getresponse()
        answer = response.status, json.loads(response.read())
        connection.close()
        return answer

    status, event = send(sign=True)
    assert status == 200
    assert event["rawPath"] == "/x" and event["body"] == "hello"
    assert event["requestContext"]["authorizer"]["iam"]["accessKey"] == node.key()[0]
    assert send(sign=False)[0] == 403
    assert send(sign=True, region="eu-west-1")[0] == 403


def test_a_url_is_open_only_while_the_policy_says_so(node, name):
    create(node.client("lambda"), name)
    url = node.hearth("url", "create", name, "--public").stdout.strip()
    assert url in node.hearth("url", "show", name).stdout
    assert Asked(node, url, "host", "GET", "/").status == 200
    node.client("lambda").remove_permission(FunctionName=name, StatementId="hearth-url-public-invoke")
    assert Asked(node, url, "host", "GET", "/").status == 403
    node.hearth("url", "create", name, "--public")
    assert Asked(node, url, "host", "GET", "/").status == 200
    node.hearth("url", "rm", name)
    assert Asked(node, url, "host", "GET", "/").status == 404
    assert Asked(node, url, "path", "GET", "/").status == 404
    assert node.hearth("url", "rm", name, check=False).returncode == 4


def test_a_timeout_and_a_throttle_have_their_status(node, name):
    lam = node.client("lambda")
    create(lam, name, "import time\ndef handler(e, c):\n    time.sleep(60)\n", Timeout=1)
    url = node.hearth("url", "create", name, "--public").stdout.strip()
    assert Asked(node, url, "host", "GET", "/").status == 502
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    answer = Asked(node, url, "host", "GET", "/")
    assert answer.status == 429 and answer.headers["retry-after"]


def test_the_domain_is_configuration(new_node):
    node = new_node("--domain", "Functions.Example:443")
    create(node.client("lambda"), "f")
    url = node.hearth("url", "create", "f", "--public").stdout.strip()
    host = urllib.parse.urlsplit(url).hostname
    assert url == f"http://{host}:443/" and host.endswith(".lambda-url.us-east-1.functions.example")
    answer = Asked(node, url, "host", "GET", "/")
    assert answer.status == 200
    assert answer.json()["requestContext"]["domainName"] == host
