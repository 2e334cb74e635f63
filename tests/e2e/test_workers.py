"""JavaScript workers as functions: creation, invocation, logs, streams, and what hostile ones do to their neighbours."""

import base64
import http.client
import json
import threading
from urllib.parse import urlsplit

import pytest

from harness import invoke, wait_until, zipped
from workers import create_worker, refused, with_engine

HELLO = "export default { fetch(request, env) { return new Response('hello ' + env.WHO) } }"


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """A node with the engine."""
    from harness import Node

    environment = with_engine()
    with Node(tmp_path_factory.mktemp("workers"), environment=environment) as node:
        yield node


@pytest.fixture
def lam(workers):
    return workers.client("lambda")


def url_of(lam, name):
    lam.add_permission(
        FunctionName=name, StatementId="url", Action="lambda:InvokeFunctionUrl", Principal="*", FunctionUrlAuthType="NONE"
    )
    lam.add_permission(
        FunctionName=name, StatementId="invoke", Action="lambda:InvokeFunction", Principal="*", InvokedViaFunctionUrl=True
    )
    return lam.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]


def connect(node, url):
    """A connection to the node, and the host field that leads to a function URL."""
    address = urlsplit(node.endpoint)
    return http.client.HTTPConnection(address.hostname, address.port, timeout=60), urlsplit(url).netloc


def get(node, url, path="/", method="GET", body=None, headers=None):
    connection, host = connect(node, url)
    connection.request(method, path, body, {"host": host, **(headers or {})})
    response = connection.getresponse()
    return response.status, response.read(), dict(response.getheaders())


def log_of(answer):
    return base64.b64decode(answer["LogResult"]).decode()


def test_a_worker_is_created_invoked_updated_and_published(lam, name):
    create_worker(lam, name, HELLO, Environment={"Variables": {"WHO": "Ada"}})
    payload, answer = invoke(lam, name, {"a": 1})
    assert "FunctionError" not in answer
    assert payload["statusCode"] == 200 and payload["body"] == "hello Ada"
    assert lam.publish_version(FunctionName=name)["Version"] == "1"
    lam.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="1", WaiterConfig={"Delay": 1})
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    lam.update_function_code(FunctionName=name, ZipFile=zipped({"worker.js": HELLO.replace("hello", "bye")}))
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    assert invoke(lam, name, {})[0]["body"] == "bye Ada"
    assert invoke(lam, name, {}, Qualifier="live")[0]["body"] == "hello Ada"


def test_an_event_is_a_post_and_json_comes_back_as_it_is(lam, name):
    create_worker(lam, name, """
        export default { async fetch(request) {
            return Response.json({ method: request.method, path: new URL(request.url).pathname, got: await request.json() });
        } }""")
    payload, _ = invoke(lam, name, {"any": ["JSON", "ü"]})
    assert payload == {"method": "POST", "path": "/", "got": {"any": ["JSON", "ü"]}}


def test_what_console_writes_is_in_the_log_with_levels(lam, name):
    create_worker(lam, name, """
        export default { fetch() {
            console.log("one", 2, { three: 3 }); console.warn("careful"); console.error("bad\\nnews");
            return new Response("ok");
        } }""")
    _, answer = invoke(lam, name, {}, LogType="Tail")
    lines = log_of(answer).splitlines()
    request = answer["ResponseMetadata"]["RequestId"]
    assert lines[0] == f"START RequestId: {request} Version: $LATEST"
    said = [line.split("\t")[1:] for line in log_of(answer).split("\n")[1:4]]
    assert said[0] == [request, "INFO", 'one 2 {"three":3}']
    assert said[1] == [request, "WARN", "careful"]
    assert said[2] == [request, "ERROR", "bad\rnews"]
    assert f"END RequestId: {request}" in lines and any(line.startswith("REPORT") for line in lines)


def test_what_a_worker_throws_is_its_error(lam, name):
    create_worker(lam, name, "export default {\n  fetch() {\n    null.x;\n  }\n}")
    payload, answer = invoke(lam, name, {}, LogType="Tail")
    assert answer["FunctionError"] == "Unhandled"
    assert payload["errorType"] == "TypeError" and "null" in payload["errorMessage"]
    assert any("worker.js:3:" in line for line in payload["trace"]), payload
    assert "Uncaught TypeError" in log_of(answer)


