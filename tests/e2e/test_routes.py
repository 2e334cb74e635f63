"""Routes: hosts and paths that lead to functions, through the real binary, with http.client, curl and signed requests."""

import http.client
import json
import subprocess
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from harness import Node, create, error_of, wait_until
from issuer import Issuer, Key
from wasm import create_component


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    def json(self):
        return json.loads(self.body)


def ask(node, host, method, path, body=None, headers=None):
    """A request at a host, whatever DNS says."""
    address = urllib.parse.urlsplit(node.endpoint)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    try:
        headers = {"Host": host, **(headers or {})} if host else dict(headers or {})
        connection.request(method, path, body=body, headers=headers)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def api(node, method, path, content=None, region="us-east-1"):
    """A signed call of Hearth's own API: (status, answer)."""
    body = b"" if content is None else json.dumps(content).encode()
    request = botocore.awsrequest.AWSRequest(method, node.endpoint + path, data=body)
    botocore.auth.SigV4Auth(botocore.credentials.Credentials(*node.key()), "lambda", region).add_auth(request)
    answer = ask(node, None, method, path, body, dict(request.headers))
    return answer.status, json.loads(answer.body) if answer.body else None


def put(node, name, **route):
    return api(node, "PUT", f"/hearth/2026-11-01/routes/{name}", route)


def must(done):
    status, answer = done
    assert status in (200, 201, 204), answer
    return answer


def fixed(text, status=200):
    return {"Response": {"StatusCode": status, "Body": text}}


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with Node(tmp_path_factory.mktemp("routes")) as node:
        lam = node.client("lambda")
        create(lam, "echo")
        create(lam, "other", "def handler(event, context):\n    return {'statusCode': 200, 'headers': {'x-own': '1', 'x-drop': '1'}, 'body': 'other'}\n")
        create_component(lam, "http-hello", "hello")
        yield node


@pytest.fixture
def host(request):
    """A host of the test's own."""
    words = "".join(c if c.isalnum() else "-" for c in request.node.name.lower()).strip("-")
    return f"{words[:50].strip('-')}.example.com"


