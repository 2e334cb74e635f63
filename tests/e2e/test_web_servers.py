"""Functions that are web servers: real frameworks, unchanged, behind function URLs."""

import concurrent.futures
import hashlib
import http.client
import json
import os
import time
import urllib.parse

import pytest

import distributions
import npm
from harness import NODE, PYTHON

pytest.importorskip("flask")
pytest.importorskip("uvicorn")
pytest.importorskip("websockets")

FLASK = """
import os, threading
from flask import Flask, Response, jsonify, request

app = Flask(__name__)
ME = os.urandom(8).hex()
barrier = threading.Barrier(6)

@app.get("/")
def index():
    return jsonify(host=request.host, agent=request.headers.get("user-agent"), query=request.query_string.decode())

@app.get("/meet")
def meet():
    barrier.wait(60)
    return jsonify(ME)

@app.post("/form")
def form():
    return jsonify(dict(request.form), ), 201, {"Set-Cookie": "a=1", "X-Mine": "yes"}

@app.get("/down/<int:mib>")
def down(mib):
    return Response((bytes([n % 251]) * 2**20 for n in range(mib)), mimetype="application/octet-stream")

if __name__ == "__main__":
    app.run("127.0.0.1", int(os.environ["PORT"]), threaded=True)
"""

FASTAPI = """
import asyncio, hashlib, json, os
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse

app = FastAPI()
ME = os.urandom(8).hex()
go = asyncio.Event()

@app.get("/")
async def index():
    return {"me": ME}

@app.get("/items/{item}")
async def item(item: int, q: str = ""):
    return {"item": item, "q": q}

@app.post("/up")
async def up(request: Request):
    digest, size = hashlib.sha256(), 0
    async for piece in request.stream():
        digest.update(piece)
        size += len(piece)
    return {"size": size, "sha256": digest.hexdigest()}

@app.get("/events")
async def events():
    async def stream():
        yield "data: first\\n\\n"
        await go.wait()
        yield "data: second\\n\\n"
    return StreamingResponse(stream(), media_type="text/event-stream")

@app.get("/go")
async def let_go():
    go.set()
    return {}

@app.get("/die")
async def die():
    os._exit(7)

@app.websocket("/echo")
async def echo(socket: WebSocket):
    await socket.accept()
    async for message in socket.iter_text():
        await socket.send_text(f"{ME}:{message}")

@app.websocket("/refuse")
async def refuse(socket: WebSocket):
    await socket.close()
"""

EXPRESS = """
const express = require('express');
const app = express();
app.use(express.json());
const me = Math.random();
let waiting = [];
app.get('/meet', (request, response) => {
  waiting.push(response);
  if (waiting.length === 12) waiting.splice(0).forEach((one) => one.json(me));
});
app.post('/echo', (request, response) => response.json({ body: request.body, ip: request.get('x-forwarded-for') }));
app.get('/stream', async (request, response) => {
  for (let n = 0; n < 5; n++) { response.write(`${n}\\n`); await new Promise((resolve) => setImmediate(resolve)); }
  response.end();
});
app.listen(process.env.PORT);
"""


