"""JavaScript workers as functions: creation, invocation, logs, streams, and what hostile ones do to their neighbours."""

import base64
import http.client
import json
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest

from harness import create, invoke, wait_until, zipped
from inside import INTERNAL, NAMED, listener
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


def test_lines_come_from_streams_and_from_what_runs_on_and_are_in_order(workers, lam, name):
    create_worker(lam, name, """
        export default { async fetch(request, env, ctx) {
            console.log("first", new RangeError("told"));
            ctx.waitUntil((async () => { await scheduler.wait(50); console.log("ran on"); throw new TypeError("at last"); })());
            let n = 0;
            return new Response(new ReadableStream({ pull(controller) {
                console.log("piece", ++n);
                if (n === 3) controller.close(); else controller.enqueue(new TextEncoder().encode(`${n}`));
            } }));
        } }""", Timeout=60)
    payload, answer = invoke(lam, name, {}, LogType="Tail")
    assert payload == 12
    said = [line.split("\t")[2:] for line in log_of(answer).split("\n") if line.count("\t") >= 3 and not line.startswith("REPORT")]
    texts = [text for _, text in said]
    assert texts[0].startswith("first RangeError: told\r") and "worker.js" in texts[0], texts
    assert texts[1:5] == ["piece 1", "piece 2", "piece 3", "ran on"], texts
    assert said[5][0] == "ERROR" and texts[5].startswith("Uncaught TypeError: at last\r"), texts
    assert "hearth-" not in log_of(answer)


LINKED = """
    import note from "./note.txt";
    let me;
    export default {
        async fetch(request, env, ctx) {
            me ??= crypto.randomUUID();
            const { pathname } = new URL(request.url);
            if (pathname === "/throw") throw new RangeError("thrown");
            if (pathname === "/hang") await new Promise(() => {});
            if (pathname === "/keep") await env.KV.put("who", env.WHO);
            console.warn("asked", pathname);
            return Response.json([me, note, env.WHO, env.N, await env.KV.get("who")]);
        },
        scheduled() { console.log("scheduled", me); },
    };
"""


def test_a_worker_that_is_asked_much_is_linked_and_stays_the_same(workers, lam, name):
    toml = "main = 'worker.js'\ncompatibility_date = '2024-01-01'\n[vars]\nN = 5\n"
    files = {"worker.js": LINKED, "note.txt": "a \"note\"\n", "wrangler.toml": toml}
    create_worker(
        lam, name, files, Tags={"hearth:keyvalue": "function"}, Timeout=60, MemorySize=512,
        Environment={"Variables": {"WHO": "Ada \"\\\n ü"}},
    )
    url = url_of(lam, name)
    before = json.loads(get(workers, url, "/keep")[1])
    assert before[1:] == ['a "note"\n', 'Ada "\\\n ü', 5, 'Ada "\\\n ü']

    connection, host = connect(workers, url)
    def ask(path="/"):
        connection.request("GET", path, headers={"host": host})
        response = connection.getresponse()
        return response.status, response.read()

    def moved():
        status, body = ask()
        assert status == 200
        now = json.loads(body)
        assert now[1:] == before[1:]
        return now[0] != before[0] and now

    # Another isolate: that of the engine that has the worker linked. No request has failed until then.
    after = wait_until(moved, "an engine with the worker linked")
    assert json.loads(ask()[1]) == after
    assert ask("/throw")[0] == 502
    payload, answer = invoke(lam, name, {"a": 1}, LogType="Tail")
    assert payload == after
    assert "WARN\tasked /" in log_of(answer)
    event = {"detail-type": "Scheduled Event", "time": "1970-01-01T00:00:01Z", "resources": ["arn"]}
    _, answer = invoke(lam, name, event, LogType="Tail")
    assert f"scheduled {after[0]}" in log_of(answer)
    payload, answer = invoke(lam, name, {"version": "2.0", "rawPath": "/throw", "requestContext": {"http": {"method": "GET", "path": "/throw"}}})
    assert answer["FunctionError"] == "Unhandled" and payload["errorType"] == "RangeError", payload
    assert any("worker.js:" in line for line in payload["trace"]), payload
    payload, answer = invoke(lam, name, {"version": "2.0", "rawPath": "/hang", "requestContext": {"http": {"method": "GET", "path": "/hang"}}})
    assert answer["FunctionError"] == "Unhandled" and "hung" in payload["errorMessage"], payload
    assert json.loads(ask()[1]) == after


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
        ("handler", "export default { other() {} }", ["fetch"]),
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