def test_a_request_becomes_an_event_of_the_route(node, host):
    must(put(node, "event", Hosts=[host], Path="/users/{id}/{*rest}", Methods=["POST"], Target={"FunctionName": "echo"}))
    answer = ask(node, f"{host.upper()}.:8080", "POST", "/users/%C3%A9%20a/b/c%3F/?x=1&x=2", body='{"k": 1}',
                 headers={"Content-Type": "application/json", "X-A": "1", "X-Hearth-Account": "forged", "X-Amzn-Trace": "forged",
                          "Lambda-Runtime-Trace-Id": "forged"})
    assert answer.status == 200, answer.body
    event = answer.json()
    assert event["version"] == "2.0"
    assert event["routeKey"] == event["requestContext"]["routeKey"] == "POST /users/{id}/{*rest}"
    assert event["pathParameters"] == {"id": "é a", "rest": "b/c?"}
    assert event["rawPath"] == "/users/%C3%A9%20a/b/c%3F/"
    assert event["queryStringParameters"] == {"x": "1,2"}
    assert event["body"] == '{"k": 1}'
    assert event["headers"]["x-a"] == "1" and event["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert "forged" not in json.dumps(event)
    context = event["requestContext"]
    assert (context["stage"], context["domainName"], context["apiId"]) == ("$default", host, "event")
    assert context["http"]["method"] == "POST" and "authorizer" not in context
    assert context["requestId"] == answer.headers["x-amzn-requestid"]


def test_the_most_specific_route_answers(node, host):
    for name, path in [("static", "/a/b"), ("deep", "/a/{x}/c"), ("one", "/a/{x}"), ("rest", "/a/{*r}"), ("all", "/{*r}")]:
        must(put(node, f"spec-{name}", Hosts=[host], Path=path, Target=fixed(name)))
    for path, name in [
        ("/a/b", "static"), ("/a/b/", "static"), ("/a/x", "one"), ("/a/b/c", "deep"), ("/a/b/d", "rest"), ("/a", "rest"),
        ("/", "all"), ("/b", "all"), ("/a/%62", "static"), ("/A/b", "all"),
    ]:
        answer = ask(node, host, "GET", path)
        assert (answer.status, answer.body.decode()) == (200, name), path
    status, refused = put(node, "spec-again", Hosts=[host], Path="/a/{other}", Target=fixed("x"))
    assert status == 409 and "spec-one" in refused["message"]
    # Hosts: an exact one before a wildcard, a wildcard before none.
    must(put(node, "wild", Hosts=["*.wild.test"], Path="/{*r}", Target=fixed("wild")))
    must(put(node, "exact", Hosts=["a.wild.test"], Path="/only", Target=fixed("exact")))
    assert ask(node, "a.wild.test", "GET", "/only").body == b"exact"
    assert ask(node, "a.wild.test", "GET", "/x").status == 404
    assert ask(node, "b.c.wild.test", "GET", "/only").body == b"wild"


def test_two_hosts_lead_to_two_functions(node, host):
    must(put(node, "first", Hosts=["one." + host], Path="/", Target={"FunctionName": "echo"}))
    must(put(node, "second", Hosts=["two." + host], Path="/", Target={"FunctionName": "other"}))
    assert ask(node, "one." + host, "GET", "/").json()["version"] == "2.0"
    assert ask(node, "two." + host, "GET", "/").body == b"other"
    assert ask(node, "three." + host, "GET", "/").status == 403, "the Lambda API, which wants a signature"


def test_methods_and_their_refusal(node, host):
    must(put(node, "m-get", Hosts=[host], Path="/x", Methods=["GET", "HEAD"], Target=fixed("got")))
    must(put(node, "m-post", Hosts=[host], Path="/x", Methods=["POST"], Target=fixed("posted", 201)))
    assert ask(node, host, "GET", "/x").body == b"got"
    head = ask(node, host, "HEAD", "/x")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "3")
    assert ask(node, host, "POST", "/x", body=b"abc").status == 201
    refused = ask(node, host, "DELETE", "/x")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, POST")
    assert "GET, HEAD, POST" in refused.json()["Message"]


def test_paths_and_headers_are_rewritten(node, host):
    edits = {"Set": {"X-Set": "route", "Authorization": "Basic b2s="}, "Remove": ["X-Gone", "Cookie"]}
    must(put(node, "w-strip", Hosts=[host], Path="/api/{*rest}", Rewrite={"StripPrefix": "/api"}, RequestHeaders=edits,
             Target={"FunctionName": "echo"}))
    headers = {"X-Gone": "1", "Cookie": "a=1", "X-Set": "client", "Connection": "x-set"}
    event = ask(node, host, "GET", "/api/a%20b/c/?q=1", headers=headers).json()
    assert (event["rawPath"], event["rawQueryString"]) == ("/a%20b/c/", "q=1")
    assert event["pathParameters"] == {"rest": "a b/c"}
    assert event["headers"]["x-set"] == "route" and event["headers"]["authorization"] == "Basic b2s="
    assert "x-gone" not in event["headers"] and "cookies" not in event
    assert ask(node, host, "GET", "/api").json()["rawPath"] == "/"
    must(put(node, "w-make", Hosts=[host], Path="/old/{id}/{*rest}", Rewrite={"Path": "/v2/{rest}/{id}"}, Target={"FunctionName": "echo"}))
    event = ask(node, host, "GET", "/old/7/a/b?q=1").json()
    assert (event["rawPath"], event["rawQueryString"]) == ("/v2/a/b/7", "q=1")
    must(put(node, "w-answer", Hosts=[host], Path="/answer", Target={"FunctionName": "other"},
             ResponseHeaders={"Set": {"Strict-Transport-Security": "max-age=1"}, "Remove": ["x-drop"]}))
    answer = ask(node, host, "GET", "/answer")
    assert answer.headers["strict-transport-security"] == "max-age=1" and answer.headers["x-own"] == "1"
    assert answer.headers["x-drop"] is None


