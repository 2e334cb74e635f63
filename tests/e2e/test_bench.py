"""The benchmarks measure what they say: every line of theirs is there. How fast anything is, no test asserts."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import BINARY, ROOT

BENCH = BINARY.with_name("hearth-bench")
NPM = Path(os.environ.get("HEARTH_TEST_NPM", ROOT / "target/tools/tests/npm"))


def lines(table):
    """(group, name, callers) of every line that has a rate."""
    found = re.findall(r"^\| ([^|]*) \| ([^|]+) \| (\d+) \| \d+ \| \d+ \| ([1-9]\d*) \|", table, re.M)
    return {(group, name, int(callers)) for group, name, callers, _ in found}


pytestmark = pytest.mark.skipif(not BENCH.exists(), reason="hearth-bench is not built: cargo build --workspace --bin hearth-bench")


def test_the_front_door_is_measured(tmp_path):
    result = subprocess.run(
        [
            BENCH, "front-door", "--hearth", BINARY.resolve(), "--root", ROOT, "--output", tmp_path,
            "--python", sys.executable, "--npm", NPM.resolve(),
            "--seconds", "0.02", "--rounds", "1", "--routes", "40",
        ],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    table = (tmp_path / "front-door.md").read_text()
    measured = lines(table)
    for group, names, callers in [
        ("FastAPI", ["bare server", "Hearth, URL", "Hearth, route"], [1, 16, 64]),
        ("first byte", ["bare server", "Hearth, web server", "Hearth, function that streams"], [1, 16]),
        ("look-up", ["few routes", "many routes"], [1, 16]),
        ("fixed answer", ["floor: hyper, no platform", "Hearth, route"], [1, 16, 64]),
    ]:
        assert {(group, name, n) for name in names for n in callers} <= measured, result.stdout
    if shutil.which("npm"):
        assert ("Express", "Hearth, URL", 64) in measured, result.stdout
    # Peers are not among the packages of the tests, and what is not installed is named.
    assert "not measured: functions-framework beside FastAPI" in table
    assert "| look-up" in table and "| aim | measured | holds |" in table
    assert "<svg" in (tmp_path / "front-door.svg").read_text()[:200]


def test_events_are_measured(tmp_path):
    result = subprocess.run(
        [
            BENCH, "events", "--hearth", BINARY.resolve(), "--root", ROOT, "--output", tmp_path,
            "--seconds", "0.02", "--rounds", "1", "--waiting", "500",
        ],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    table = (tmp_path / "events.md").read_text()
    measured = lines(table)
    assert {(group, "Hearth", n) for group in ("accepted", "run to the end") for n in (1, 16, 256)} <= measured, result.stdout
    for group in ("accepted, backlog", "run to the end, backlog"):
        assert {(group, name, 256) for name in ("Hearth, nothing waits", "Hearth, a full queue")} <= measured, result.stdout
    assert re.search(r"^\| 500 \| \d+ \| \d+ \|$", table, re.M) and "| aim | measured | holds |" in table
    for name, program in [
        ("Redis Streams, appendfsync always", shutil.which("redis-server")),
        ("RabbitMQ, quorum queue, confirmed", Path("/usr/lib/rabbitmq/bin/rabbitmq-server").is_file() and shutil.which("epmd")),
    ]:
        assert (("accepted", name, 256) in measured) == bool(program), table
