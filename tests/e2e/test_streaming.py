"""Functions that make their response piece by piece, with boto3, http.client and curl."""

import base64
import contextlib
import http.client
import json
import socket
import subprocess
import threading
import urllib.parse
from pathlib import Path

import pytest

from harness import BINARY, NODE, ROOT, create, invoke, wait_until, zipped
from wasm import create_component, url_event

STREAMS = (ROOT / "tests/functions/streams.py").read_text()
BOOTSTRAP = "#!/bin/sh\nexec python3 -S /var/task/streams.py\n"
NUL = b"\0" * 8
PRELUDE = "application/vnd.awslambda.http-integration-response"

# What a handler with `awslambda.streamifyResponse` does is in its event.
NODE_STREAMS = """
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

const opened = async (gate) => {
  while ((await fetch(`${process.env.AWS_ENDPOINT_URL}/_url/${gate}/`)).status !== 403) await new Promise((r) => setTimeout(r, 20));
};

export const handler = awslambda.streamifyResponse(async (event, stream, context) => {
  const ask = event.queryStringParameters ?? event;
  switch (ask.do) {
    case 'gate':
      stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201, headers: { 'X-A': '1', 'Content-Type': 'text/event-stream' }, cookies: ['a=1', 'b=2'] });
      stream.write('data: first\\n\\n');
      await opened(ask.gate);
      stream.end('data: last\\n\\n');
      break;
    case 'pipeline':
      stream.setContentType('text/html');
      await pipeline(Readable.from(Array.from({ length: 1000 }, (_, n) => `<p>${n}</p>`)), stream);
      break;
    case 'bytes': {
      // What the stream has taken and not written is bounded by back-pressure alone.
      let left = Number(ask.bytes), most = 0;
      const piece = Buffer.alloc(65536, 'x');
      while (left > 0) {
        const more = stream.write(piece.subarray(0, left));
        left -= piece.length;
        most = Math.max(most, stream.writableLength);
        if (!more) await new Promise((r) => stream.once('drain', r));
      }
      console.log(`held ${most} of ${stream.writableHighWaterMark}`);
      stream.end();
      break;
    }
    case 'throws-early':
      throw new TypeError('early');
    case 'throws-late':
      await new Promise((r) => stream.write('some of it', r));
      throw new RangeError('late '.repeat(10000));
    default:
      stream.end(JSON.stringify({ id: context.awsRequestId, event }));
  }
}, { highWaterMark: 4096 });
"""


def kinds(node):
    """The two ways of streaming: an own bootstrap, and the Node.js runtime."""
    lam = node.client("lambda")
    create(lam, "own-streams", zipped({"bootstrap*": BOOTSTRAP, "streams.py": STREAMS}), Runtime="provided.al2023", Timeout=60)
    create(lam, "node-streams", zipped({"index.mjs": NODE_STREAMS}), Runtime=NODE, Handler="index.handler", Timeout=60, MemorySize=256)
    return {
        name: node.hearth("url", "create", name, "--public", "--stream").stdout.strip()
        for name in ("own-streams", "node-streams")
    }


@pytest.fixture(scope="module")
def urls(node):
    return kinds(node)


@pytest.fixture
def gate(node, name):
    """A URL that functions wait for: its identifier, and what closes it."""
    lam = node.client("lambda")
    gate = f"gate-{name}"[-64:]
    create(lam, gate, zipped({"bootstrap*": BOOTSTRAP, "streams.py": STREAMS}), Runtime="provided.al2023")
    url = node.hearth("url", "create", gate, "--public").stdout.strip()
    identifier = urllib.parse.urlsplit(url).hostname.split(".")[0]
    yield identifier, lambda: lam.remove_permission(FunctionName=gate, StatementId="hearth-url-public")
    lam.delete_function(FunctionName=gate)


@contextlib.contextmanager
def asked(node, url, query, method="GET", body=None, headers=None):
    """A request at a URL; the response's body is for the caller to read."""
    address = urllib.parse.urlsplit(node.endpoint)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    try:
        host = urllib.parse.urlsplit(url).netloc
        connection.request(method, "/?" + urllib.parse.urlencode(query), body=body, headers={"Host": host, **(headers or {})})
        yield connection.getresponse()
    finally:
        connection.close()


