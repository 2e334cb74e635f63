"""What nobody's request may reach: a server of the host that notices, and ways to write addresses that lead inside."""

import contextlib
import socket
import threading


@contextlib.contextmanager
def listener(address="127.0.0.1", answer=b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret"):
    """A server of the host, and the requests that it heard."""
    heard = []
    with socket.create_server((address, 0)) as server:

        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    heard.append(connection.recv(65536))
                    with contextlib.suppress(OSError):
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], heard
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


# Ways to write an address of the host, of its networks and of a cloud's metadata service.
INTERNAL = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "localhost.", "LOCALHOST", "0.0.0.0", "[::1]", "[::]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "169.254.169.254", "[fd00:ec2::254]", "10.0.0.1",
    "172.16.0.1", "192.168.0.1", "100.64.0.1", "[fe80::1]", "[fc00::1]", "user@127.0.0.1", "127.0.0.1%00.example.com",
]


# Those that a tag can name together with a port.
NAMED = ["127.0.0.1", "localhost", "0.0.0.0", "169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1"]