def test_a_function_that_takes_http(node, host):
    must(put(node, "http", Hosts=[host], Path="/in/{*rest}", Rewrite={"StripPrefix": "/in"}, Target={"FunctionName": "http-hello"}))
    answer = ask(node, host, "GET", "/in/")
    assert (answer.status, answer.body) == (200, b"Hello, World!\n")


def test_an_alias_moves_its_route(node, host):
    lam = node.client("lambda")
    code = "def handler(e, c):\n    return {'statusCode': 200, 'body': c.function_version + ' ' + c.invoked_function_arn.split(':')[-1]}\n"
    create(lam, "versioned", code)
    lam.publish_version(FunctionName="versioned")
    lam.create_alias(FunctionName="versioned", Name="live", FunctionVersion="1")
    must(put(node, "alias", Hosts=[host], Path="/", Target={"FunctionName": "versioned", "Qualifier": "live"}))
    assert ask(node, host, "GET", "/").body == b"1 live"
    status, answer = put(node, "alias2", Hosts=[host], Path="/x", Target={"FunctionName": "versioned", "Qualifier": "none"})
    assert status == 404, answer


def test_a_route_for_every_host_leaves_the_api_alone(node):
    must(put(node, "everywhere", Path="/hello", Target=fixed("hello")))
    for host in (None, "localhost", "127.0.0.1:1", "anything.invalid"):
        answer = ask(node, host, "GET", "/hello")
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"hello", "text/plain; charset=utf-8")
    assert ask(node, None, "GET", "/hello/x").status == 403, "nothing of a route: the API answers"
    assert ask(node, None, "GET", "/health").status == 200
    assert node.client("lambda").list_functions()["Functions"]
    assert node.client("sts").get_caller_identity()["Account"] == "000000000000"
    for path in ("/", "/{*all}", "/{a}", "/health", "/2015-03-31/functions", "/_url/{id}", "/hearth/x", "/metrics"):
        status, answer = put(node, "hijack", Path=path, Target=fixed("x"))
        assert status == 400 and "Name a host" in answer["message"], path


def test_browsers_learn_what_they_may(node, host):
    cors = {"AllowOrigins": ["https://site.example"], "AllowMethods": ["GET"], "MaxAge": 60}
    must(put(node, "cors", Hosts=[host], Path="/c", Methods=["GET"], Cors=cors, Auth={"Type": "API_KEY"}, Target={"FunctionName": "echo"}))
    asked = {"Origin": "https://site.example", "Access-Control-Request-Method": "GET"}
    answer = ask(node, host, "OPTIONS", "/c", headers=asked)
    assert answer.status == 200 and answer.headers["access-control-allow-origin"] == "https://site.example"
    assert ask(node, host, "OPTIONS", "/c", headers=asked | {"Access-Control-Request-Method": "PUT"}).status == 405
    # A page must be able to read why it was refused.
    refused = ask(node, host, "GET", "/c", headers={"Origin": "https://site.example"})
    assert refused.status == 401 and refused.headers["access-control-allow-origin"] == "https://site.example"