REACH = """
import { connect } from "cloudflare:sockets";
export default { async fetch(request) {
    const found = {};
    for (const to of await request.json()) {
        try {
            if (to.startsWith("tcp:")) { const s = connect(to.slice(4)); await s.opened; found[to] = "open"; }
            else found[to] = await (await fetch(to)).text();
        } catch (error) { found[to] = "refused: " + error.message; }
    }
    return Response.json(found);
} }"""


def test_no_way_out_by_default(lam, name):
    create_worker(lam, name, REACH)
    sockets = ["tcp:127.0.0.1:9002", "tcp:example.com:80"]
    urls = ["http://169.254.169.254/", "http://127.0.0.1:9002/code/x", "http://node/code/x", "https://example.com/"]
    found, _ = invoke(lam, name, [*sockets, *urls])
    assert all(text.startswith("refused") for text in found.values()), found
    assert all("to the function's tag hearth:allowed-hosts" in found[url] for url in urls), found


@pytest.mark.parametrize("allowed", ["nothing", "named"])
def test_requests_never_reach_internal_addresses(lam, name, allowed):
    """Not even where they are allowed by name: that a host is listed does not open an address that is closed."""
    with listener() as (port, heard):
        hosts = [*NAMED, socket.gethostname()]
        named = " ".join(f"{host}:{port}" for host in hosts)
        create_worker(lam, name, REACH, Tags={"hearth:allowed-hosts": named} if allowed == "named" else {}, Timeout=60)
        urls = [f"http://{host}:{port}/" for host in [*INTERNAL, *hosts]]
        found, answer = invoke(lam, name, urls)
        assert "FunctionError" not in answer, found
        assert all(text.startswith("refused") for text in found.values()), found
    assert not heard, heard


def test_the_node_itself_is_no_host(workers, lam, name):
    create_worker(lam, name, REACH, Tags={"hearth:allowed-hosts": workers.endpoint.removeprefix("http://")})
    found, _ = invoke(lam, name, [workers.endpoint + "/health"])
    assert all(text.startswith("refused") for text in found.values()), found


def test_a_worker_cannot_ask_in_the_name_of_another(lam, name):
    """The door is not reached, and what a worker says of itself is not believed."""
    code = """
        export default { async fetch(request, env) {
            const { id } = await request.json();
            const headers = { "x-hearth-function": id, "x-hearth-order": JSON.stringify({ serve: id }) };
            try { return new Response(await (await fetch("http://example.com/", { headers })).text()); }
            catch (error) { return Response.json(error.message); }
        } }"""
    create_worker(lam, name, code)
    create_worker(lam, name + "-2", code, Tags={"hearth:allowed-hosts": "example.com"})
    said, _ = invoke(lam, name, {"id": "anything"})
    assert "add example.com to the function's tag" in said


