"""A process of the host, to be attacked: canaries in its arguments, its memory, its shared memory and behind its sockets.

Says where they are on its first line; then counts the signals that reach it, until its standard input ends.
"""

import ctypes
import json
import os
import signal
import socket
import sys
import threading

LIBC = ctypes.CDLL(None, use_errno=True)
IPC_CREAT, IPC_EXCL, IPC_RMID = 0o1000, 0o2000, 0


def greet(listener, canary):
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.sendall(canary.encode())


def listen(address, canary):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    threading.Thread(target=greet, args=(listener, canary), daemon=True).start()


def main():
    canary, path, abstract = sys.argv[1:]
    memory = ctypes.create_string_buffer(canary.encode())
    signals = []
    signal.signal(signal.SIGUSR1, lambda *_: signals.append(1))
    listen(path, canary)
    os.chmod(path, 0o777)
    listen("\0" + abstract, canary)
    key = int.from_bytes(os.urandom(3), "big") + 1
    shared = LIBC.shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0o666)
    assert shared != -1, os.strerror(ctypes.get_errno())
    try:
        LIBC.shmat.restype = ctypes.c_void_p
        ctypes.memmove(LIBC.shmat(shared, ctypes.c_void_p(0), 0), canary.encode(), len(canary))
        print(json.dumps({"victim_address": ctypes.addressof(memory), "shm_key": key}), flush=True)
        for _ in sys.stdin:
            print(len(signals), memory.value.decode(), flush=True)
    finally:
        LIBC.shmctl(shared, IPC_RMID, ctypes.c_void_p(0))


main()
