"""One persistent HTTP/1.1 connection to the Runtime API.

Answers come in the order of the requests, so a response and the question for the next invocation travel in one write.
The peer is the platform: an answer that is not HTTP ends the process with `ProtocolError` instead of a guess.
"""

import _socket  # the C half of `socket`: the Python half costs several milliseconds to import

_PREFIX = b"/2018-06-01/runtime/"
# An answer's head holds a client context of up to 3,583 bytes in base64 or JSON, an identity, a trace and an ARN.
_MAX_HEAD_BYTES = 64 * 1024
_RECV_BYTES = 64 * 1024


class ProtocolError(Exception):
    """The Runtime API answered with something that this client cannot go on with."""


class Connection:
    """Sends requests and reads their answers; `address` is `host:port`."""

    def __init__(self, address):
        host, colon, port = address.rpartition(":")
        if not colon:
            host, port = address, "80"
        if not port.isdigit():
            raise ProtocolError("AWS_LAMBDA_RUNTIME_API is not host:port: %r" % address)
        self._peer = (host, int(port))
        self._host = b"Host: " + address.encode("ascii", "replace") + b"\r\n"
        self.next_request = b"GET " + _PREFIX + b"invocation/next HTTP/1.1\r\n" + self._host + b"\r\n"
        self._closing = False
        self._open()

    def _open(self):
        try:
            self._socket = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
            self._socket.connect(self._peer)
        except OSError as error:
            raise ProtocolError("cannot connect to the Runtime API at %s:%d: %s" % (self._peer + (error,))) from None
        self._socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        self._buffer = b""

    def post(self, path, body, headers, then=b""):
        """Sends a POST to `path` (below the runtime's prefix), followed by the request `then` in the same write."""
        head = b"".join(
            (
                b"POST ", _PREFIX, path, b" HTTP/1.1\r\n", self._host, headers,
                b"Content-Length: ", str(len(body)).encode(), b"\r\n\r\n",
            )
        )  # fmt: skip
        self.send(head + body + then if len(body) < _RECV_BYTES else (head, body, then))

    def send(self, data):
        """Sends one request, or several parts of requests; parts are kept apart where joining would copy a large body."""
        try:
            if self._closing:
                self._closing = False
                self._socket.close()
                self._open()
            if isinstance(data, tuple):
                for part in data:
                    self._socket.sendall(part)
            else:
                self._socket.sendall(data)
        except OSError as error:
            raise ProtocolError("lost the connection to the Runtime API while sending: %s" % error) from None

    @property
    def closing(self):
        """Whether the last answer announced the end of the connection: what was sent after it is lost."""
        return self._closing

    def receive(self):
        """Waits for one answer: `(status, headers, body)` with lower-case header names."""
        try:
            return self._receive()
        except OSError as error:
            raise ProtocolError("lost the connection to the Runtime API while receiving: %s" % error) from None

    def _receive(self):
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n")
        while end < 0:
            if len(buffer) > _MAX_HEAD_BYTES:
                raise ProtocolError("the head of the Runtime API's answer is longer than %d bytes" % _MAX_HEAD_BYTES)
            buffer += self._more()
            end = buffer.find(b"\r\n\r\n")
        lines = buffer[:end].split(b"\r\n")
        self._buffer = buffer[end + 4 :]

        status_line = lines[0]
        if status_line[:7] != b"HTTP/1." or not status_line[9:12].isdigit():
            raise ProtocolError("the Runtime API's answer does not start with an HTTP/1 status: %r" % status_line[:80])
        status = int(status_line[9:12])
        headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            if not colon:
                raise ProtocolError("malformed header from the Runtime API: %r" % line[:80])
            headers[name.lower()] = value.strip()

        if b"chunked" in headers.get(b"transfer-encoding", b"").lower():
            body = self._chunked()
        elif status == 204:
            body = b""
        else:
            length = headers.get(b"content-length", b"0")
            if not length.isdigit():
                raise ProtocolError("malformed Content-Length from the Runtime API: %r" % length[:80])
            body = self._exactly(int(length))
        self._closing = headers.get(b"connection", b"").lower() == b"close"
        return status, headers, body

    def _more(self):
        data = self._socket.recv(_RECV_BYTES)
        if not data:
            raise ProtocolError("the Runtime API closed the connection")
        return data

    def _exactly(self, length):
        buffer = self._buffer
        if length <= len(buffer):
            self._buffer = buffer[length:]
            return buffer[:length]
        body = bytearray(length)
        filled = len(buffer)
        body[:filled] = buffer
        self._buffer = b""
        view = memoryview(body)
        while filled < length:
            count = self._socket.recv_into(view[filled:])
            if not count:
                raise ProtocolError("the Runtime API closed the connection in the middle of a body")
            filled += count
        return bytes(body)

    def _line(self):
        end = self._buffer.find(b"\r\n")
        while end < 0:
            if len(self._buffer) > _MAX_HEAD_BYTES:
                raise ProtocolError("a chunk's size line from the Runtime API does not end")
            self._buffer += self._more()
            end = self._buffer.find(b"\r\n")
        line = self._buffer[:end]
        self._buffer = self._buffer[end + 2 :]
        return line

    def _chunked(self):
        parts = []
        while True:
            line = self._line()
            try:
                size = int(line.partition(b";")[0], 16)
            except ValueError:
                size = -1
            if size < 0:
                raise ProtocolError("malformed chunk size from the Runtime API: %r" % line[:80])
            if size == 0:
                while self._line():
                    pass  # trailers: none has a meaning here
                return b"".join(parts)
            parts.append(self._exactly(size))
            if self._line():
                raise ProtocolError("a chunk from the Runtime API is longer than its size")