KEYS = """
export default { async fetch(request, env) {
    const found = [];
    for (const [call, ...values] of await request.json()) {
        try { found.push(await calls[call](env, ...values)); } catch (error) { found.push(`${error.name}: ${error.message}`); }
    }
    return Response.json(found);
} };
const calls = {
    put: (env, ...values) => env.KV.put(...values),
    get: (env, ...values) => env.KV.get(...values),
    map: async (env, ...values) => [...(await env.KV.get(...values))],
    getWithMetadata: (env, ...values) => env.KV.getWithMetadata(...values),
    list: (env, ...values) => env.KV.list(...values),
    delete: (env, ...values) => env.KV.delete(...values),
    bytes: async (env, key) => {
        await env.KV.put(key, new Uint8Array([0, 255, 1]).subarray(1));
        const read = [...new Uint8Array(await env.KV.get(key, "arrayBuffer"))];
        await env.KV.put(key, new Response("streamed").body);
        return [read, await new Response(await env.KV.get(key, "stream")).text()];
    },
    large: async (env, key, length) => {
        await env.KV.put(key, new Uint8Array(length).fill(7));
        const read = new Uint8Array(await env.KV.get(key, { type: "arrayBuffer" }));
        return [read.length, read.every((byte) => byte === 7)];
    },
    names: (env) => Object.keys(env),
};
"""


def test_key_value_stores_have_the_calls_of_workers_kv(lam, name):
    # An old date: bindings are called by name all the same.
    toml = f"compatibility_date = '2023-05-01'\n[[kv_namespaces]]\nbinding = 'KV'\nid = '{name[-60:]}'"
    create_worker(lam, name, {"worker.js": KEYS, "wrangler.toml": toml}, Timeout=60)
    kv = lambda *calls: invoke(lam, name, list(calls))[0]  # noqa: E731
    assert kv(["put", "k", "välue", {"metadata": {"ü": [1]}}], ["get", "k"], ["get", "none"]) == [None, "välue", None]
    assert kv(["getWithMetadata", "k"], ["getWithMetadata", "none"]) == [
        {"value": "välue", "metadata": {"ü": [1]}, "cacheStatus": None}, {"value": None, "metadata": None, "cacheStatus": None},
    ]
    assert kv(["put", "j", '{"a": [1]}'], ["get", "j", "json"], ["get", "j", {"type": "json"}])[1:] == [{"a": [1]}] * 2
    assert kv(["map", ["k", "none", "j"]])[0] == [["k", "välue"], ["none", None], ["j", '{"a": [1]}']]
    assert kv(["bytes", "b"])[0] == [[255, 1], "streamed"]
    assert kv(["put", "k", ""], ["get", "k"], ["getWithMetadata", "k"])[1:] == ["", {"value": "", "metadata": None, "cacheStatus": None}]
    assert kv(["delete", "k"], ["delete", "k"], ["get", "k"]) == [None, None, None]
    assert kv(["large", "big", 25 << 20], ["delete", "big"])[0] == [25 << 20, True]
    # Lists, in order, by pages.
    far = 4102444800
    kv(*(["put", f"p/{n:02}", "x", {"metadata": n}] for n in range(7)), ["put", "p/x", "x", {"expiration": far}], ["put", "q/ä&=", "x"])
    listed = kv(["list", {"prefix": "p/", "limit": 5}])[0]
    assert [key["name"] for key in listed["keys"]] == [f"p/{n:02}" for n in range(5)] and not listed["list_complete"]
    assert listed["keys"][3]["metadata"] == 3
    rest = kv(["list", {"prefix": "p/", "cursor": listed["cursor"]}])[0]
    assert rest["keys"][-1] == {"name": "p/x", "expiration": far} and rest["list_complete"] and "cursor" not in rest
    assert [key["name"] for key in kv(["list", {"prefix": "q/"}])[0]["keys"]] == ["q/ä&="]


