"""A network namespace with nothing in it but a way to one port of this machine.

A browser lives there: Chromium gives up what it is loading whenever an interface or an address comes or goes on its machine, which the
functions of other tests' nodes do all the time.
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
import socket
import struct
import threading

CLONE_NEWNET = 0x40000000
# linux/sockios.h and linux/if.h.
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def _make(port, made):
    """In a thread of its own, whose namespace ends with it but for what is held open."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))
    made["listener"] = socket.create_server(("127.0.0.1", port))
    made["namespace"] = os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def _carry(source, sink):
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            sink.sendall(piece)
    for end, way in ((source, socket.SHUT_RD), (sink, socket.SHUT_WR)):
        with contextlib.suppress(OSError):
            end.shutdown(way)


def _relay(near, port):
    with near, socket.create_connection(("127.0.0.1", port)) as far:
        there = threading.Thread(target=_carry, args=(near, far), daemon=True)
        there.start()
        _carry(far, near)
        there.join()


def _serve(listener, port):
    # Ends when the listener is shut down.
    with contextlib.suppress(OSError):
        while True:
            near, _ = listener.accept()
            threading.Thread(target=_relay, args=(near, port), daemon=True).start()


@contextlib.contextmanager
def program(path, port, folder):
    """A program that runs the one at `path` where nothing but `port` of 127.0.0.1 is reached, which is what it is here.

    Who may not make namespaces gets the program as it is: then no node of a test makes interfaces either.
    """
    made = {}
    thread = threading.Thread(target=_make, args=(port, made))
    thread.start()
    thread.join()
    if "namespace" not in made or shutil.which("nsenter") is None:
        yield path
        return
    wrapper = folder / "aside"
    wrapper.write_text(f'#!/bin/sh\nexec nsenter --net=/proc/{os.getpid()}/fd/{made["namespace"]} "{path}" "$@"\n')
    wrapper.chmod(0o755)
    server = threading.Thread(target=_serve, args=(made["listener"], port), daemon=True)
    server.start()
    try:
        yield str(wrapper)
    finally:
        made["listener"].shutdown(socket.SHUT_RDWR)
        server.join()
        made["listener"].close()
        os.close(made["namespace"])