def test_packages_that_are_no_worker_are_refused_with_the_place(lam, name):
    for kind, code, words in [
        ("syntax", "export default {\n  fetch( { return 1 }\n}", ["SyntaxError", "worker.js:2:"]),
        ("default", "export const a = 1;", ["default export"]),
        ("handler", "export default { scheduled() {} }", ["fetch"]),
        ("import", 'import x from "./nope.js"; export default { fetch() { return x } }', ["nope.js"]),
        ("top", "throw new RangeError('at the top')", ["RangeError", "worker.js:1:"]),
        ("date", {"worker.js": HELLO, "wrangler.toml": "compatibility_date = '2099-01-01'"}, ["2099-01-01"]),
        ("flag", {"worker.js": HELLO, "wrangler.toml": "compatibility_flags = ['no_such_flag']"}, ["no_such_flag"]),
        ("empty", {"readme.md": "nothing"}, ["no JavaScript"]),
    ]:
        reason = refused(lam, f"{name[-40:]}-{kind}", code)
        for word in words:
            assert word in reason, (kind, reason)


def test_modules_and_wrangler_toml(lam, name):
    create_worker(lam, name, {
        "wrangler.toml": "main = 'src/main.mjs'\ncompatibility_date = '2026-01-31'\n[vars]\nFROM = 'toml'\nN = 5",
        "src/main.mjs": "import text from '../note.txt'; import data from './d.json'; import { f } from './lib/f.js';\n"
        "export default { fetch(r, env) { return Response.json([text, data, f(), env.FROM, env.N]) } }",
        "src/lib/f.js": "export const f = () => 'f';",
        "src/d.json": '{"d": 1}',
        "note.txt": "note",
    })
    assert invoke(lam, name, {})[0] == ["note", {"d": 1}, "f", "toml", 5]


def test_http_streams_both_ways_at_a_function_url(workers, lam, name):
    create_worker(lam, name, """
        export default { fetch(request) {
            const url = new URL(request.url);
            if (url.pathname == "/echo") return new Response(request.body, { headers: { "x-own": request.headers.get("x-own") } });
            const { readable, writable } = new TransformStream();
            const writer = writable.getWriter();
            const write = async () => {
                for (let i = 0; i < 3; i++) { await writer.write(new TextEncoder().encode("piece " + i + ";")); await scheduler.wait(1); }
                await writer.close();
            };
            write();
            return new Response(readable);
        } }""")
    url = url_of(lam, name)
    assert get(workers, url)[:2] == (200, b"piece 0;piece 1;piece 2;")
    sent = bytes(range(256)) * 4096
    status, body, headers = get(workers, url, "/echo?x=1", "POST", sent, {"x-own": "y", "x-hearth-order": '{"serve":"other"}'})
    assert (status, body, headers["x-own"]) == (200, sent, "y")
    # The head comes while the request's body is still to be sent.
    connection, host = connect(workers, url)
    connection.putrequest("POST", "/echo", skip_host=True)
    for field in [("host", host), ("transfer-encoding", "chunked"), ("x-own", "z")]:
        connection.putheader(*field)
    connection.endheaders()
    connection.send(b"5\r\nfirst\r\n")
    response = connection.getresponse()
    assert response.read(5) == b"first"
    connection.send(b"4\r\nlast\r\n0\r\n\r\n")
    assert response.read() == b"last"


def test_a_large_body(workers, lam, name):
    """100 MB to a worker that counts them: taken or refused, and it works on."""
    create_worker(lam, name, """
        export default { async fetch(request) {
            let n = 0; for await (const piece of request.body) n += piece.length;
            return new Response(String(n));
        } }""", Timeout=60)
    url = url_of(lam, name)
    piece = bytes(1 << 20)
    try:
        status, body, _ = get(workers, url, "/", "POST", iter([piece] * 100), {"transfer-encoding": "chunked"})
        assert (status, body) == (200, b"104857600") or status == 413, (status, body[:200])
    except (BrokenPipeError, ConnectionResetError):
        # The front door has a bound on bodies, and hangs up on who goes on sending.
        pass
    assert get(workers, url, "/", "POST", piece)[:2] == (200, b"1048576")


def test_no_network(lam, name):
    create_worker(lam, name, """
        import { connect } from "cloudflare:sockets";
        export default { async fetch(request) {
            const { to } = await request.json();
            try {
                if (to == "socket") { const s = connect("127.0.0.1:9002"); await s.opened; return Response.json("open"); }
                return Response.json((await fetch(to)).status);
            } catch (error) { return Response.json("refused: " + error.message); }
        } }""")
    for to in ["http://169.254.169.254/", "http://127.0.0.1:9002/code/x", "http://node/code/x", "https://example.com/", "socket"]:
        assert invoke(lam, name, {"to": to})[0].startswith("refused"), to


