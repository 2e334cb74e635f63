"""Wrangler, as npm has it, against a node: deploy, tail, secrets, namespaces, crons, queues, versions, delete; and hostile uploads."""

import http.client
import json
import os
import subprocess
import textwrap
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from test_workers import get

from harness import create, invoke, wait_until
from workers import MODULES, with_engine

ACCOUNT = "000000000000"
CONFIG = """
    name = "{name}"
    main = "index.js"
    compatibility_date = "2026-01-01"
"""


class Wrangler:
    """Wrangler in a folder, set up for a node."""

    def __init__(self, node, folder, home):
        self.node, self.folder = node, folder
        told = json.loads(node.hearth("wrangler-env", "--json").stdout)
        self.base, self.token = told["CLOUDFLARE_API_BASE_URL"], told["CLOUDFLARE_API_TOKEN"]
        clean = {k: v for k, v in os.environ.items() if "proxy" not in k.lower() and not k.startswith(("CLOUDFLARE_", "WRANGLER_"))}
        self.environment = clean | told | {"HOME": str(home), "CI": "1", "WRANGLER_SEND_METRICS": "false", "NO_COLOR": "1"}

    def write(self, name, **files):
        """The configuration and files: `index_js` is index.js."""
        for file, text in {"index_js": "export default {};", **files}.items():
            path = self.folder / file.replace("_", ".")
            path.write_text(textwrap.dedent(text).replace("{name}", name))

    def command(self, *arguments):
        return [MODULES / ".bin/wrangler", *arguments]

    def __call__(self, *arguments, stdin=None, check=True):
        ran = subprocess.run(
            self.command(*arguments), cwd=self.folder, env=self.environment, input=stdin, capture_output=True, text=True, timeout=300
        )
        assert not check or ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout + ("" if check else ran.stderr)

    def json(self, *arguments):
        return json.loads(self(*arguments))

    def api(self, method, path, body=None, headers=None, token=None):
        """A request without Wrangler: status and envelope."""
        address = urlsplit(self.base)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
        authorization = {"authorization": f"Bearer {self.token if token is None else token}"} if token != "" else {}
        connection.request(method, address.path + path, body, authorization | (headers or {}))
        response = connection.getresponse()
        return response.status, json.loads(response.read())


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    from harness import Node

    if not (MODULES / ".bin/wrangler").exists():
        pytest.skip("the npm package wrangler is not installed in the npm folder of the tests")
    with Node(tmp_path_factory.mktemp("wrangler"), environment=with_engine()) as node:
        yield node


@pytest.fixture
def lam(workers):
    return workers.client("lambda")


@pytest.fixture
def wrangler(workers, tmp_path, tmp_path_factory):
    folder = tmp_path / "app"
    folder.mkdir()
    return Wrangler(workers, folder, tmp_path_factory.getbasetemp())


def url_of(lam, name):
    return lam.get_function_url_config(FunctionName=name, Qualifier="production")["FunctionUrl"]


HELLO = """
    export default { async fetch(request, env) {
        await env.KV.put("last", new URL(request.url).pathname);
        return Response.json({ one: env.A, more: env.J, last: await env.KV.get("last") });
    } }"""
HELLO_CONFIG = CONFIG + """
    kv_namespaces = [{ binding = "KV", id = "{name}" }]
    [vars]
    A = "first"
    J = { x = [1, 2] }
"""


def test_deployed_updated_rolled_back_and_deleted(workers, wrangler, lam, name):
    wrangler.write(name, wrangler_toml=HELLO_CONFIG, index_js=HELLO)
    assert "Uploaded" in wrangler("deploy", "--message", "the first")
    url = url_of(lam, name)
    status, body, _ = get(workers, url, "/path")
    assert (status, json.loads(body)) == (200, {"one": "first", "more": {"x": [1, 2]}, "last": "/path"})
    # The same function, by AWS's means.
    assert invoke(lam, name, {})[0]["one"] == "first"

    wrangler.write(name, wrangler_toml=HELLO_CONFIG.replace("first", "second"), index_js=HELLO)
    wrangler("deploy")
    assert url_of(lam, name) == url
    assert json.loads(get(workers, url)[1])["one"] == "second"

    versions = wrangler.json("versions", "list", "--json")
    assert [version["number"] for version in versions] == [1, 2] or [version["number"] for version in versions] == [2, 1]
    first = next(version for version in versions if version["number"] == 1)
    assert first["annotations"]["workers/message"] == "the first"
    shown = wrangler.json("versions", "view", first["id"], "--json")
    kinds = {binding["name"]: binding["type"] for binding in shown["resources"]["bindings"]}
    assert kinds == {"A": "plain_text", "J": "json", "KV": "kv_namespace"}

    wrangler("rollback", first["id"], "--message", "back", "--yes")
    assert json.loads(get(workers, url)[1])["one"] == "first"
    deployments = wrangler.json("deployments", "list", "--json")
    assert [deployment["versions"][0]["version_id"][:8] for deployment in deployments] == ["00000001", "00000002", "00000001"]
    status = wrangler.json("deployments", "status", "--json")
    assert status["versions"] == [{"version_id": first["id"], "percentage": 100}]
    assert status["annotations"]["workers/triggered_by"] == "rollback"

    wrangler("delete", "--force")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        lam.get_function(FunctionName=name)
    assert get(workers, url)[0] in (403, 404)


