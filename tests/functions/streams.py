"""A runtime that streams: the executable of a `provided` function, on bare sockets. The event says what it does.

An event of a function URL says it in its query; what is long stands in the body.
"""

import base64
import http.client
import json
import os
import socket
import time
import urllib.parse

API = ("127.0.0.1", 9001)
PREFIX = "/2018-06-01/runtime/invocation/"
PRELUDE = "application/vnd.awslambda.http-integration-response"


def read_answer(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            raise SystemExit("the Runtime API closed the connection")
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(headers.get(b"content-length", 0)):
        body += connection.recv(65536)
    return headers, body


def next_invocation():
    with socket.create_connection(API) as connection:
        connection.sendall(f"GET {PREFIX}next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        headers, body = read_answer(connection)
    return headers[b"lambda-runtime-aws-request-id"].decode(), json.loads(body)


class Stream:
    def __init__(self, identifier, content_type="text/plain"):
        self.connection = socket.create_connection(API)
        self.connection.sendall(
            f"POST {PREFIX}{identifier}/response HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {content_type}\r\n"
            "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )

    def write(self, data):
        self.connection.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def end(self, trailers=""):
        self.connection.sendall(f"0\r\n{trailers}\r\n".encode())
        read_answer(self.connection)
        self.connection.close()

    def end_with_error(self, kind, message):
        body = base64.b64encode(json.dumps({"errorType": kind, "errorMessage": message}).encode()).decode()
        self.end(f"Lambda-Runtime-Function-Error-Type: {kind}\r\nLambda-Runtime-Function-Error-Body: {body}\r\n")


def wait_for(gate):
    """Waits until the URL of that identifier is closed to the public."""
    node = urllib.parse.urlsplit(os.environ["AWS_ENDPOINT_URL"])
    while True:
        connection = http.client.HTTPConnection(node.hostname, node.port)
        connection.request("GET", f"/_url/{gate}/")
        status = connection.getresponse().status
        connection.close()
        if status == 403:
            return
        time.sleep(0.02)


def post(identifier, call, body, headers=""):
    with socket.create_connection(API) as connection:
        connection.sendall(f"POST {PREFIX}{identifier}/{call} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        read_answer(connection)


def run(identifier, ask, said):
    do = ask["do"]
    print("begins", ask.get("name", do), flush=True)
    if do == "gate":
        stream = Stream(identifier, "text/event-stream")
        stream.write(b"data: first\n\n")
        wait_for(ask["gate"])
        stream.write(b"data: last\n\n")
        stream.end()
    elif do == "says":
        stream = Stream(identifier, ask.get("type", "text/plain"))
        stream.write(said)
        stream.end()
    elif do == "bytes":
        stream, left, piece = Stream(identifier), int(ask["bytes"]), b"x" * 65536
        while left > 0:
            stream.write(piece[:left])
            left -= len(piece)
        stream.end()
    elif do == "repeats":
        stream = Stream(identifier)
        for _ in range(int(ask["times"])):
            stream.write(ask["word"].encode())
        stream.end()
    elif do == "endless":
        stream = Stream(identifier)
        while True:
            stream.write(b"." * 1024)
    elif do == "fails":
        stream = Stream(identifier)
        stream.write(b"some of it")
        stream.end_with_error("Broken.Heart", "ü")
    elif do == "breaks":
        stream = Stream(identifier)
        stream.write(b"some of it")
        stream.connection.close()
        time.sleep(60)
    elif do == "exits":
        stream = Stream(identifier)
        stream.write(b"some of it")
        os._exit(3)
    elif do == "hangs":
        stream = Stream(identifier)
        stream.write(b"some of it")
        time.sleep(60)
    elif do == "error":
        post(identifier, "error", b'{"errorType":"Early","errorMessage":"no"}', "Lambda-Runtime-Function-Error-Type: Early\r\n")
    else:
        post(identifier, "response", json.dumps({"pid": os.getpid(), "ask": ask}).encode())


while True:
    identifier, event = next_invocation()
    if "requestContext" in event:
        body = event.get("body") or ""
        said = base64.b64decode(body) if event["isBase64Encoded"] else body.encode()
        run(identifier, event.get("queryStringParameters") or {"do": ""}, said)
    else:
        run(identifier, event, base64.b64decode(event.get("said", "")))