def test_bad_calls_of_key_value_stores_say_what_is_wrong(lam, name):
    create_worker(lam, name, KEYS, Tags={"hearth:keyvalue": "function"}, Timeout=60)
    bad = [
        (["put", "", "x"], "empty"), (["put", "k" * 513, "x"], "512"), (["put", "k", 5], "string"), (["put", "k", "x", {"expirationTtl": 59}], "60"),
        (["put", "k", "x", {"expirationTtl": "soon"}], "seconds"), (["put", "k", "x", {"expiration": 1}], "60 seconds from now"),
        (["put", "k", "x", {"metadata": "m" * 1024}], "1024"), (["large", "k", (25 << 20) + 1], "413"), (["get", "k", "yaml"], "yaml"),
        (["get", "k", "__proto__"], "__proto__"), (["get", 5], "string"), (["get", ["k"] * 101], "100"), (["get", ["k"], "stream"], "text or json"),
        (["list", {"limit": 0}], "1000"), (["list", {"limit": 1001}], "1000"), (["list", {"cursor": "!"}], "cursor"),
    ]
    found, answer = invoke(lam, name, [call for call, _ in bad])
    assert "FunctionError" not in answer, found
    for (call, word), said in zip(bad, found):
        assert isinstance(said, str) and "Error: " in said and word in said, (call, said)
    assert invoke(lam, name, [["get", "k"], ["list"]])[0][0] is None


def test_key_value_stores_are_apart(lam, name):
    """A function's own is nobody else's, a shared one is shared by name, and what is not bound is not there."""
    shared = name[-60:]
    for function, tag in [("own", "function"), ("own2", "function"), ("a", f"KV={shared}"), ("b", f"KV={shared} OTHER=o{shared[-50:]}")]:
        create_worker(lam, f"{name}-{function}", KEYS, Tags={"hearth:keyvalue": tag})
    kv = lambda function, *calls: invoke(lam, f"{name}-{function}", list(calls))[0]  # noqa: E731
    kv("own", ["put", "k", "mine"])
    kv("a", ["put", "k", "ours"])
    assert [kv(function, ["get", "k"])[0] for function in ("own", "own2", "a", "b")] == ["mine", None, "ours", "ours"]
    assert {"KV", "OTHER"} <= set(kv("b", ["names"])[0])
    create_worker(lam, f"{name}-none", KEYS)
    assert "TypeError" in kv("none", ["get", "k"])[0]


def test_bindings_that_can_not_be_had_are_refused(lam, name):
    for kind, toml, words in [
        ("id", "[[kv_namespaces]]\nbinding = 'KV'", ["KV", "id"]),
        ("name", "[[kv_namespaces]]\nbinding = 'K V'\nid = 'x'", ["K V"]),
        ("twice", "vars = { KV = 1 }\n[[kv_namespaces]]\nbinding = 'KV'\nid = 'x'", ["Two", "KV"]),
    ]:
        reason = refused(lam, f"{name[-40:]}-{kind}", {"worker.js": HELLO, "wrangler.toml": toml})
        for word in words:
            assert word in reason, (kind, reason)


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


def test_who_keeps_ending_the_engine_gets_one_of_its_own(new_node):
    node = new_node(
        environment=with_engine(), expected_log=[r"an account's engine ended", r"a worker gets an engine of its own"]
    )
    lam = node.client("lambda")
    create_worker(lam, "loop", "export default { fetch() { for (;;); } }", Timeout=1)
    create_worker(lam, "innocent", """
        let me;
        export default { fetch() { return new Response(me ??= crypto.randomUUID()); } }""", Timeout=60)
    who = lambda: invoke(lam, "innocent", {})[0]["body"]  # noqa: E731
    ended = lambda: node.log().count("an account's engine ended")  # noqa: E731

    def offend(ends):
        # On a busy machine its time may be up before it has begun to compute: then nothing ends, and it is asked again.
        for _ in range(12):
            assert invoke(lam, "loop", {})[0]["errorType"] == "Sandbox.Timedout"
            until = time.monotonic() + 10
            while time.monotonic() < until:
                if ended() >= ends:
                    return
                time.sleep(0.05)
        raise AssertionError("the engine's end did not come")

    seen = set()
    for n in range(1, 4):
        seen.add(who())
        offend(n)
    assert len(seen) == 3, "each end has made the innocent's isolate anew"
    wait_until(lambda: "a worker gets an engine of its own" in node.log(), "the offender's move")
    me = who()
    offend(4)
    assert who() == me