def test_an_upload_that_can_not_run_changes_nothing(workers, wrangler, lam, name):
    wrangler.write(name, wrangler_toml=CONFIG, index_js="export default { fetch() { return new Response('good') } }")
    wrangler("deploy")
    wrangler.write(name, wrangler_toml=CONFIG, index_js="throw new Error('not today'); export default { fetch() {} }")
    assert "not today" in wrangler("deploy", check=False)
    assert get(workers, url_of(lam, name))[1] == b"good"
    # A version that is uploaded only.
    wrangler.write(name, wrangler_toml=CONFIG, index_js="export default { fetch() { return new Response('later') } }")
    wrangler("versions", "upload")
    assert get(workers, url_of(lam, name))[1] == b"good"
    newest = max(wrangler.json("versions", "list", "--json"), key=lambda version: version["number"])
    wrangler("versions", "deploy", f"{newest['id']}@100%", "--yes")
    assert get(workers, url_of(lam, name))[1] == b"later"


def test_what_others_changed_is_set_right(workers, wrangler, lam, name):
    script = f"/accounts/{ACCOUNT}/workers/scripts/{name}"
    hello = form([GOOD[0], ("a.js", MODULE, "export default { fetch() { return new Response('hello') } }")])
    assert wrangler.api("PUT", script, *hello)[0] == 200
    everyone = json.dumps({"enabled": True})
    assert wrangler.api("POST", f"{script}/subdomain", everyone)[0] == 200
    url = url_of(lam, name)
    assert get(workers, url)[1] == b"hello"
    lam.remove_permission(FunctionName=name, Qualifier="production", StatementId="hearth-url-public")
    assert get(workers, url)[0] == 403
    assert wrangler.api("POST", f"{script}/subdomain", everyone)[0] == 200
    assert get(workers, url)[1] == b"hello"
    # An alias that leads to no version.
    lam.update_alias(FunctionName=name, Name="production", FunctionVersion="$LATEST")
    assert wrangler.api("PUT", script, *hello)[0] == 200
    assert lam.get_alias(FunctionName=name, Name="production")["FunctionVersion"] != "$LATEST"
    assert get(workers, url)[1] == b"hello"


def test_tail_tells_what_comes(workers, wrangler, lam, name):
    wrangler.write(name, wrangler_toml=CONFIG, index_js="""
        export default { async fetch(request) {
            console.log("seen", { path: new URL(request.url).pathname });
            if (request.method === "POST") throw new TypeError("no posts");
            return new Response("ok");
        } }""")
    wrangler("deploy")
    url = url_of(lam, name)
    out = wrangler.folder / "tail.out"
    with open(out, "wb") as log:
        tail = subprocess.Popen(
            wrangler.command("tail", "--format", "json"), cwd=wrangler.folder, env=wrangler.environment, stdout=log, stderr=log
        )
    try:
        def told(method):
            """What the tail has told of a request of this method, once it has."""
            assert tail.poll() is None, out.read_text()
            get(workers, url, "/here", method=method, headers={"authorization": "secret word"})
            decoder, text, found = json.JSONDecoder(), out.read_text(), []
            while (text := text.lstrip()).startswith("{"):
                try:
                    item, end = decoder.raw_decode(text)
                except ValueError:
                    break
                found.append(item)
                text = text[end:]
            return next((item for item in found if item["event"]["request"]["method"] == method), None)

        item = wait_until(lambda: told("GET"), "a request in the tail")
        assert (item["outcome"], item["scriptName"]) == ("ok", name)
        assert item["logs"][0]["message"] == ['seen {"path":"/here"}'] and item["logs"][0]["level"] == "log"
        assert item["event"]["request"]["url"].endswith("/here")
        assert "secret word" not in out.read_text()
        item = wait_until(lambda: told("POST"), "an exception in the tail")
        assert item["outcome"] == "exception"
        assert (item["exceptions"][0]["name"], item["exceptions"][0]["message"]) == ("TypeError", "no posts")
    finally:
        tail.terminate()
        tail.wait(60)


