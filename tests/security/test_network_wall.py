"""What a function reaches: the outside world, and neither the host nor what is near it.

The node runs in a network namespace of the test's own, which plays the host; another one, `far.py`, plays the rest of the
world, metadata services and private networks included. The host reaches all of it (the control).
"""

import contextlib
import ctypes
import os
import secrets
import shutil
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import far
from conftest import PROBES
from harness import Node, create, invoke, zipped
from probes import reach
from workers import create_worker, with_engine

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="needs root and iproute2 to build networks of its own")

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
PORT, LOOPBACK_PORT, WEB_PORT, DNS_PORT = 7777, 7778, 7779, 5353
HOST, HOST_6 = "11.99.88.1", "2c0f:fff0::1"
PUBLIC, PUBLIC_6 = "11.99.88.2", "2c0f:fff0::2"
METADATA = ["169.254.169.254", "fd00:ec2::254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd20:ce::254", "fe80::a9fe:a9fe%hw0"]
PRIVATE = ["10.20.30.2", "172.20.5.2", "192.168.77.2", "100.64.9.2", "198.18.0.2", "169.254.7.7", "fd12:3456::2", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "fec0::2"]
NAMES = {
    "metadata.test": ["169.254.169.254"], "private.test": ["10.20.30.2"], "host.test": [HOST], "loopback.test": ["127.0.0.1"],
    "metadata6.test": ["fd00:ec2::254"], "mapped.test": ["::ffff:169.254.169.254"], "public.test": [PUBLIC], "both.test": ["10.20.30.2", "169.254.169.254"],
}
SPELLINGS = ["2130706433", "0x7f000001", "017700000001", "127.1", "0.0.0.0", "::", "::ffff:127.0.0.1", "::127.0.0.1", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "::ffff:a9fe:a9fe", "::ffff:%s" % HOST]


def ip(*words):
    subprocess.run(["ip", *words], check=True, stdin=subprocess.DEVNULL)


def answer_names(endpoint):
    """A DNS server of one datagram a question."""
    while True:
        question, sender = endpoint.recvfrom(512)
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode())
            at += 1 + question[at]
        kind = struct.unpack_from(">H", question, at + 1)[0]
        family, wanted = (socket.AF_INET6, ":") if kind == 28 else (socket.AF_INET, ".")
        found = [address for address in NAMES.get(".".join(labels).lower(), []) if (":" in address) == (wanted == ":") and kind in (1, 28)]
        answers = b"".join(
            struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(socket.inet_pton(family, address))) + socket.inet_pton(family, address) for address in found
        )
        endpoint.sendto(question[:2] + struct.pack(">HHHHH", 0x8180, 1, len(found), 0, 0) + question[12 : at + 5] + answers, sender)