def test_api_keys(node, host):
    key = node.hearth("route", "key", "create", "mobile").stdout.strip()
    other = node.hearth("route", "key", "create", "desktop").stdout.strip()
    must(put(node, "keyed", Hosts=[host], Path="/one", Auth={"Type": "API_KEY", "ApiKeys": ["mobile"]}, Target={"FunctionName": "echo"}))
    must(put(node, "keyed-all", Hosts=[host], Path="/all", Auth={"Type": "API_KEY"}, Target={"FunctionName": "echo"}))
    event = ask(node, host, "GET", "/one", headers={"X-Api-Key": key}).json()
    assert event["requestContext"]["authorizer"]["apiKey"]["name"] == "mobile"
    assert key not in json.dumps(event), "the function never sees the key"
    none = ask(node, host, "GET", "/one")
    assert (none.status, none.headers["www-authenticate"]) == (401, "ApiKey")
    assert ask(node, host, "GET", "/one", headers={"X-Api-Key": key[:-1] + ("A" if key[-1] != "A" else "B")}).status == 401
    assert ask(node, host, "GET", "/one", headers={"X-Api-Key": other}).status == 403
    assert ask(node, host, "GET", "/all", headers={"X-Api-Key": other}).status == 200
    node.hearth("route", "key", "disable", "desktop")
    assert ask(node, host, "GET", "/all", headers={"X-Api-Key": other}).status == 401
    node.hearth("route", "key", "enable", "desktop")
    assert ask(node, host, "GET", "/all", headers={"X-Api-Key": other}).status == 200
    assert key not in node.hearth("route", "key", "list", "--json").stdout
    refused = node.hearth("route", "key", "rm", "mobile", check=False)
    assert refused.returncode == 1 and "keyed" in refused.stderr
    node.hearth("route", "key", "rm", "desktop")
    assert ask(node, host, "GET", "/all", headers={"X-Api-Key": other}).status == 401


def test_signed_requests(node, host):
    must(put(node, "iam", Hosts=[host], Path="/s", Auth={"Type": "AWS_IAM"}, Target={"FunctionName": "echo"}))

    def send(region):
        request = botocore.awsrequest.AWSRequest("POST", f"http://{host}/s?b=2&a=1", data=b"hello")
        botocore.auth.SigV4Auth(botocore.credentials.Credentials(*node.key()), "lambda", region).add_auth(request)
        return ask(node, host, "POST", "/s?b=2&a=1", b"hello", dict(request.headers))

    answer = send("us-east-1")
    assert answer.status == 200, answer.body
    assert answer.json()["requestContext"]["authorizer"]["iam"]["accessKey"] == node.key()[0]
    assert send("eu-west-1").status == 403
    assert ask(node, host, "POST", "/s", b"hello").status == 403


def test_rate_limits(node, host):
    limit = {"RequestsPerSecond": 0.01, "Burst": 2}
    must(put(node, "slow", Hosts=[host], Path="/slow", RateLimit=limit, Target=fixed("ok")))
    assert [ask(node, host, "GET", "/slow").status for _ in range(3)] == [200, 200, 429]
    refused = ask(node, host, "GET", "/slow")
    assert 1 <= int(refused.headers["retry-after"]) <= 100
    assert refused.headers["x-amzn-errortype"] == "TooManyRequestsException"
    # A change of something else fills no bucket.
    must(put(node, "slow", Hosts=[host], Path="/slow", RateLimit=limit, Target=fixed("changed")))
    assert ask(node, host, "GET", "/slow").status == 429
    # Each key has a bucket; who has none takes from none.
    keys = [node.hearth("route", "key", "create", f"rate-{n}").stdout.strip() for n in range(2)]
    must(put(node, "each", Hosts=[host], Path="/each", CallerRateLimit=limit, Auth={"Type": "API_KEY"}, Target=fixed("ok")))
    statuses = [[ask(node, host, "GET", "/each", headers={"X-Api-Key": key}).status for _ in range(3)] for key in keys]
    assert statuses == [[200, 200, 429]] * 2
    assert ask(node, host, "GET", "/each").status == 401