def events(lam, name, ask, **options):
    """Invokes with a stream: the answer, and an iterator over what comes."""
    answer = lam.invoke_with_response_stream(FunctionName=name, Payload=json.dumps(ask).encode(), **options)
    return answer, iter(answer["EventStream"])


def gathered(lam, name, ask, **options):
    """The whole stream: its bytes, and its end."""
    answer, stream = events(lam, name, ask, **options)
    said = b""
    for event in stream:
        if "InvokeComplete" in event:
            assert not list(stream), "nothing comes after the end"
            return said, event["InvokeComplete"]
        said += event["PayloadChunk"]["Payload"]
    raise AssertionError(f"the stream has no end after {said[:200]}")


def function_log(node, name):
    return node.hearth("logs", name, check=False).stdout


def report_of(node, name, request_id):
    """The REPORT line of an invocation, once it is written."""
    found = lambda: [line for line in function_log(node, name).splitlines() if f"REPORT RequestId: {request_id}" in line]  # noqa: E731
    return wait_until(found, f"the REPORT of {request_id}")[0]


@pytest.mark.parametrize("kind", ["own-streams", "node-streams"])
def test_boto3_gets_the_first_piece_before_the_function_ends(node, lam, urls, gate, kind):
    identifier, close = gate
    answer, stream = events(lam, kind, {"do": "gate", "gate": identifier}, LogType="Tail")
    assert answer["StatusCode"] == 200 and answer["ExecutedVersion"] == "$LATEST"
    assert answer["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
    said = b""
    while b"first" not in said:
        said += next(stream)["PayloadChunk"]["Payload"]
    assert b"last" not in said
    # The function goes on only now.
    close()
    rest = list(stream)
    said += b"".join(event["PayloadChunk"]["Payload"] for event in rest[:-1])
    assert said.endswith(b"data: first\n\ndata: last\n\n")
    # Whoever invokes gets what the runtime sent, a prelude too.
    assert said.startswith(b"data") == (kind == "own-streams")
    end = rest[-1]["InvokeComplete"]
    tail = base64.b64decode(end["LogResult"]).decode()
    assert "ErrorCode" not in end and "REPORT RequestId" in tail and "START RequestId" in tail


@pytest.mark.parametrize("kind", ["own-streams", "node-streams"])
def test_a_url_sends_the_first_event_before_the_function_ends(node, urls, gate, kind):
    identifier, close = gate
    with asked(node, urls[kind], {"do": "gate", "gate": identifier}) as response:
        assert response.status == (200 if kind == "own-streams" else 201)
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["transfer-encoding"] == "chunked"
        if kind == "node-streams":
            assert response.headers["x-a"] == "1"
            assert response.headers.get_all("set-cookie") == ["a=1", "b=2"]
        assert response.read1() == b"data: first\n\n"
        close()
        assert response.read() == b"data: last\n\n"


def test_curl_reads_events_as_they_come(node, urls, gate):
    identifier, close = gate
    curl = subprocess.Popen(
        ["curl", "-sSN", "--max-time", "60", f"{urls['own-streams']}?do=gate&gate={identifier}"],
        stdout=subprocess.PIPE, bufsize=0,
    )
    assert curl.stdout.readline() == b"data: first\n"
    assert curl.poll() is None
    close()
    assert curl.communicate(timeout=60)[0] == b"\ndata: last\n\n" and curl.returncode == 0


def test_the_command_line_prints_as_it_comes(node, urls, gate):
    identifier, close = gate
    ask = json.dumps({"do": "gate", "gate": identifier})
    hearth = subprocess.Popen(
        [BINARY, "invoke", "own-streams", "--stream", "--tail", "--data", ask],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, env={"HEARTH_DATA": str(node.data), "PATH": ""},
    )
    assert hearth.stdout.readline() == b"data: first\n"
    close()
    out, err = hearth.communicate(timeout=60)
    assert out == b"\ndata: last\n\n" and b"REPORT RequestId" in err and hearth.returncode == 0
    failed = node.hearth("invoke", "own-streams", "--stream", "--data", '{"do": "fails"}', check=False)
    assert (failed.returncode, failed.stdout) == (3, "some of it") and "Broken.Heart" in failed.stderr
    lines = node.hearth("invoke", "own-streams", "--stream", "--json", "--data", '{"do": "repeats", "word": "a", "times": 3}').stdout.splitlines()
    *pieces, end = [json.loads(line) for line in lines]
    assert "".join(piece["PayloadChunk"] for piece in pieces) == "aaa" and end["InvokeComplete"]["ErrorCode"] is None
    assert node.hearth("invoke", "no-such-function", "--stream", check=False).returncode == 4


def test_two_streams_at_once_do_not_mix(node, urls):
    times, results = 20_000, {}

    def read(word):
        with asked(node, urls["own-streams"], {"do": "repeats", "word": word, "times": times}) as response:
            results[word] = response.read()

    threads = [threading.Thread(target=read, args=(word,)) for word in ("left.", "right.")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {word: said == word.encode() * times for word, said in results.items()} == {"left.": True, "right.": True}


def test_what_fails_after_the_first_byte(node, lam, urls):
    said, end = gathered(lam, "own-streams", {"do": "fails"}, LogType="Tail")
    assert said == b"some of it"
    assert end["ErrorCode"] == "Unhandled"
    assert json.loads(end["ErrorDetails"]) == {"errorType": "Broken.Heart", "errorMessage": "ü"}
    assert "END RequestId" in base64.b64decode(end["LogResult"]).decode()

    said, end = gathered(lam, "own-streams", {"do": "breaks"})
    assert (said, end["ErrorCode"]) == (b"some of it", "Runtime.TruncatedResponse")
    said, end = gathered(lam, "own-streams", {"do": "exits"})
    assert (said, end["ErrorCode"]) == (b"some of it", "Runtime.ExitError")
    assert "exit status 3" in end["ErrorDetails"]

    said, end = gathered(lam, "node-streams", {"do": "throws-late"})
    assert said == b"some of it" and end["ErrorCode"] == "Unhandled"
    details = json.loads(end["ErrorDetails"])
    assert details["errorType"] == "RangeError" and details["errorMessage"].startswith("late late")

    for do in ("fails", "breaks", "exits"):
        with asked(node, urls["own-streams"], {"do": do}) as response, pytest.raises(http.client.IncompleteRead) as broken:
            response.read()
        assert (response.status, broken.value.partial) == (200, b"some of it")
    # The environment, or another one, serves on.
    assert invoke(lam, "own-streams", {"do": ""})[0]["ask"] == {"do": ""}


def test_what_fails_before_the_first_byte(node, lam, urls):
    said, end = gathered(lam, "own-streams", {"do": "error"})
    assert (said, end["ErrorCode"]) == (b"", "Unhandled")
    assert json.loads(end["ErrorDetails"])["errorType"] == "Early"
    said, end = gathered(lam, "node-streams", {"do": "throws-early"})
    assert said == b"" and json.loads(end["ErrorDetails"])["errorType"] == "TypeError"
    payload, answer = invoke(lam, "node-streams", {"do": "throws-early"})
    assert answer["FunctionError"] == "Unhandled" and payload["errorMessage"] == "early"
    for kind, do in (("own-streams", "error"), ("node-streams", "throws-early")):
        with asked(node, urls[kind], {"do": do}) as response:
            assert response.status == 502
            assert json.loads(response.read()) == {"Message": "Internal Server Error"}


def test_the_deadline_holds(node, lam, name):
    create(lam, name, zipped({"bootstrap*": BOOTSTRAP, "streams.py": STREAMS}), Runtime="provided.al2023", Timeout=2)
    said, end = gathered(lam, name, {"do": "hangs"})
    assert (said, end["ErrorCode"]) == (b"some of it", "Sandbox.Timedout")
    assert "Task timed out after 2.00 seconds" in end["ErrorDetails"]
    # A reader that never reads does not hold the function for longer either, nor its concurrency.
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    answer, _unread = events(lam, name, {"do": "bytes", "bytes": 100 << 20})
    report_of(node, name, answer["ResponseMetadata"]["RequestId"])
    assert invoke(lam, name, {"do": ""})[0]["ask"] == {"do": ""}


def test_a_client_that_goes_away_cancels(node, lam, name):
    create(lam, name, zipped({"bootstrap*": BOOTSTRAP, "streams.py": STREAMS}), Runtime="provided.al2023", Timeout=300)
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    url = node.hearth("url", "create", name, "--public", "--stream").stdout.strip()
    with asked(node, url, {"do": "endless"}) as response:
        assert response.read(1) == b"."
        request_id = response.headers["x-amzn-requestid"]
        refused = None
        try:
            invoke(lam, name, {"do": ""})
        except lam.exceptions.TooManyRequestsException as error:
            refused = error
        assert refused is not None, "a stream counts as long as it lasts"
    assert "Runtime.Abandoned" in report_of(node, name, request_id)
    # One that says nothing is noticed too; and by boto3.
    for do in ("hangs", "endless"):
        answer, stream = events(lam, name, {"do": do})
        next(stream)
        answer["EventStream"].close()
        assert "Runtime.Abandoned" in report_of(node, name, answer["ResponseMetadata"]["RequestId"])
    # The function can be invoked again long before its timeout.
    assert invoke(lam, name, {"do": ""})[0]["ask"] == {"do": ""}


def test_a_short_rest_keeps_its_environment(node, lam, name):
    create(lam, name, zipped({"bootstrap*": BOOTSTRAP, "streams.py": STREAMS}), Runtime="provided.al2023", Timeout=60)
    url = node.hearth("url", "create", name, "--public", "--stream").stdout.strip()
    before = invoke(lam, name, {"do": "", "name": "before"})[0]["pid"]
    with asked(node, url, {"do": "bytes", "bytes": 2 << 20}) as response:
        response.read(1)
        request_id = response.headers["x-amzn-requestid"]
    assert "Status" not in report_of(node, name, request_id)
    payload, answer = invoke(lam, name, {"do": ""}, LogType="Tail")
    assert payload["pid"] == before and "Init Duration" not in base64.b64decode(answer["LogResult"]).decode()


def resident(pid):
    return int(next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")).split()[1]) << 10


def test_200_mib_through_a_slow_reader_take_no_memory(new_node):
    node = new_node()
    urls = kinds(node)
    size = 200 << 20
    for kind in ("own-streams", "node-streams"):
        address = urllib.parse.urlsplit(node.endpoint)
        with socket.socket() as reader:
            # A small window, so that what is on its way is the node's and not the kernel's.
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
            reader.settimeout(60)
            reader.connect((address.hostname, address.port))
            host = urllib.parse.urlsplit(urls[kind]).netloc
            reader.sendall(f"GET /?do=bytes&bytes={size} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            received, most, first = 0, 0, reader.recv(65536)
            # The function writes as fast as it can; this reads far slower than that until it has measured enough.
            base = resident(node.process.pid)
            received += len(first)
            while data := reader.recv(1 << 20, socket.MSG_WAITALL):
                received += len(data)
                most = max(most, resident(node.process.pid))
            head = first.split(b"\r\n\r\n")[0]
        assert received - len(head) - 4 == size, first[:200]
        assert most - base < 32 << 20, f"{kind}: {base >> 20} MiB grew to {most >> 20} MiB"
    assert "held 65536 of 4096" in function_log(node, "node-streams")


def test_a_reader_that_stops_stops_the_function(new_node):
    """Nothing is read: the function blocks in its write, and the node holds what fits its channel."""
    node = new_node()
    url = kinds(node)["own-streams"]
    base = resident(node.process.pid)
    address = urllib.parse.urlsplit(node.endpoint)
    readers = []
    for _ in range(4):
        reader = socket.socket()
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        reader.connect((address.hostname, address.port))
        reader.sendall(f"GET /?do=bytes&bytes={200 << 20} HTTP/1.1\r\nHost: {urllib.parse.urlsplit(url).netloc}\r\n\r\n".encode())
        assert reader.recv(16).startswith(b"HTTP/1.1 200")
        readers.append(reader)
    wait_until(lambda: function_log(node, "own-streams").count("begins") == 4, "all four")
    # Four functions that could write hundreds of megabytes a second.
    samples = [resident(node.process.pid) for _ in range(200) if not threading.Event().wait(0.01)]
    assert max(samples) - base < 32 << 20
    assert "END" not in function_log(node, "own-streams")
    for reader in readers:
        reader.close()


def test_the_most_that_a_stream_may_have(node, lam, urls):
    most = 200 << 20

    def count(bytes_):
        _, stream = events(lam, "own-streams", {"do": "bytes", "bytes": bytes_})
        received = 0
        for event in stream:
            if "InvokeComplete" in event:
                return received, event["InvokeComplete"]
            received += len(event["PayloadChunk"]["Payload"])

    received, end = count(most + 1)
    assert received == most
    assert end["ErrorCode"] == "Function.ResponseSizeTooLarge" and str(most) in end["ErrorDetails"]
    # Collected, it is bounded as every result is.
    payload, answer = invoke(lam, "own-streams", {"do": "bytes", "bytes": 7 << 20})
    assert answer["FunctionError"] == "Unhandled" and payload["errorType"] == "Function.ResponseSizeTooLarge"


def test_preludes_of_own_runtimes(node, urls):
    def answer(said, content_type=PRELUDE, method="POST"):
        query = {"do": "says", "type": content_type}
        with asked(node, urls["own-streams"], query, method, said, {"Content-Type": "application/octet-stream"}) as response:
            return response.status, response.headers, response.read()

    status, headers, body = answer(b'{"statusCode": 404, "headers": {"X-A": "1"}, "cookies": ["a=1"]}' + NUL + b"\0gone")
    assert (status, headers["x-a"], headers["set-cookie"], body) == (404, "1", "a=1", b"\0gone")
    status, headers, body = answer(b'{"a": 1}', "application/json")
    assert (status, headers["content-type"], body) == (200, "application/json", b'{"a": 1}')
    hostile = {"Content-Length": "3", "Transfer-Encoding": "chunked", "X-Hearth-Account": "1", "X-Amzn-RequestId": "forged", "Connection": "close"}
    status, headers, body = answer(json.dumps({"headers": hostile}).encode() + NUL + b"hello")
    assert (status, body) == (200, b"hello")
    assert headers["x-hearth-account"] is None and headers["x-amzn-requestid"] != "forged" and headers["content-length"] is None
    for bad in (
        b"", b"{}", b"null" + NUL, b'{"statusCode": 99}' + NUL, b'{"headers": {"a": "b\\r\\nc: d"}}' + NUL + b"x",
        b'{"headers": {"a\\r\\nb": "c"}}' + NUL, b'{"headers": {"a": "' + b"x" * 150_000 + b'"}}' + NUL,
    ):
        status, headers, body = answer(bad)
        assert (status, json.loads(body)) == (502, {"Message": "Internal Server Error"}), bad[:80]
        assert headers["c"] is None


def test_a_buffered_url_gives_the_whole(node, lam, name):
    create(lam, name, zipped({"index.mjs": NODE_STREAMS}), Runtime=NODE, Handler="index.handler", Timeout=60)
    url = node.hearth("url", "create", name, "--public").stdout.strip()
    with asked(node, url, {"do": "pipeline"}) as response:
        body = response.read()
        assert response.headers["content-type"] == "text/html" and int(response.headers["content-length"]) == len(body)
    assert body == "".join(f"<p>{n}</p>" for n in range(1000)).encode()
    with asked(node, url, {"do": "throws-late"}) as response:
        assert response.status == 502
    # A function that does not stream answers at a URL that does as it would at any other.
    create(lam, f"plain-{name}"[:64], "def handler(e, c):\n    return {'statusCode': 202, 'body': e['rawPath']}\n")
    url = node.hearth("url", "create", f"plain-{name}"[:64], "--public", "--stream").stdout.strip()
    with asked(node, url, {}) as response:
        assert (response.status, response.read()) == (202, b"/")


def test_pipelines_and_metering(node, lam, urls):
    said, end = gathered(lam, "node-streams", {"do": "pipeline"}, LogType="Tail")
    assert said == "".join(f"<p>{n}</p>" for n in range(1000)).encode()
    tail = base64.b64decode(end["LogResult"]).decode()
    assert tail.count("REPORT RequestId") == 1 and "Billed Duration" in tail
    answer = lam.invoke_with_response_stream(FunctionName="node-streams", InvocationType="DryRun")
    assert answer["StatusCode"] == 204 and answer["ExecutedVersion"] == "$LATEST"
    # A component and a plain function answer it too.
    create_component(lam, "wasm-answers-streams", "hello")
    said, end = gathered(lam, "wasm-answers-streams", url_event("/"))
    assert json.loads(said)["statusCode"] == 200 and end == {}
    create(lam, "plain-answers-streams")
    said, end = gathered(lam, "plain-answers-streams", [1, "ü"])
    assert json.loads(said) == [1, "ü"] and end == {}