def test_secrets(workers, wrangler, lam, name):
    code = "export default { fetch(request, env) { return Response.json([env.WORD ?? null, env.OTHER ?? null]) } }"
    wrangler.write(name, wrangler_toml=CONFIG + '\n    vars = { KNOWN = "x" }\n', index_js=code)
    wrangler("deploy")
    url = url_of(lam, name)
    wrangler("secret", "put", "WORD", stdin="hush")
    assert json.loads(get(workers, url)[1]) == ["hush", None]
    (wrangler.folder / "more.json").write_text('{"OTHER": "shh"}')
    wrangler("secret", "bulk", "more.json")
    assert json.loads(get(workers, url)[1]) == ["hush", "shh"]
    listed = wrangler("secret", "list")
    assert "hush" not in listed and {one["name"] for one in json.loads(listed)} == {"WORD", "OTHER"}
    # A name is a variable's or a secret's.
    script = f"/accounts/{ACCOUNT}/workers/scripts/{name}"
    settings = json.dumps({"bindings": [{"name": "KNOWN", "type": "secret_text", "text": "y"}]})
    status, envelope = wrangler.api("PATCH", f"{script}/settings", *form([("settings", "application/json", settings)]))
    assert status == 400 and "KNOWN" in envelope["errors"][0]["message"], envelope
    # What was refused is not deployed by a secret.
    thrown = form([GOOD[0], ("a.js", MODULE, "throw new Error('not today')")])
    assert wrangler.api("PUT", script, *thrown)[0] == 400
    status, envelope = wrangler.api("PUT", f"{script}/secrets", json.dumps({"name": "WORD", "text": "loud"}))
    assert (status, envelope["errors"][0]["code"]) == (400, 10215)
    # They outlive a deployment, and are in no package.
    wrangler("deploy")
    assert json.loads(get(workers, url)[1]) == ["hush", "shh"]
    wrangler("secret", "delete", "WORD")
    assert json.loads(get(workers, url)[1]) == [None, "shh"]
    # None of several that are set at once is lost.
    names = [f"AT_ONCE_{n}" for n in range(4)]
    with ThreadPoolExecutor(len(names)) as pool:
        bodies = [json.dumps({"name": one, "text": "x"}) for one in names]
        assert {status for status, _ in pool.map(lambda body: wrangler.api("PUT", f"{script}/secrets", body), bodies)} == {200}
    assert {one["name"] for one in wrangler.api("GET", f"{script}/secrets")[1]["result"]} == {"OTHER", *names}


def test_namespaces(wrangler, name):
    wrangler.write(name, wrangler_toml=CONFIG)
    assert name in wrangler("kv", "namespace", "create", name)
    assert {"id": name, "title": name} in [
        {"id": one["id"], "title": one["title"]} for one in wrangler.json("kv", "namespace", "list")
    ]
    here = ["--namespace-id", name, "--remote"]
    wrangler("kv", "key", "put", "a/b", "one", "--metadata", '{"m": 1}', *here)
    (wrangler.folder / "many.json").write_text(json.dumps([{"key": f"k{n}", "value": str(n)} for n in range(3)]))
    wrangler("kv", "bulk", "put", "many.json", *here)
    assert wrangler("kv", "key", "get", "a/b", *here).strip() == "one"
    keys = wrangler.json("kv", "key", "list", *here)
    assert keys == [{"name": "a/b", "metadata": {"m": 1}}, {"name": "k0"}, {"name": "k1"}, {"name": "k2"}]
    wrangler("kv", "key", "delete", "a/b", *here)
    assert "a/b" not in wrangler("kv", "key", "list", *here)
    wrangler("kv", "namespace", "delete", "--namespace-id", name, "--skip-confirmation")
    assert name not in wrangler("kv", "namespace", "list")