def test_tokens(node, host):
    with Issuer() as issuer:
        rules = {"Issuer": issuer.url, "Audiences": ["orders"], "Scopes": ["read", "admin"], "Claims": {"n": 7}}
        must(put(node, "jwt", Hosts=[host], Path="/t", Auth={"Type": "JWT", "Jwt": rules}, Target={"FunctionName": "echo"}))

        def status(token):
            return ask(node, host, "GET", "/t", headers={"Authorization": f"Bearer {token}"}).status

        answer = ask(node, host, "GET", "/t", headers={"Authorization": f"Bearer {issuer.token(roles=['a', 'b'])}"})
        assert answer.status == 200, answer.body
        authorizer = answer.json()["requestContext"]["authorizer"]["jwt"]
        assert authorizer["claims"]["sub"] == "ada" and authorizer["claims"]["roles"] == "[a b]" and authorizer["claims"]["n"] == "7"
        assert authorizer["scopes"] == ["read"]
        missing = ask(node, host, "GET", "/t")
        assert (missing.status, missing.headers["www-authenticate"]) == (401, "Bearer")
        assert status(issuer.token(aud=["x", "orders"])) == 200
        assert status(issuer.token(aud=None, client_id="orders")) == 200
        assert status(issuer.token(scope=None, scp=["admin"])) == 200
        assert status(issuer.token(scope="write")) == 403
        assert status(issuer.token(n=8)) == 403
        assert issuer.asked == 1, "one fetch for all of them"
        # Keys of other kinds are taken once the issuer has them: a token with an unknown key makes the node look.
        new = [Key("ps", "PS384"), Key("es", "ES256"), Key("es2", "ES384"), Key("ed", "EdDSA")]
        issuer.keys += new
        wait_until(lambda: status(issuer.token(new[0])) == 200, "the new keys")
        assert [status(issuer.token(key)) for key in new] == [200] * 4
        assert issuer.asked == 2
        # While the issuer is down, what is known stays good.
        issuer.down = True
        assert status(issuer.token()) == 200
        assert status(issuer.token(Key("unknown"))) == 401


def test_an_issuer_that_is_down_costs_its_own_routes_only(node, host):
    with Issuer() as issuer:
        issuer.down = True
        rules = {"Issuer": issuer.url, "Audiences": ["orders"]}
        must(put(node, "down", Hosts=[host], Path="/t", Auth={"Type": "JWT", "Jwt": rules}, Target=fixed("in")))
        must(put(node, "up", Hosts=[host], Path="/u", Target=fixed("up")))
        headers = {"Authorization": f"Bearer {issuer.token()}"}
        refused = ask(node, host, "GET", "/t", headers=headers)
        assert refused.status == 503 and refused.headers["retry-after"]
        assert ask(node, host, "GET", "/u").body == b"up"
        issuer.down = False
        wait_until(lambda: ask(node, host, "GET", "/t", headers=headers).status == 200, "the issuer's keys")


def test_the_command_line(node, host, tmp_path):
    made = node.hearth("route", "add", "cli", "--host", host, "--path", "/cli/{id}", "--method", "GET", "--function", "echo",
                       "--rewrite", "/made/{id}", "--set-request-header", "x-set=1", "--rate", "100/200", "--cors", "*")
    assert "cli" in made.stdout and "everyone may ask" in made.stderr
    event = ask(node, host, "GET", "/cli/7").json()
    assert event["rawPath"] == "/made/7" and event["headers"]["x-set"] == "1"
    again = node.hearth("route", "add", "cli", "--path", "/x", "--respond", "200", check=False)
    assert again.returncode == 1 and "--replace" in again.stderr
    shown = json.loads(node.hearth("route", "show", "cli").stdout)
    assert shown["RateLimit"] == {"RequestsPerSecond": 100.0, "Burst": 200}
    (tmp_path / "route.json").write_text(json.dumps(shown | {"Path": "/file/{id}"}))
    node.hearth("route", "add", "cli", "--replace", "--file", str(tmp_path / "route.json"))
    assert ask(node, host, "GET", "/file/7").json()["rawPath"] == "/made/7"
    node.hearth("route", "add", "cli-fixed", "--host", host, "--path", "/fixed", "--respond", "418", "--body", "tea", "--header", "x-pot=1")
    answer = ask(node, host, "GET", "/fixed")
    assert (answer.status, answer.body, answer.headers["x-pot"]) == (418, b"tea", "1")
    assert "cli-fixed" in node.hearth("route", "list").stdout
    node.hearth("route", "rm", "cli")
    assert ask(node, host, "GET", "/file/7").status == 404
    assert node.hearth("route", "rm", "cli", check=False).returncode == 4
    wrong = node.hearth("route", "add", "w", "--host", "10.0.0.1", "--path", "/", "--respond", "200", check=False)
    assert wrong.returncode == 1 and "IP address" in wrong.stderr
    assert node.hearth("route", "add", "w", "--path", "/x", check=False).returncode == 2