SOCKETS = """
    export default { fetch(request) {
        const { pathname } = new URL(request.url);
        const [client, server] = Object.values(new WebSocketPair());
        server.accept();
        server.binaryType = "arraybuffer";
        server.addEventListener("message", ({ data }) => {
            console.log("got", typeof data === "string" ? data : data.byteLength);
            server.send(data);
            if (data === "end") server.close(4001, "you said so");
        });
        if (pathname === "/greet") server.send(request.headers.get("x-own"));
        return new Response(null, { status: 101, webSocket: client });
    } }
"""


def websocket(node, url, path, **more):
    from websockets.sync.client import connect

    address = urlsplit(node.endpoint)
    where = f"ws://{urlsplit(url).netloc.rsplit(':', 1)[0]}:{address.port}{path}"
    return connect(where, sock=socket.create_connection((address.hostname, address.port)), open_timeout=60, max_size=None, **more)


def test_websockets_pass_through(workers, lam, name):
    from websockets.exceptions import ConnectionClosed

    create_worker(lam, name, SOCKETS, Timeout=60)
    url = url_of(lam, name)
    with websocket(workers, url, "/greet", additional_headers={"x-own": "mine"}) as one, websocket(workers, url, "/") as other:
        assert one.recv(60) == "mine"
        big = bytes(range(256)) * 2048
        for message in ("a", "ü", big):
            one.send(message)
            other.send(message)
            assert one.recv(60) == message and other.recv(60) == message
        one.send("end")
        assert one.recv(60) == "end"
        with pytest.raises(ConnectionClosed) as closed:
            one.recv(60)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "you said so")
        other.send("still")
        assert other.recv(60) == "still"
    logs = workers.client("logs")

    def lines():
        found = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        texts = [event["message"] for event in found]
        return sum(text.startswith("REPORT") for text in texts) == 2 and texts

    said = wait_until(lines, "the ends of both")
    assert sum(text.rstrip().endswith(f"\tgot {len(big)}") for text in said) == 2, said
    # A response with a socket that nobody has asked for.
    assert get(workers, url)[0] == 502


def test_a_websocket_ends_with_the_functions_time(workers, lam, name):
    from websockets.exceptions import ConnectionClosed

    create_worker(lam, name, SOCKETS, Timeout=2)
    with websocket(workers, url_of(lam, name), "/") as open_one:
        with pytest.raises(ConnectionClosed):
            open_one.recv(60)
    logs = workers.client("logs")
    wait_until(
        lambda: any("timed out" in e["message"].lower() or "timeout" in e["message"] for e in logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]),
        "the report of the end",
    )


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


ASKED = """
export default { async fetch(request, env) {
    const url = new URL(request.url);
    return Response.json({
        by: "worker", method: request.method, path: url.pathname + url.search, host: url.host,
        own: request.headers.get("x-own"), strange: [...request.headers.keys()].filter((name) => name.includes("hearth")), body: await request.text(),
    });
} }"""

PYTHON = """
def handler(event, context):
    http = event["requestContext"]["http"]
    return {"by": "python", "method": http["method"], "path": event["rawPath"] + "?" + event["rawQueryString"], "own": event["headers"].get("x-own")}
"""

ASKS = """
export default { async fetch(request, env) {
    const { binding, url, ...init } = await request.json();
    try {
        const response = await env[binding].fetch(url, init);
        return Response.json([response.status, await response.text()]);
    } catch (error) { return Response.json(String(error)); }
} }"""


def services(**bound):
    return "".join(f"[[services]]\nbinding = '{binding}'\nservice = '{name}'\n" for binding, name in bound.items())


