#!/usr/bin/python3
"""A runtime that misbehaves: the executable of a `provided` function. The event says how.

Whatever it does it does on connections of its own; then it answers the invocation properly with what it was told.
"""

import json
import os
import socket

API = ("127.0.0.1", 9001)
NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"


def connect():
    connection = socket.create_connection(API)
    connection.settimeout(2)
    return connection


def read_head(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            break
        data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def exchange(connection, request):
    """One request and its whole answer: (status, head, body)."""
    connection.sendall(request)
    head, body = read_head(connection)
    lines = head.split(b"\r\n")
    headers = dict(line.lower().split(b": ", 1) for line in lines[1:] if b": " in line)
    length = int(headers.get(b"content-length", b"0"))
    while len(body) < length:
        part = connection.recv(65536)
        if not part:
            break
        body += part
    status = int(lines[0].split()[1]) if lines[0].startswith(b"HTTP/1.1") else 0
    return status, headers, body


def post(identifier, call, body, headers=b""):
    return b"POST /2018-06-01/runtime/invocation/%s/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n%s" % (identifier, call, len(body), headers, body)


def outcome(data):
    """The status of what came for raw bytes: 0 if the connection was closed without a word."""
    with connect() as connection:
        try:
            connection.sendall(data)
        except OSError:
            pass
        try:
            head, _ = read_head(connection)
        except socket.timeout:
            return "silence"
        except OSError:
            return 0
    return int(head.split()[1]) if head.startswith(b"HTTP/1.") else 0


def garbage(identifier, event):
    return [outcome(data) for data in (os.urandom(4096), b"\0" * 4096, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 512, b"GET\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"x" * 100)]


def wrong_ids(identifier, event):
    others = [b"00000000-0000-4000-8000-000000000000", event.get("other", "x").encode(), b"x", b"..%2f..", b"%00", b"a" * 5000, identifier.upper() + b"x"]
    with connect() as connection:
        return [exchange(connection, post(other, call, b"1"))[0] for other in others for call in (b"response", b"error")]


def unknown_paths(identifier, event):
    paths = ["/", "/2018-06-01/runtime/", "/2018-06-01/runtime/invocation/", "/2018-06-01/runtime/invocation/next/x", "/2015-03-31/functions", "//2018-06-01/runtime/invocation/next", "/2018-06-01/runtime/../../etc/passwd", "/metrics", "http://other/2018-06-01/x", "/2018-06-01/runtime/exit"]
    return [outcome(b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode()) for path in paths]


def next_while_running(identifier, event):
    return [outcome(NEXT) for _ in range(3)]


def large_heads(identifier, event):
    return [
        outcome(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n"),
        outcome(b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
        outcome(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n" + b"".join(b"H%d: x\r\n" % n for n in range(20_000)) + b"\r\n"),
    ]


def lengths(identifier, event):
    path = b"POST /2018-06-01/runtime/invocation/" + identifier + b"/error HTTP/1.1\r\nHost: x\r\n"
    wrong = [b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999999\r\n", b"Content-Length: 1\r\nContent-Length: 2\r\n", b"Content-Length: x\r\n", b"Transfer-Encoding: x\r\n"]
    found = [outcome(path + header + b"\r\n1") for header in wrong]
    found += [outcome(path + b"Transfer-Encoding: chunked\r\n\r\n" + chunk) for chunk in (b"zz\r\n1\r\n", b"ffffffffffffffff\r\n1\r\n", b"-1\r\n\r\n", b"1;" + b"x" * 100_000)]
    return found


def many_connections(identifier, event):
    """All that it can have, most of which nobody serves."""
    held = []
    try:
        while len(held) < 2000:
            connection = socket.socket()
            connection.setblocking(False)
            connection.connect_ex(API)
            held.append(connection)
    except OSError:
        pass
    HELD.extend(held)
    return len(held)


HELD = []


def half_requests(identifier, event):
    """Requests that stop in the middle, and stay."""
    for data in (b"GET", b"GET / HTTP/1.1\r\nHost:", post(identifier, b"error", b"1")[:-1].replace(b"Content-Length: 1", b"Content-Length: 100"))[:2]:
        connection = connect()
        connection.sendall(data)
        HELD.append(connection)
    return len(HELD)


def pipelined(identifier, event):
    """Ten thousand questions and not one answer read."""
    connection = connect()
    connection.setblocking(False)
    try:
        for _ in range(10_000):
            connection.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
    except OSError:
        pass
    HELD.append(connection)
    return "sent"


def answer_twice(identifier, event):
    with connect() as connection:
        return [exchange(connection, post(identifier, call, b'"early"'))[0] for call in (b"response", b"response", b"error")]


def smuggled(identifier, event):
    """Two lengths: what is a body to one reader is a second request to another."""
    body = b"0\r\n\r\n" + post(identifier, b"response", b'"smuggled"')
    return [
        outcome(b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % len(body) + body),
        outcome(b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding : chunked\r\n\r\n" + body),
    ]


ATTACKS = [garbage, wrong_ids, unknown_paths, next_while_running, large_heads, lengths, many_connections, half_requests, pipelined, answer_twice, smuggled]


def answer(connection, identifier, event, body):
    """The answer as the event wants it; True when it was sent properly and its status must be read."""
    how = event.get("answer", "")
    path = b"POST /2018-06-01/runtime/invocation/" + identifier + b"/response HTTP/1.1\r\nHost: x\r\n"
    if how == "never":
        connection.recv(1)
    if how == "hang up":
        connection.close()
        os._exit(0)
    if how == "endless":
        connection.sendall(path + b"Transfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
    if how == "short":
        connection.sendall(path + b"Content-Length: 1000\r\n\r\nx")
        connection.recv(1)
    if how == "cut":
        connection.sendall(path + b"Content-Length: 1000\r\n\r\nx")
        connection.close()
        os._exit(0)
    if how == "chunks":
        text = b'"' + b"x" * 100_000 + b'"'
        chunks = b"".join(b"1\r\n" + text[n : n + 1] + b"\r\n" for n in range(len(text)))
        return exchange(connection, path + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    if how == "error type":
        headers = b"Lambda-Runtime-Function-Error-Type: " + event["type"].encode("latin-1") + b"\r\n"
        return exchange(connection, post(identifier, b"error", event["body"].encode(), headers))
    if how == "not json":
        return exchange(connection, post(identifier, b"response", b"\xff\xfe{{{", b"Content-Type: a/b; \x80=\x81\r\nSet-Cookie: a=b\r\nX-Amz-Function-Error: spoofed\r\n"))
    return exchange(connection, post(identifier, b"response", body))


def main():
    before = outcome(post(b"00000000-0000-4000-8000-000000000000", b"response", b'"too early"')) if os.environ.get("EARLY") else None
    if os.environ.get("INIT_ERROR"):
        outcome(b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nLambda-Runtime-Function-Error-Type: a\x1b[31mb\r\n\r\n\xff{{{\x00")
        os._exit(1)
    connection = connect()
    connection.settimeout(None)
    while True:
        _, headers, event = exchange(connection, NEXT)
        identifier, event = headers[b"lambda-runtime-aws-request-id"], json.loads(event)
        found = {"before": before}
        for attack in ATTACKS:
            if attack.__name__ in event.get("attacks", []):
                found[attack.__name__] = attack(identifier, event)
        if "answer_twice" in found:
            continue
        answer(connection, identifier, event, json.dumps(found).encode())


main()
