"""The world beyond the host: a network namespace that answers on whatever addresses it is given, with a canary.

`far.py CANARY PORT`: moves into a network namespace of its own, says so, and serves until its standard input ends.
"""

import ctypes
import socket
import sys
import threading

CLONE_NEWNET = 0x40000000


def greet(listener, canary):
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(canary)


def tell(listener, canary):
    """HTTP: the canary, or with `/to?URL` a redirect."""
    while True:
        connection, _ = listener.accept()
        with connection:
            path = connection.recv(8192).split(b" ")[1]
            if path.startswith(b"/to?"):
                connection.sendall(b"HTTP/1.1 302 Found\r\nlocation: " + path[4:] + b"\r\ncontent-length: 0\r\n\r\n")
            else:
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(canary) + canary)


def answer(endpoint, canary):
    while True:
        # The answer must come from the address that was asked: IPV6_PKTINFO, there and back.
        _, ancillary, _, sender = endpoint.recvmsg(512, 128)
        endpoint.sendmsg([canary], [item for item in ancillary if item[:2] == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)], 0, sender)


def serve(canary, port):
    """TCP and UDP, IPv4 and IPv6, and HTTP at the port after the next, in threads of the namespace of the caller."""
    listener = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
    endpoint = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    endpoint.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    endpoint.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    endpoint.bind(("", port))
    web = socket.create_server(("", port + 2), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
    for work, opened in ((greet, listener), (answer, endpoint), (tell, web)):
        threading.Thread(target=work, args=(opened, canary), daemon=True).start()


if __name__ == "__main__":
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        sys.exit("unshare: error %d" % ctypes.get_errno())
    serve(sys.argv[1].encode(), int(sys.argv[2]))
    print("ready", flush=True)
    sys.stdin.read()