@contextlib.contextmanager
def own_network():
    """Moves this thread, and all that it starts, into a new network namespace."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    if LIBC.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    try:
        yield
    finally:
        assert LIBC.setns(home, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        os.close(home)


@pytest.fixture(scope="module")
def canary():
    return "canary-" + secrets.token_hex(8)


@pytest.fixture(scope="module")
def world(canary):
    """This thread in the network of a host that has the world around it."""
    with own_network():
        command = [sys.executable, Path(far.__file__), canary, str(PORT)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as beyond:
            assert beyond.stdout.readline() == "ready\n"
            inside = ["nsenter", "--net=/proc/%d/ns/net" % beyond.pid, "ip"]
            ip("link", "set", "lo", "up")
            ip("link", "add", "hw0", "type", "veth", "peer", "name", "far0", "netns", str(beyond.pid))
            for address in (HOST + "/24", HOST_6 + "/64"):
                ip("address", "add", address, "dev", "hw0", *(["nodad"] if ":" in address else []))
            ip("link", "set", "hw0", "up")
            for address in [PUBLIC + "/24", PUBLIC_6 + "/64", *(place.split("%")[0] for place in METADATA + PRIVATE)]:
                subprocess.run([*inside, "address", "add", address, "dev", "far0", *(["nodad"] if ":" in address else [])], check=True)
            for link in ("lo", "far0"):
                subprocess.run([*inside, "link", "set", link, "up"], check=True)
            ip("route", "add", "default", "via", PUBLIC)
            ip("-6", "route", "add", "default", "via", PUBLIC_6)

            # The host's own services: on all addresses, on the loopback alone, and its resolver.
            far.serve(canary.encode(), PORT)
            listeners = [socket.create_server(("127.0.0.1", LOOPBACK_PORT)), socket.create_server(("::1", LOOPBACK_PORT), family=socket.AF_INET6)]
            for listener in listeners:
                threading.Thread(target=far.greet, args=(listener, canary.encode()), daemon=True).start()
            resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            resolver.bind(("127.0.0.1", DNS_PORT))
            threading.Thread(target=answer_names, args=(resolver,), daemon=True).start()
            try:
                yield
            finally:
                beyond.stdin.close()


def network_node(folder, text, **options):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hearth.toml").write_text("[network]\n" + text)
    return Node(folder, **options)


@pytest.fixture(scope="module")
def node(world, tmp_path_factory):
    with network_node(tmp_path_factory.mktemp("walled"), f"resolvers = ['127.0.0.1:{DNS_PORT}']\n") as node:
        yield node


@pytest.fixture(scope="module")
def lam(node):
    lam = node.client("lambda")
    create(lam, "net", zipped({"probes.py": PROBES}), Handler="probes.handler", Timeout=60, MemorySize=1769)
    return lam


def tried(lam, function, kind, targets, facts):
    answer, response = invoke(lam, function, {"kind": kind, "targets": targets, "facts": facts})
    assert "FunctionError" not in response, answer
    assert all(each["outcome"] != "broken" for each in answer), answer
    return dict(zip(map(str, targets), answer))


def reached(outcomes):
    return [target for target, outcome in outcomes.items() if outcome["outcome"] == "succeeded"]


def facts_of(canary, seconds=2):
    return {"canary": canary, "seconds": seconds}


HOSTS = ["127.0.0.1", "::1", "localhost", HOST, HOST_6, "gateway", *SPELLINGS]


def test_the_outside_world_is_reached(lam, canary):
    wanted = [[PUBLIC, PORT], ["public.test", PORT]]
    for kind in ("connect", "datagram"):
        outcomes = tried(lam, "net", kind, wanted, facts_of(canary, 10))
        assert reached(outcomes) == [str(target) for target in wanted], outcomes


@pytest.mark.parametrize("kind", ["connect", "datagram"])
def test_the_host_and_its_neighbourhood_are_not(lam, canary, kind):
    targets = [[host, PORT] for host in HOSTS + METADATA + PRIVATE + [name for name in NAMES if name != "public.test"]]
    if kind == "connect":
        targets += [["127.0.0.1", LOOPBACK_PORT], ["::1", LOOPBACK_PORT], ["gateway", LOOPBACK_PORT], [HOST, LOOPBACK_PORT]]
    outcomes = tried(lam, "net", kind, targets, facts_of(canary))
    assert reached(outcomes) == [], outcomes

    # The control: the same code from the host. It asks no resolver of ours, so names are left to the test above; what
    # even the host does not reach under one spelling or the other is named.
    direct = [target for target in targets if not target[0].endswith(".test")]
    host = dict(zip(map(str, direct), reach(kind, direct, facts_of(canary))))
    unreached = {target: outcome["detail"] for target, outcome in host.items() if outcome["outcome"] != "succeeded"}
    known = {str(["::127.0.0.1", PORT]), str(["gateway", LOOPBACK_PORT]), str([HOST, LOOPBACK_PORT])}
    assert not set(unreached) - known, unreached


def test_a_socket_bound_to_the_interface_reaches_no_more(lam, canary):
    targets = [[host, PORT] for host in [PUBLIC, HOST, HOST_6, "gateway", *METADATA, *PRIVATE]]
    outcomes = tried(lam, "net", "connect_bound", targets, facts_of(canary))
    assert reached(outcomes) == [str([PUBLIC, PORT])], outcomes
    beyond = [target for target in targets if target[0] not in (HOST, HOST_6)]
    host = dict(zip(map(str, beyond), reach("connect_bound", beyond, facts_of(canary))))
    assert reached(host) == list(map(str, beyond)), host


def test_names_of_internal_addresses_do_resolve(lam, canary):
    """What makes the refusals above mean something: the resolver answered."""
    code = "import socket\ndef handler(event, context):\n    return {n: sorted({a[4][0] for a in socket.getaddrinfo(n, 1)}) for n in event}\n"
    create(lam, "names", code, Timeout=20)
    # Internal addresses may come through or be taken out by the node's resolver: no answer is as good as a closed way.
    answer, _ = invoke(lam, "names", ["public.test"])
    assert answer == {"public.test": [PUBLIC]}


def test_other_environments_are_not_reached(lam, canary):
    create(lam, "net-neighbour", zipped({"probes.py": PROBES}), Handler="probes.handler", Timeout=60, MemorySize=1769)
    addresses, _ = invoke(lam, "net-neighbour", {"ask": "listen", "port": 8080})
    assert addresses
    facts = {**facts_of(canary), "any_answer": True}
    targets = [[address, port] for address in addresses for port in (8080, 9001, 9002)]
    assert reached(tried(lam, "net", "connect", targets, facts)) == []
    # The control: the listener is there, and lets its own environment in.
    own = [[address, 8080] for address in addresses]
    assert reached(tried(lam, "net-neighbour", "connect", own, facts)) == [str(target) for target in own]


def test_without_a_network_nothing_is_reached(lam, canary):
    create(lam, "net-none", zipped({"probes.py": PROBES}), Handler="probes.handler", Timeout=60, MemorySize=1769, Tags={"hearth:network": "none"})
    targets = [[host, PORT] for host in [PUBLIC, PUBLIC_6, "public.test", *HOSTS, *METADATA, *PRIVATE] if host != "gateway"]
    for kind in ("connect", "datagram"):
        outcomes = tried(lam, "net-none", kind, targets, facts_of(canary, 1))
        assert reached(outcomes) == [], outcomes
    assert invoke(lam, "net-none", {"ask": "addresses"})[0] == []


def test_allowed_ranges_open_nothing_else(world, tmp_path_factory, canary):
    with network_node(tmp_path_factory.mktemp("allowing"), "allowed_private = ['10.20.30.0/24', '11.99.88.0/24']\n") as node:
        lam = node.client("lambda")
        create(lam, "net-allowed", zipped({"probes.py": PROBES}), Handler="probes.handler", Timeout=60, MemorySize=1769)
        targets = [[host, PORT] for host in ["10.20.30.2", *HOSTS, *METADATA, *PRIVATE[1:]]]
        outcomes = tried(lam, "net-allowed", "connect", targets, facts_of(canary))
        assert reached(outcomes) == [str(targets[0])], outcomes


FETCH = """
export default { async fetch(request) {
    const found = {};
    for (const url of await request.json()) {
        try { found[url] = await (await fetch(url)).text(); } catch (error) { found[url] = "refused: " + error.message; }
    }
    return Response.json(found);
} }"""


def test_workers_reach_the_hosts_that_are_named_and_nothing_inside(world, tmp_path_factory, canary):
    """Requests of JavaScript workers: by the tag, never inside, and no redirect changes that."""
    environment = with_engine()
    inside = [host for host in [HOST, "127.0.0.1", *METADATA, *PRIVATE] if "%" not in host]
    urls = {host: "http://%s:%d/" % ("[%s]" % host if ":" in host else host, WEB_PORT) for host in [PUBLIC, PUBLIC_6, *inside]}
    named = [url.split("/")[2] for url in urls.values()]
    text = "[isolates]\nallowed_hosts = '%s'\n" % " ".join(named)
    with network_node(tmp_path_factory.mktemp("fetching"), text, environment=environment) as node:
        lam = node.client("lambda")
        create_worker(lam, "fetch", FETCH, Timeout=60)
        redirects = {urls[PUBLIC] + "to?" + url: host for host, url in urls.items()}
        found, answer = invoke(lam, "fetch", [*urls.values(), *redirects])
        assert "FunctionError" not in answer, found
        reached = {url for url, text in found.items() if text == canary}
        assert reached == {urls[PUBLIC], urls[PUBLIC_6], urls[PUBLIC] + "to?" + urls[PUBLIC], urls[PUBLIC] + "to?" + urls[PUBLIC_6]}, found
        assert all(text == canary or text.startswith("refused: The request to ") for text in found.values()), found
        # What a function's own tag names is in place of the node's list, and a network that is turned off closes that.
        create_worker(lam, "closed", FETCH, Tags={"hearth:allowed-hosts": "example.com"})
        create_worker(lam, "off", FETCH, Tags={"hearth:allowed-hosts": named[0], "hearth:network": "none"})
        for function in ("closed", "off"):
            found, _ = invoke(lam, function, [urls[PUBLIC], urls[PUBLIC] + "to?" + urls[PUBLIC]])
            assert all("add %s:%d to the function's tag hearth:allowed-hosts" % (PUBLIC, WEB_PORT) in text for text in found.values()), found