def test_services_are_functions_of_the_account_whatever_their_wall(lam, name):
    create_worker(lam, f"{name}-asked", ASKED)
    create(lam, f"{name}-python", zipped({"f.py": PYTHON}), Handler="f.handler")
    toml = services(JS=f"{name}-asked", PY=f"{name}-python", NONE=f"{name}-none", OTHER=f"123456789012:function:{name}-asked")
    create_worker(lam, name, {"worker.js": ASKS, "wrangler.toml": toml})
    def ask(binding, **init):
        answer, _ = invoke(lam, name, {"binding": binding, "url": "https://any.example/p?q=1", "headers": {"x-own": "y"}, **init})
        return answer
    status, body = ask("JS", method="PUT", body="sent")
    assert (status, json.loads(body)) == (200, {
        "by": "worker", "method": "PUT", "path": "/p?q=1", "host": "any.example", "own": "y", "strange": [], "body": "sent",
    })
    status, body = ask("PY")
    assert (status, json.loads(body)) == (200, {"by": "python", "method": "GET", "path": "/p?q=1", "own": "y"})
    assert ask("NONE")[0] == 404 and ask("OTHER")[0] == 403
    lam.delete_function(FunctionName=f"{name}-asked")
    assert ask("JS")[0] == 404


def test_functions_that_ask_each_other_in_a_circle_are_stopped(lam, name):
    """A worker that hands its request on to itself, with what came with it."""
    code = "export default { async fetch(request, env) { return await env.SELF.fetch(request) } }"
    create_worker(lam, name, {"worker.js": code, "wrangler.toml": services(SELF=name)})
    payload, answer = invoke(lam, name, {})
    assert "FunctionError" not in answer and payload["statusCode"] == 508 and "circle" in payload["body"], payload


def test_files_of_the_package_are_answers(workers, lam, name):
    page, big = "<h1>hello</h1>", bytes(range(256)) * 1024
    create_worker(lam, name, {
        "worker.js": """export default { async fetch(request, env) {
            const url = new URL(request.url);
            if (url.pathname == "/through") return await env.FILES.fetch("http://files/" + url.search.slice(1));
            return new Response("the worker's " + url.pathname, { status: 201 });
        } }""",
        "wrangler.toml": "[assets]\ndirectory = './public'\nbinding = 'FILES'\nnot_found_handling = '404-page'",
        "public/index.html": page, "public/about.html": "about", "public/a b/x.js": "export const x = 1;", "public/big.bin": big,
        "public/404.html": "not here", "secret.txt": "not an answer",
    })
    url = url_of(lam, name)
    status, body, headers = get(workers, url)
    assert (status, body) == (200, page.encode()) and headers["content-type"].startswith("text/html"), headers
    tag = headers["etag"]
    assert get(workers, url, headers={"if-none-match": tag})[:2] == (304, b"")
    assert get(workers, url, headers={"if-none-match": '"other"'})[0] == 200
    assert get(workers, url, method="HEAD")[:2] == (200, b"")
    assert get(workers, url, "/about")[:2] == (200, b"about")
    status, _, headers = get(workers, url, "/about.html?q=1")
    assert (status, headers["location"]) == (307, "/about?q=1")
    assert get(workers, url, "/a%20b/x.js")[1] == b"export const x = 1;"
    assert get(workers, url, "/big.bin")[:2] == (200, big)
    status, body, headers = get(workers, url, "/big.bin", headers={"range": "bytes=1000-1003"})
    assert (status, body, headers["content-range"]) == (206, big[1000:1004], f"bytes 1000-1003/{len(big)}")
    status, _, headers = get(workers, url, "/big.bin", headers={"range": "bytes=999999999-"})
    assert (status, headers["content-range"]) == (416, f"bytes */{len(big)}")
    # What no file is, and other methods, are the worker's; the rest of the package is nobody's.
    assert get(workers, url, "/none")[:2] == (201, b"the worker's /none")
    assert get(workers, url, "/", "POST", b"x")[:2] == (201, b"the worker's /")
    for path in ("/secret.txt", "/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/wrangler.toml"):
        assert get(workers, url, path)[0] == 201, path
    # By the binding, with what is to be said where nothing is.
    assert get(workers, url, "/through?about")[:2] == (200, b"about")
    assert get(workers, url, "/through?none")[:2] == (404, b"not here")
    assert get(workers, url, "/through?../secret.txt")[:2] == (404, b"not here")