def test_a_worker_sees_nothing_of_the_dispatcher(lam, name):
    create_worker(lam, name, """
        import * as workers from "cloudflare:workers";
        export default { async fetch(request, env, ctx) {
            return Response.json({ env: Object.keys(env), imported: Object.keys(workers.env ?? {}), fields: [...request.headers.keys()] });
        } }""", Environment={"Variables": {"OWN": "x"}})
    seen, _ = invoke(lam, name, {})
    for names in (seen["env"], seen["imported"]):
        assert not {"LOADER", "NODE", "SECRET"} & set(names)
    assert "OWN" in seen["env"] and not [field for field in seen["fields"] if "hearth" in field]


def test_time_is_up(lam, name):
    create_worker(lam, name, "export default { async fetch() { await scheduler.wait(60000); return new Response('late') } }", Timeout=1)
    payload, answer = invoke(lam, name, {})
    assert answer["FunctionError"] == "Unhandled" and payload["errorType"] == "Sandbox.Timedout", payload
    assert "timed out after 1.00 seconds" in payload["errorMessage"]


def test_a_promise_that_never_settles_is_an_error(lam, name):
    create_worker(lam, name, "export default { async fetch() { await new Promise(() => {}) } }", Timeout=5)
    payload, answer = invoke(lam, name, {})
    assert answer["FunctionError"] == "Unhandled" and "hung" in payload["errorMessage"], payload


def test_an_endless_loop_ends_the_engine_and_neighbours_are_back(new_node):
    node = new_node(environment=with_engine(), expected_log=[r"an account's engine ended"])
    lam = node.client("lambda")
    create_worker(lam, "loop", "export default { fetch() { for (;;); } }", Timeout=1)
    create_worker(lam, "innocent", HELLO, Environment={"Variables": {"WHO": "me"}}, Timeout=20)
    url = url_of(lam, "innocent")
    assert get(node, url)[:2] == (200, b"hello me")
    looped = []
    looping = threading.Thread(target=lambda: looped.append(invoke(lam, "loop", {})))
    looping.start()
    # Whenever these come, before, while and after the loop: all are answered.
    while looping.is_alive():
        assert get(node, url)[:2] == (200, b"hello me")
    looping.join()
    payload, answer = looped[0]
    assert payload["errorType"] == "Sandbox.Timedout", payload
    wait_until(lambda: "an account's engine ended" in node.log(), "the engine's end")
    assert get(node, url)[:2] == (200, b"hello me")


def test_a_loop_in_a_module_is_refused(new_node):
    node = new_node(environment=with_engine(), expected_log=[r"an account's engine ended"])
    lam = node.client("lambda")
    assert "computed without an end" in refused(lam, "loop", "for (;;); export default { fetch() {} }")
    create_worker(lam, "after", HELLO)
    assert invoke(lam, "after", {})[0]["statusCode"] == 200


def test_hoarded_memory_ends_the_engine_and_neighbours_are_back(new_node):
    node = new_node(environment=with_engine(), expected_log=[r"an account's engine ended"])
    lam = node.client("lambda")
    create_worker(lam, "hoard", """
        const kept = [];
        export default { async fetch() {
            for (;;) { kept.push(new Uint8Array(8 << 20).fill(1)); await scheduler.wait(0); }
        } }""", Timeout=60)
    create_worker(lam, "innocent", HELLO)
    payload, answer = invoke(lam, "hoard", {})
    assert answer["FunctionError"] == "Unhandled" and payload["errorType"] == "Runtime.ExitError", payload
    assert "memory limit" in payload["errorMessage"], payload
    assert invoke(lam, "innocent", {})[0]["statusCode"] == 200


def test_without_the_engine_the_error_says_what_to_do(new_node):
    node = new_node(environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    reason = refused(node.client("lambda"), "w", HELLO)
    assert "workerd is not installed" in reason and "isolates.workerd" in reason


def test_hearth_deploys_a_worker(workers, tmp_path):
    (tmp_path / "greeter.js").write_text("export default { fetch() { return Response.json('deployed') } }")
    told = workers.hearth("deploy", str(tmp_path / "greeter.js"))
    assert "greeter" in told.stdout + told.stderr
    assert invoke(workers.client("lambda"), "greeter", {})[0] == "deployed"


def test_the_doctor_shows_the_engine(workers):
    import subprocess

    from harness import BINARY

    shown = subprocess.run(
        [BINARY, "doctor", "--json", "--data", str(workers.data)],
        capture_output=True, text=True, timeout=120, env=with_engine(),
    )
    found = [r for r in json.loads(shown.stdout)["runtimes"] if r["runtime"] == "worker"]
    assert found and found[0]["interpreter"].endswith("workerd"), shown.stdout