def test_crons_are_schedules(workers, wrangler, lam, name):
    wrangler.write(name, wrangler_toml=CONFIG + """
        kv_namespaces = [{ binding = "KV", id = "{name}" }]
        triggers = { crons = ["*/5 * * * *", "0 3 * * MON"] }
    """, index_js="""
        export default {
            async fetch(request, env) { return new Response(await env.KV.get("cron")) },
            async scheduled(controller, env) { await env.KV.put("cron", controller.cron + " " + controller.scheduledTime) },
        }""")
    wrangler("deploy")
    scheduler = workers.client("scheduler")
    names = [one["Name"] for one in scheduler.list_schedules(GroupName="wrangler", NamePrefix=f"{name}.")["Schedules"]]
    found = [scheduler.get_schedule(GroupName="wrangler", Name=one) for one in names]
    assert {one["ScheduleExpression"] for one in found} == {"cron(*/5 * * * ? *)", "cron(0 3 ? * MON *)"}
    target = next(one["Target"] for one in found if "*/5" in one["ScheduleExpression"])
    assert target["Arn"].endswith(f":{name}:production")
    # What the schedule gives when it is due.
    event = target["Input"].replace("<aws.scheduler.scheduled-time>", "2026-01-01T00:00:00Z")
    assert invoke(lam, name, json.loads(event), Qualifier="production")[0] is None
    assert get(workers, url_of(lam, name))[1] == b"*/5 * * * * 1767225600000"
    wrangler("delete", "--force")
    assert scheduler.list_schedules(GroupName="wrangler", NamePrefix=f"{name}.")["Schedules"] == []


def test_queues_between_workers(workers, wrangler, lam, name):
    wrangler.write(name, wrangler_toml=CONFIG + """
        kv_namespaces = [{ binding = "KV", id = "{name}" }]
        [[queues.producers]]
        queue = "{name}"
        binding = "Q"
        [[queues.consumers]]
        queue = "{name}"
        max_batch_size = 10
        max_batch_timeout = 0
    """, index_js="""
        export default {
            async fetch(request, env) {
                if (request.method !== "POST") return Response.json((await env.KV.list()).keys.map(({ name }) => name));
                try {
                    await env.Q.send({ n: 1 });
                    await env.Q.sendBatch([{ body: "2", contentType: "text" }, { body: new Uint8Array([3]), contentType: "bytes" }]);
                    await env.Q.send(() => 1);
                } catch (error) { return new Response(error.message) }
            },
            async queue(batch, env) {
                for (const { body } of batch.messages) {
                    await env.KV.put(body instanceof ArrayBuffer ? `bytes ${new Uint8Array(body)}` : JSON.stringify(body), "");
                }
            },
        }""")
    assert "does not exist" in wrangler("deploy", check=False)
    wrangler("queues", "create", name)
    wrangler("deploy")
    url = url_of(lam, name)
    get(workers, url, method="POST")
    wait_until(
        lambda: json.loads(get(workers, url)[1]) == ['"2"', "bytes 3", '{"n":1}'] or None, "what the queue brought"
    )
    # Consumers by the API: a large batch is waited for, and only a queue's own consumers are its own.
    queues = f"/accounts/{ACCOUNT}/queues"
    assert wrangler.api("POST", queues, json.dumps({"queue_name": f"{name}-2"}))[0] == 200
    consumer = json.dumps({"type": "worker", "script_name": name, "settings": {"batch_size": 50}})
    status, envelope = wrangler.api("POST", f"{queues}/{name}-2/consumers", consumer)
    assert (status, envelope["result"]["settings"]) == (200, {"batch_size": 50, "max_wait_time_ms": 5_000})
    made = envelope["result"]["consumer_id"]
    for method, body in [("PUT", consumer), ("DELETE", None)]:
        status, envelope = wrangler.api(method, f"{queues}/{name}/consumers/{made}", body)
        assert (status, envelope["errors"][0]["code"]) == (404, 11000)
    own = f"{queues}/{name}-2/consumers/{made}"
    wait_until(lambda: wrangler.api("DELETE", own)[0] == 200 or None, "the end of a consumer")
    assert wrangler.api("POST", f"{queues}/{name}-3/consumers", consumer)[1]["errors"][0]["code"] == 11000
    wrangler("delete", "--force")


