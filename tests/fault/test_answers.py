"""What the front of a node answers with success is on the disk, as the kernel sees it, and a full disk never gives one: events
of rules, and schedules."""

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import botocore.exceptions
import pytest
from harness import Node, error_of, messages_of, wait_until

TOKEN = "a-token-of-this-test-alone"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:told"
TARGET = {"Arn": QUEUE, "RoleArn": "arn:aws:iam::000000000000:role/any"}
EVENTS = 20


def send(node, n, size=0):
    """A CloudEvent; the status."""
    request = urllib.request.Request(
        f"{node.endpoint}/events",
        data=json.dumps({"n": n, "more": "x" * size}).encode(),
        headers={
            "Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json",
            "ce-specversion": "1.0", "ce-id": str(n), "ce-source": "/test", "ce-type": "t",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def entry(n, size=0):
    return {"Source": "/test", "DetailType": "t", "Detail": json.dumps({"n": n, "more": "x" * size})}


def schedule(scheduler, name, size=0):
    """One that is not due while a test runs."""
    return scheduler.create_schedule(
        Name=name, ScheduleExpression="rate(300 days)", FlexibleTimeWindow={"Mode": "OFF"},
        StartDate=4_000_000_000, Target={**TARGET, "Input": json.dumps("x" * size)},
    )


@pytest.fixture
def sender(tmp_path):
    config = tmp_path / "sender.toml"
    config.write_text(f'[events.senders.test]\ntoken = "{TOKEN}"\n')
    return config


def told(node):
    """Gives events that come by /test to a queue."""
    node.client("sqs").create_queue(QueueName="told")
    events = node.client("events")
    events.put_rule(Name="r", EventPattern=json.dumps({"source": ["/test"]}))
    events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": QUEUE}])
    return events


def arrived(node):
    """A call that gives the numbers of all events that have come to the queue so far, in their order."""
    found = []

    def all_of_them():
        found.extend(said["detail"]["n"] for said in messages_of(node, "told"))
        return sorted(found)

    return all_of_them


class Trace:
    """The system calls of a running node that write and sync, while it is entered."""

    def __init__(self, node, path):
        self.node, self.path = node, path

    def __enter__(self):
        calls = "trace=fsync,fdatasync,write,writev,pwrite64,sendto,sendmsg"
        self.strace = subprocess.Popen(
            ["strace", "-f", "-y", "-s", "40", "-e", calls, "-o", self.path, "-p", str(self.node.process.pid)],
            stderr=subprocess.PIPE, text=True,
        )
        # It says so for each thread once it holds it.
        line = self.strace.stderr.readline()
        if "attached" not in line:
            pytest.skip(f"strace may not trace here: {line}")
        return self

    def __exit__(self, *_):
        self.strace.send_signal(signal.SIGINT)
        self.strace.communicate(timeout=120)

    def answers(self, database, status):
        """How many answers with `status` went out. Since the one before, each must have seen the log of `database` written to and
        then synced. (Deliveries write there as well, at any time; the order of a single commit is held in crates/store/tests.)
        """
        log, count, written, synced, syncing = f"/{database}-wal>", 0, False, False, set()
        for line in Path(self.path).read_text(errors="replace").splitlines():
            thread = line.split(maxsplit=1)[0]
            if log in line and "pwrite64(" in line:
                written = True
            elif log in line and re.search(r"\bf(data)?sync\(", line):
                # `detached`: the trace ended first.
                if "unfinished" in line or "<detached" in line:
                    syncing.add((thread, written))
                else:
                    assert line.endswith("= 0"), line
                    synced |= written
            elif re.search(r"<\.\.\. f(data)?sync resumed", line) and (thread, True) in syncing:
                assert line.endswith("= 0"), line
                syncing.remove((thread, True))
                synced = True
            elif f"HTTP/1.1 {status} " in line:
                assert synced, f"answered without a sync of the log: {line}"
                written, synced, syncing, count = False, False, set(), count + 1
        return count


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_sync_comes_before_each_answer(new_node, sender, tmp_path):
    node = new_node("--config", sender)
    events, scheduler = told(node), node.client("scheduler")
    with Trace(node, tmp_path / "cloud-events") as trace:
        assert {send(node, n) for n in range(EVENTS)} == {202}
    assert trace.answers("rules.db", 202) == EVENTS
    with Trace(node, tmp_path / "put-events") as trace:
        for n in range(EVENTS):
            assert events.put_events(Entries=[entry(n), entry(n)])["FailedEntryCount"] == 0
    assert trace.answers("rules.db", 200) == EVENTS
    with Trace(node, tmp_path / "schedules") as trace:
        for n in range(EVENTS):
            schedule(scheduler, f"s{n}")
            scheduler.delete_schedule(Name=f"s{n}")
    assert trace.answers("schedules.db", 200) == 2 * EVENTS


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system can be mounted only by root")
def test_a_full_disk_gives_errors_and_recovers(sender, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], check=True)
    try:
        with Node(disk / "data", "--config", sender, expected_log=[r"(?i)space|full"]) as node:
            events, scheduler, taken = told(node), node.client("scheduler"), arrived(node)
            accepted = []
            for round_ in range(2):
                accepted.append(100 * round_)
                assert send(node, accepted[-1]) == 202
                wait_until(lambda: taken() == accepted, "what was accepted")
                filler = disk / "filler"
                with open(filler, "wb", buffering=0) as file:
                    try:
                        while True:
                            file.write(b"x" * 4096)
                    except OSError:
                        pass
                # Whatever fits into what the log has left is accepted in earnest, the rest is refused.
                refused = 0
                for n in range(100 * round_ + 1, 100 * round_ + 40):
                    if n % 2:
                        status = send(node, n, 100_000)
                    else:
                        try:
                            answer = events.put_events(Entries=[entry(n, 100_000)])
                            status = 500 if answer["FailedEntryCount"] else 202
                        except botocore.exceptions.ClientError as error:
                            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                    assert status == 202 or status >= 500, status
                    if status == 202:
                        accepted.append(n)
                    refused += status != 202
                assert refused > 20, "the disk was not full"
                assert error_of(schedule, scheduler, f"refused{round_}", 200_000)[1] >= 500
                filler.unlink()
                accepted.append(100 * round_ + 50)
                assert send(node, accepted[-1], 100_000) == 202
                schedule(scheduler, f"kept{round_}", 200_000)
                wait_until(lambda: taken() == sorted(accepted), "what was accepted, and nothing else")
                accepted.sort()
            names = [found["Name"] for found in scheduler.list_schedules()["Schedules"]]
            assert names == ["kept0", "kept1"]
    finally:
        subprocess.run(["umount", disk], check=True)
