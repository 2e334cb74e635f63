"""Fixtures of the whole-system tests: the real binary, real clients."""

import contextlib
import fcntl
import os
from pathlib import Path

import pytest

from harness import Node


@contextlib.contextmanager
def locked(path, how):
    """Holds a lock on what is at `path`, among processes."""
    file = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(file, how)
        yield
    finally:
        os.close(file)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Tests run in several processes; one that is marked `alone` runs while no other does."""
    alone = item.get_closest_marker("alone") is not None
    here = Path(__file__)
    with contextlib.ExitStack() as turn:
        # Who waits for all others to be done stands at the door meanwhile, so that they do not begin anew before it.
        with locked(here.parent, fcntl.LOCK_EX):
            turn.enter_context(locked(here, fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
        return (yield)


@pytest.fixture(scope="session")
def node(tmp_path_factory):
    """One node that many tests share: each uses function names of its own."""
    with Node(tmp_path_factory.mktemp("node")) as node:
        yield node


@pytest.fixture
def new_node(tmp_path):
    """Makes nodes of a test's own: `new_node()`, `new_node("--account", "111111111111")`."""
    nodes = []

    def make(*options, data=tmp_path / "data", **settings):
        node = Node(data, *options, **settings)
        nodes.append(node)
        return node.start()

    yield make
    for node in nodes:
        node.stop()


@pytest.fixture
def lam(node):
    """A Lambda client of the shared node."""
    return node.client("lambda")


@pytest.fixture
def name(request):
    """A function name of the test's own, with room for a suffix: tests of one name are in several files, and share a node."""
    import hashlib
    import re

    test = request.node.nodeid
    own = re.sub(r"[^A-Za-z0-9_-]", "-", test.split("::", 1)[1])[:40].strip("-")
    return f"{own}-{hashlib.sha256(test.encode()).hexdigest()[:6]}"