ONE_AFTER_THE_OTHER = """
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.command.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def deploy(node, folder, name, *options):
    """`hearth deploy --web --public`; gives where the function is."""
    answer = node.hearth("deploy", str(folder), "--name", name, "--web", "--public", "--json", "--memory", "512", *options)
    identifier = urllib.parse.urlsplit(json.loads(answer.stdout)["FunctionUrl"]).netloc.split(".")[0]
    return Place(node, f"/_url/{identifier}")


class Place:
    """A function under its URL, by path."""

    def __init__(self, node, prefix):
        self.address = urllib.parse.urlsplit(node.endpoint)
        self.prefix = prefix

    def connect(self):
        return http.client.HTTPConnection(self.address.hostname, self.address.port, timeout=60)

    def begin(self, path, method="GET", body=None, headers=None):
        connection = self.connect()
        connection.request(method, self.prefix + path, body=body, headers=headers or {})
        return connection.getresponse()

    def ask(self, path, method="GET", body=None, headers=None):
        response = self.begin(path, method, body, headers)
        return response.status, response.headers, response.read()

    def json(self, path, **how):
        status, _, body = self.ask(path, **how)
        assert status == 200, body
        return json.loads(body)

    def at_once(self, path, count):
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            return list(pool.map(lambda _: self.json(path), range(count)))

    def websocket(self, path):
        from websockets.sync.client import connect

        return connect(f"ws://{self.address.netloc}{self.prefix}{path}", open_timeout=60)


@pytest.fixture(scope="module")
def flask(node, tmp_path_factory):
    folder = tmp_path_factory.mktemp("flask")
    distributions.copy(folder, "flask")
    (folder / "app.py").write_text(FLASK)
    return deploy(node, folder, "web-flask", "--runtime", PYTHON, "--timeout", "60")


@pytest.fixture(scope="module")
def fastapi(node, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fastapi")
    distributions.copy(folder, "fastapi", "uvicorn", "websockets")
    (folder / "app.py").write_text(FASTAPI)
    script = folder / "run.sh"
    script.write_text('#!/bin/sh\nexec python3 -m uvicorn app:app --port "$PORT"\n')
    script.chmod(0o755)
    return deploy(node, folder, "web-fastapi", "--runtime", PYTHON, "--timeout", "60", "--tag", "hearth:concurrency=50")


@pytest.fixture(scope="module")
def express(node, tmp_path_factory):
    folder = tmp_path_factory.mktemp("express")
    npm.install(folder, "express")
    (folder / "index.js").write_text(EXPRESS)
    (folder / "package.json").write_text(json.dumps({"scripts": {"start": "node index.js"}}))
    return deploy(node, folder, "web-express", "--runtime", NODE, "--timeout", "60", "--tag", "hearth:concurrency=50")


def test_flask_serves_unchanged(flask):
    status, headers, body = flask.ask("/?a=1&b=%20", headers={"User-Agent": "me"})
    seen = json.loads(body)
    assert (status, seen["query"], seen["agent"]) == (200, "a=1&b=%20", "me")
    status, headers, body = flask.ask(
        "/form", "POST", "x=1&y=%C3%A9", {"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert (status, json.loads(body)) == (201, {"x": "1", "y": "é"})
    assert (headers["X-Mine"], headers["Set-Cookie"]) == ("yes", "a=1")
    assert flask.ask("/nowhere")[0] == 404
    assert flask.ask("/", "HEAD")[2] == b""


def test_requests_meet_in_one_environment(flask, express):
    # None is answered before all are there.
    assert len(set(flask.at_once("/meet", 6))) == 1
    assert len(set(express.at_once("/meet", 12))) == 1


def test_a_large_download_is_whole(flask):
    response = flask.begin("/down/48")
    digest, expected, size = hashlib.sha256(), hashlib.sha256(), 0
    while piece := response.read(1 << 16):
        digest.update(piece)
        size += len(piece)
    for n in range(48):
        expected.update(bytes([n % 251]) * 2**20)
    assert (size, digest.digest()) == (48 << 20, expected.digest())


def test_a_large_upload_is_whole(fastapi):
    body = os.urandom(1 << 20) * 32
    seen = fastapi.json("/up", method="POST", body=body)
    assert seen == {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    # In pieces, without a length.
    seen = fastapi.json("/up", method="POST", body=iter([body[:100], body[100:]]))
    assert seen["sha256"] == hashlib.sha256(body).hexdigest()


def test_events_arrive_as_they_are_sent(fastapi):
    response = fastapi.begin("/events", headers={"Accept": "text/event-stream"})
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert response.readline() == b"data: first\n"
    # The server sends the second only when another request has asked for it.
    fastapi.json("/go")
    assert response.read() == b"\ndata: second\n\n"


def test_fastapi_checks_its_parameters(fastapi):
    assert fastapi.json("/items/3?q=x") == {"item": 3, "q": "x"}
    assert fastapi.ask("/items/three")[0] == 422


def test_one_connection_carries_many_requests(express):
    connection = express.connect()
    for n in range(50):
        connection.request("POST", express.prefix + "/echo", json.dumps({"n": n}), {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert json.loads(response.read())["body"] == {"n": n}
    connection.close()
    assert express.ask("/stream")[2] == b"0\n1\n2\n3\n4\n"


def test_nothing_of_one_request_reaches_another(express):
    def one(n):
        text = f"{n}-" * 500
        seen = express.json("/echo", method="POST", body=json.dumps({"text": text}), headers={"Content-Type": "application/json"})
        return seen["body"] == {"text": text}

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(pool.map(one, range(200)))


def test_a_websocket_passes_through(fastapi):
    with fastapi.websocket("/echo") as first, fastapi.websocket("/echo") as second:
        first.send("one")
        second.send("two")
        me, _, text = first.recv(60).partition(":")
        assert text == "one"
        assert second.recv(60) == f"{me}:two", "both in one environment"
        first.send("x" * 500_000)
        assert len(first.recv(60)) > 500_000
    # The place is free again: the same environment serves on.
    assert fastapi.json("/")["me"] == me


def test_a_websocket_passes_through_a_route(node, fastapi):
    node.hearth("route", "add", "web-sockets", "--path", "/echo", "--function", "web-fastapi")
    try:
        with Place(node, "").websocket("/echo") as socket:
            socket.send("there")
            assert socket.recv(60).endswith(":there")
    finally:
        node.hearth("route", "rm", "web-sockets")


def test_a_websocket_that_the_server_refuses_is_refused(fastapi):
    from websockets.exceptions import InvalidStatus

    with pytest.raises(InvalidStatus) as refused:
        fastapi.websocket("/refuse")
    assert refused.value.response.status_code == 403


def test_a_function_that_takes_events_takes_no_websocket(node, lam, name):
    from websockets.exceptions import InvalidStatus

    from harness import create

    create(lam, name, "def handler(event, context):\n    return 'hello'\n")
    url = node.hearth("url", "create", name, "--public").stdout.strip()
    place = Place(node, f"/_url/{urllib.parse.urlsplit(url).netloc.split('.')[0]}")
    with pytest.raises(InvalidStatus) as refused:
        place.websocket("/")
    assert refused.value.response.status_code == 501
    # Another protocol that is offered by the way is no reason to refuse.
    headers = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"}
    assert place.ask("/", headers=headers)[2] == b'"hello"'


def test_a_server_that_dies_is_replaced(fastapi):
    before = fastapi.json("/")["me"]
    assert fastapi.ask("/die")[0] == 502
    assert fastapi.json("/")["me"] != before


def test_a_server_with_time_for_one_connection_gets_no_second(node, tmp_path):
    (tmp_path / "app.py").write_text(ONE_AFTER_THE_OTHER)
    place = deploy(node, tmp_path, "web-single", "--runtime", PYTHON, "--timeout", "20", "--tag", "hearth:concurrency=1")
    callers = [place.connect(), place.connect()]

    def ask(caller, method):
        caller.request(method, place.prefix + "/", body=b"" if method == "POST" else None)
        response = caller.getresponse()
        return response.status, response.read()

    # Callers' connections are served by several threads, each of which would like to have one of its own to the server.
    assert [ask(caller, "GET") for caller in callers * 2] == [(200, b"GET")] * 4
    # What a server may have closed meanwhile is of no use to a request that can't be sent twice: a new one takes its place.
    time.sleep(1.2)
    assert [ask(caller, "POST") for caller in callers] == [(200, b"POST")] * 2
    for caller in callers:
        caller.close()


def test_a_server_that_never_listens(node, tmp_path):
    (tmp_path / "app.py").write_text("print('starting up, for ever')\nimport time\ntime.sleep(1000)\n")
    place = deploy(node, tmp_path, "web-deaf", "--runtime", PYTHON, "--timeout", "1")
    status, _, body = place.ask("/")
    assert (status, json.loads(body)) == (502, {"Message": "Internal Server Error"})
    result = node.hearth("logs", "web-deaf").stdout
    assert "starting up, for ever" in result
    assert "nothing listened on 127.0.0.1:8080" in result


def test_invoke_speaks_to_a_web_server(node, fastapi, lam):
    event = {
        "version": "2.0", "rawPath": "/items/7", "rawQueryString": "q=z", "headers": {},
        "requestContext": {"http": {"method": "GET", "path": "/items/7"}},
    }
    answer = json.loads(lam.invoke(FunctionName="web-fastapi", Payload=json.dumps(event))["Payload"].read())
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"]) == {"item": 7, "q": "z"}


def test_shutdown_does_not_wait_for_websockets(new_node, tmp_path):
    node = new_node()
    folder = tmp_path / "app"
    folder.mkdir()
    distributions.copy(folder, "fastapi", "uvicorn", "websockets")
    (folder / "app.py").write_text(FASTAPI)
    (folder / "run.sh").write_text('exec python3 -m uvicorn app:app --port "$PORT"\n')
    place = deploy(node, folder, "web-open", "--runtime", PYTHON, "--timeout", "900")
    with place.websocket("/echo") as socket:
        socket.send("x")
        assert socket.recv(60).endswith(":x")
        node.stop()
        with pytest.raises(Exception):
            socket.recv(60)
