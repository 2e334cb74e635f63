"""A scripted Runtime API server, and a runtime started against it as a real child process.

    with Runtime(command, files={"app.py": "..."}, handler="app.handler") as runtime:
        answer = runtime.invoke({"name": "x"})

Each wait has a deadline: a runtime that hangs fails its test.
"""

import json
import os
import queue
import shutil
import socket
import subprocess
import tempfile
import threading
import time

# Generous for a loaded machine; nothing asserts on time.
DEADLINE_SECONDS = 30
PREFIX = "/2018-06-01/runtime/"


class Answer:
    """A POST of the runtime: `kind` is `response`, `error` or `init/error`."""

    def __init__(self, path, headers, body, trailers, pipelined):
        self.path = path
        self.kind = "init/error" if path == PREFIX + "init/error" else path.rsplit("/", 1)[1]
        self.request_id = path.rsplit("/", 2)[1]
        self.headers = headers
        self.body = body
        self.trailers = trailers
        # Whether the request after this one had already arrived with it.
        self.pipelined = pipelined

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "Answer(%s, %r, %r)" % (self.path, self.headers, self.body[:2000])


class Server:
    """Answers one runtime; `script` holds the raw answers to `invocation/next`."""

    def __init__(self):
        self.script = queue.Queue()
        self.answers = queue.Queue()
        self.status = b"202 Accepted"
        self.requests_for_next = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        self._connections = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.script.put(None)
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        reader = connection.makefile("rb")
        try:
            while self._one(connection, reader):
                pass
        except (OSError, ValueError):
            pass

    def _one(self, connection, reader):
        request = reader.readline().decode().split(" ")
        if len(request) < 3:
            return False
        headers = _read_headers(reader)
        trailers = {}
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                size = int(reader.readline(), 16)
                if size == 0:
                    trailers = _read_headers(reader)
                    break
                body += reader.read(size)
                assert reader.readline() == b"\r\n"
        else:
            body = reader.read(int(headers.get("content-length", 0)))
        if request[0] == "GET":
            self.requests_for_next += 1
            pieces = self.script.get()
            if pieces is None:
                connection.shutdown(socket.SHUT_RDWR)
                return False
            for piece in pieces:
                connection.sendall(piece)
            return True
        # What is already in the reader's buffer came with the same segments as this request.
        connection.setblocking(False)
        try:
            pipelined = reader.peek(1)[:1] == b"G"
        except OSError:
            pipelined = False
        connection.setblocking(True)
        close = b"Connection: close\r\n" if self.status.startswith(b"close ") else b""
        status = self.status[6:] if close else self.status
        connection.sendall(b"HTTP/1.1 " + status + b"\r\n" + close + b"Content-Length: 16\r\n\r\n" + b'{"status":"OK"}\n')
        self.answers.put(Answer(request[1], headers, body, trailers, pipelined))
        if close:
            connection.shutdown(socket.SHUT_RDWR)
            return False
        return True


def _read_headers(reader):
    headers = {}
    while True:
        line = reader.readline().decode().strip()
        if not line:
            return headers
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()


def invocation(body, request_id, headers=None, chunked=False, pieces=None):
    """The raw answer that hands out an invocation, cut into `pieces` of so many bytes if asked."""
    fields = {
        "Content-Type": "application/json",
        "LAMBDA-runtime-Aws-Request-Id": request_id,
        "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 60_000),
        "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:demo",
        "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
    }
    fields.update(headers or {})
    head = "HTTP/1.1 200 OK\r\n" + "".join("%s: %s\r\n" % f for f in fields.items() if f[1] is not None)
    if chunked:
        half = len(body) // 2
        parts = [b"%X;x=y\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:]) if part]
        raw = head.encode() + b"Transfer-Encoding: Chunked\r\n\r\n" + b"".join(parts) + b"0\r\nX-Trailer: 1\r\n\r\n"
    else:
        raw = head.encode() + b"content-LENGTH:%d\r\n\r\n" % len(body) + body
    if pieces:
        return [raw[at : at + pieces] for at in range(0, len(raw), pieces)]
    return [raw]


class Runtime:
    """A runtime as a child process, with `files` as its function's folder."""

    def __init__(self, command, files, handler, env=None):
        self._folder = tempfile.mkdtemp(prefix="hearth-runtime-")
        self.task_root = os.path.join(self._folder, "task")
        for name, text in files.items():
            path = os.path.join(self.task_root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        self.server = Server()
        self._count = 0
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PYTHONDONTWRITEBYTECODE": "1",  # leave nothing behind beside the sources
            "_HANDLER": handler,
            "LAMBDA_TASK_ROOT": self.task_root,
            "AWS_LAMBDA_RUNTIME_API": self.server.address,
            "AWS_LAMBDA_FUNCTION_NAME": "demo",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/demo",
            "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[$LATEST]0",
        }
        environment.update(env or {})
        self.log = b""
        self._grown = threading.Condition()
        self.process = subprocess.Popen(
            command,
            cwd=self.task_root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._collector = threading.Thread(target=self._collect, daemon=True)
        self._collector.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)
        self.server.close()
        self._collector.join(DEADLINE_SECONDS)
        self.process.stdout.close()
        shutil.rmtree(self._folder)

    def _collect(self):
        while True:
            data = os.read(self.process.stdout.fileno(), 65536)
            with self._grown:
                self.log += data
                self._grown.notify_all()
            if not data:
                return

    def text(self):
        """The log so far."""
        return self.log.decode("utf-8")

    def wait_for_log(self, text):
        """Waits until the log holds `text`; returns the log."""
        with self._grown:
            if not self._grown.wait_for(lambda: text in self.text(), DEADLINE_SECONDS):
                raise AssertionError("no %r in the log: %r" % (text, self.text()))
        return self.text()

    def wait_for_lines(self, start, count):
        """Waits until so many lines of the log begin with `start`; returns these, in order of their text."""

        def lines():
            return sorted(line for line in self.text().splitlines() if line.startswith(start))

        with self._grown:
            if not self._grown.wait_for(lambda: len(lines()) >= count, DEADLINE_SECONDS):
                raise AssertionError("not %d lines %r in the log: %r" % (count, start, self.text()))
        return lines()

    def start(self, event, raw=False, **options):
        """Hands out an invocation, without waiting for its answer; returns its id."""
        self._count += 1
        request_id = "00000000-0000-4000-8000-%012d" % self._count
        body = event if raw else json.dumps(event).encode()
        self.server.script.put(invocation(body, request_id, **options))
        return request_id

    def invoke(self, event, raw=False, **options):
        """Hands out an invocation and waits for its answer."""
        request_id = self.start(event, raw, **options)
        answer = self.answer()
        if answer.kind != "init/error" and answer.request_id != request_id:
            raise AssertionError("answer to another invocation: %r" % answer)
        return answer

    def answer(self):
        """The runtime's next POST."""
        try:
            return self.server.answers.get(timeout=DEADLINE_SECONDS)
        except queue.Empty:
            raise AssertionError("no answer from the runtime; its log: %r" % self.text()) from None

    def exit_code(self):
        """Waits for the end of the process and of its log."""
        code = self.process.wait(DEADLINE_SECONDS)
        self._collector.join(DEADLINE_SECONDS)
        return code