HANDLERS = """
export default {
    async scheduled(controller, env, ctx) { await env.KV.put("scheduled", JSON.stringify([controller.scheduledTime, typeof controller.noRetry])); },
    async queue(batch, env, ctx) {
        for (const message of batch.messages) {
            if (message.body.fail && message.attempts < 2) { message.retry(); continue; }
            await env.KV.put(`${batch.queue}/${message.id}`, JSON.stringify([message.body, message.attempts, message.timestamp instanceof Date]));
        }
        console.log("took", batch.messages.length);
    },
    async fetch(request, env) {
        const { keys } = await env.KV.list({ prefix: new URL(request.url).searchParams.get("prefix") });
        return Response.json(await Promise.all(keys.map(({ name }) => env.KV.get(name, "json"))));
    },
};
"""


def test_schedules_and_queues_have_handlers_of_their_own(workers, lam, name):
    create_worker(lam, name, HANDLERS, Tags={"hearth:keyvalue": "function"})
    event = {"version": "0", "detail-type": "Scheduled Event", "source": "aws.scheduler", "time": "2026-01-31T12:00:00Z", "resources": ["arn"], "detail": "{}"}
    payload, answer = invoke(lam, name, event, LogType="Tail")
    assert payload is None and "FunctionError" not in answer
    url = url_of(lam, name)
    assert json.loads(get(workers, url, "/?prefix=scheduled")[1]) == [[1769860800000, "function"]]
    # Messages of a queue, through a mapping that asks for no list of failures: what is sent back comes again all the same.
    sqs = workers.client("sqs")
    queue = sqs.create_queue(QueueName=f"{name}-q", Attributes={"VisibilityTimeout": "3"})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    for body in ('{"n": 1}', "text", '{"n": 2, "fail": true}'):
        sqs.send_message(QueueUrl=queue, MessageBody=body)
    lam.create_event_source_mapping(FunctionName=name, EventSourceArn=arn, BatchSize=10)
    taken = lambda: json.loads(get(workers, url, f"/?prefix={name}-q")[1])  # noqa: E731
    wait_until(lambda: len(taken()) == 3, "all messages")
    assert sorted(taken(), key=str) == sorted([[{"n": 1}, 1, True], ["text", 1, True], [{"n": 2, "fail": True}, 2, True]], key=str)


def test_a_handler_for_events_alone_is_enough(lam, name):
    create_worker(lam, name, """
        import { WorkerEntrypoint } from "cloudflare:workers";
        export default class extends WorkerEntrypoint {
            scheduled(controller) { console.log("at", controller.scheduledTime, this.env.OWN); if (this.env.OWN == "bad") throw new Error("no"); }
        }""", Environment={"Variables": {"OWN": "x"}})
    event = {"detail-type": "Scheduled Event", "time": "1970-01-01T00:00:01Z"}
    payload, answer = invoke(lam, name, event, LogType="Tail")
    assert payload is None and "at 1000 x" in log_of(answer)
    lam.update_function_configuration(FunctionName=name, Environment={"Variables": {"OWN": "bad"}})
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    payload, answer = invoke(lam, name, event)
    assert answer["FunctionError"] == "Unhandled" and payload["errorMessage"] == "no"


def test_the_doctor_shows_the_engine(workers):
    import subprocess

    from harness import BINARY

    shown = subprocess.run(
        [BINARY, "doctor", "--json", "--data", str(workers.data)],
        capture_output=True, text=True, timeout=120, env=with_engine(),
    )
    found = [r for r in json.loads(shown.stdout)["runtimes"] if r["runtime"] == "worker"]
    assert found and found[0]["interpreter"].endswith("workerd"), shown.stdout