def test_the_api_pages_and_guards_revisions(node):
    must(put(node, "rev", Hosts=["rev.example.com"], Path="/", Target=fixed("1")))
    status, route = api(node, "GET", "/hearth/2026-11-01/routes/rev")
    assert status == 200 and route["Enabled"] is True
    changed = must(put(node, "rev", **route))
    assert changed["RevisionId"] != route["RevisionId"]
    assert put(node, "rev", **route)[0] == 412
    assert put(node, "rev", **changed | {"RevisionId": "NEW"})[0] == 409
    assert api(node, "DELETE", f"/hearth/2026-11-01/routes/rev?RevisionId={route['RevisionId']}")[0] == 412
    assert put(node, "rev", **changed | {"Auht": {"Type": "JWT"}})[0] == 400
    names, marker = [], ""
    while True:
        page = must(api(node, "GET", f"/hearth/2026-11-01/routes?MaxItems=3{marker}"))
        names += [route["Name"] for route in page["Routes"]]
        if "NextMarker" not in page:
            break
        marker = "&Marker=" + page["NextMarker"]
    assert names == sorted(names) and "rev" in names
    assert api(node, "GET", "/hearth/2026-11-01/routes", region="eu-west-1")[1] == {"Routes": []}
    assert api(node, "POST", "/hearth/2026-11-01/routes/rev")[0] == 405
    must(put(node, "rev", **changed | {"Enabled": False, "RevisionId": changed["RevisionId"]}))
    assert ask(node, "rev.example.com", "GET", "/").status == 403, "the host has no routes: the API answers"


def test_a_function_that_is_gone_leaves_its_routes(node, host):
    lam = node.client("lambda")
    create(lam, "short-lived")
    must(put(node, "orphan", Hosts=[host], Path="/", Target={"FunctionName": "short-lived"}))
    lam.delete_function(FunctionName="short-lived")
    answer = ask(node, host, "GET", "/")
    assert answer.status == 502 and "short-lived" not in answer.body.decode()
    assert error_of(lam.get_function, FunctionName="short-lived")[1] == 404
    create(lam, "short-lived")
    assert ask(node, host, "GET", "/").status == 200


def test_routes_and_keys_survive(new_node):
    node = new_node()
    create(node.client("lambda"), "kept")
    key = node.hearth("route", "key", "create", "k").stdout.strip()
    for n in range(20):
        must(put(node, f"r{n}", Hosts=[f"h{n}.example.com"], Path="/{*rest}", Auth={"Type": "API_KEY"}, Target={"FunctionName": "kept"}))
    node.stop()
    node.start()
    assert ask(node, "h7.example.com", "GET", "/x", headers={"X-Api-Key": key}).status == 200
    must(put(node, "last", Hosts=["last.example.com"], Path="/", Target=fixed("last")))
    must(api(node, "DELETE", "/hearth/2026-11-01/routes/r7"))
    node.kill()
    node.start()
    assert ask(node, "last.example.com", "GET", "/").body == b"last"
    assert ask(node, "h7.example.com", "GET", "/x", headers={"X-Api-Key": key}).status == 403
    assert ask(node, "h8.example.com", "GET", "/x", headers={"X-Api-Key": key}).status == 200


def test_curl_reaches_a_route_by_name(node):
    must(put(node, "curl", Hosts=["shop.localhost"], Path="/basket/{id}", Target={"FunctionName": "echo"}))
    port = urllib.parse.urlsplit(node.endpoint).port
    result = subprocess.run(
        ["curl", "-sS", "--max-time", "60", "-d", "a=1", f"http://shop.localhost:{port}/basket/9"], capture_output=True, text=True, check=True,
    )
    assert json.loads(result.stdout)["pathParameters"] == {"id": "9"}