def test_the_syntax_of_service_workers(workers, wrangler, lam, name):
    wrangler.write(name, wrangler_toml=CONFIG + '\n    vars = { WORD = "global" }\n', index_js="""
        const word = WORD;
        addEventListener("fetch", (event) => {
            event.waitUntil(Promise.resolve());
            event.respondWith(answer(event.request));
        });
        async function answer(request) { return new Response(word + " " + request.method) }
    """)
    wrangler("deploy")
    assert get(workers, url_of(lam, name))[1] == b"global GET"
    wrangler("delete", "--force")


def test_assets(workers, wrangler, lam, name):
    folder = wrangler.folder / "public"
    (folder / "sub").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>home</h1>")
    (folder / "sub/a.txt").write_text("a text")
    wrangler.write(name, wrangler_toml=CONFIG + """
        [assets]
        directory = "public"
        binding = "FILES"
    """, index_js="""
        export default { async fetch(request, env) {
            return new Response("worker and " + await (await env.FILES.fetch("http://x/sub/a.txt")).text());
        } }""")
    wrangler("deploy")
    url = url_of(lam, name)
    assert get(workers, url)[1] == b"<h1>home</h1>"
    assert get(workers, url, "/sub/a.txt")[1] == b"a text"
    assert get(workers, url, "/other")[1] == b"worker and a text"


def form(parts, boundary="x"):
    """A form of (name, media type, text)."""
    text = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n{content}\r\n'
        for name, kind, content in parts
    )
    return (text + f"--{boundary}--\r\n").encode(), {"content-type": f"multipart/form-data; boundary={boundary}"}


MODULE = "application/javascript+module"
GOOD = [("metadata", "application/json", '{"main_module": "a.js"}'), ("a.js", MODULE, "export default { fetch() {} }")]


def test_hostile_callers_and_uploads(workers, wrangler, lam, name):
    script = f"/accounts/{ACCOUNT}/workers/scripts/{name}"
    for token in ["", "AKIA", wrangler.token[:-2] + "00", wrangler.token.replace("us-east-1", "eu-west-1"), "x" * 1_000]:
        status, envelope = wrangler.api("PUT", script, *form(GOOD), token=token)
        assert (status, envelope["success"], envelope["errors"][0]["code"]) == (403, False, 10000)
        assert "wrangler-env" in envelope["errors"][0]["message"]
    status, envelope = wrangler.api("PUT", script.replace(ACCOUNT, "1" * 12), *form(GOOD))
    assert (status, envelope["errors"][0]["code"]) == (403, 10000)

    def refused(body, headers, word, path=script):
        status, envelope = wrangler.api("PUT", path, body, headers)
        assert status == 400 and word in envelope["errors"][0]["message"], envelope

    body, headers = form(GOOD)
    refused(body, {"content-type": "application/json"}, "multipart")
    refused(body[:-20], headers, "multipart")
    refused(*form(GOOD[1:]), "metadata")
    refused(*form([("metadata", "", "{")] + GOOD[1:]), "metadata")
    refused(*form(GOOD[:1]), "a.js")
    refused(*form(GOOD + [("../../x.js", MODULE, "")]), "path within")
    refused(*form(GOOD + [("b.py", "text/x-python", "")]), "text/x-python")
    refused(*form(GOOD + [(f"m{n}.js", MODULE, "") for n in range(6_000)]), "parts")
    bound = json.dumps({"main_module": "a.js", "bindings": [{"name": "DB", "type": "d1", "id": "x"}]})
    refused(*form([("metadata", "", bound)] + GOOD[1:]), "'d1'")
    other = json.dumps({"main_module": "a.js", "bindings": [{"name": "S", "type": "service", "service": "no-such"}]})
    refused(*form([("metadata", "", other)] + GOOD[1:]), "no-such")
    refused(body, headers, "no name of a worker", path=f"/accounts/{ACCOUNT}/workers/scripts/a%2Fb")
    status, envelope = wrangler.api("PUT", script, b"x", headers | {"content-length": "71000000"})
    assert (status, envelope["errors"][0]["code"]) == (413, 10027)
    status, envelope = wrangler.api("GET", f"/accounts/{ACCOUNT}/no/such/call")
    assert (status, envelope["errors"][0]["code"]) == (404, 7003)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        lam.get_function(FunctionName=name)

    # A function of another runtime is no worker: it is neither replaced nor deleted.
    create(lam, name)
    assert wrangler.api("DELETE", script)[0] == 404
    assert wrangler.api("PUT", script, *form(GOOD))[0] == 409
    assert lam.get_function(FunctionName=name)["Configuration"]["Runtime"].startswith("python")
