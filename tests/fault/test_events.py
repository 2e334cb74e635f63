"""A node that is killed at random while it takes and runs events, and started again, over and over: every 202 ends in a
success or among the dead, and what ran twice ran when a kill came.

`cargo xtask fault` runs it with many more events and kills than the gate does.
"""

import json
import os
import random
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import botocore.exceptions
from harness import create, wait_until
from wasm import ask, body_of, create_component, url_event

EVENTS = int(os.environ.get("HEARTH_FAULT_EVENTS", "300"))
KILLS = int(os.environ.get("HEARTH_FAULT_KILLS", "5"))
SEED = int(os.environ.get("HEARTH_FAULT_SEED", "1"))
CALLERS = 8
SETTLED_S = 300


class Callers:
    """Sends events to a node that comes and goes."""

    def __init__(self, node):
        self.node = node
        self.client = node.client("lambda")
        self.there = threading.Event()
        self.there.set()
        self.lock = threading.Lock()
        self.accepted = {}

    def send(self, n):
        """Sends event `n` once. Without an answer nobody knows whether it was accepted: then it proves nothing."""
        assert self.there.wait(SETTLED_S), "the node does not come back"
        client = self.client
        # Every tenth is for a function that is stopped, and so ends among the dead.
        name = "stopped" if n % 10 == 0 else "keeper"
        event = url_event(f"/increment?bucket=&key=e{n}&value=1")
        try:
            answer = client.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event).encode())
        except (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError):
            return
        assert answer["StatusCode"] == 202
        with self.lock:
            self.accepted[n] = answer["ResponseMetadata"]["RequestId"]

    def restart(self):
        self.there.clear()
        self.node.kill()
        self.node.start()
        self.client = self.node.client("lambda", max_pool_connections=CALLERS)
        self.there.set()


def open_events(node):
    queues = json.loads(node.hearth("events", "--json").stdout)
    return sum(queue[state] for queue in queues for state in ("Queued", "Running", "Retrying"))


def test_every_accepted_event_ends(new_node):
    node = new_node(environment={"HEARTH_LOG": "warn,hearth_events=info"})
    lam = node.client("lambda")
    create_component(lam, "keeper", "store", Tags={"hearth:keyvalue": "function"})
    create(lam, "stopped")
    lam.put_function_concurrency(FunctionName="stopped", ReservedConcurrentExecutions=0)
    callers = Callers(node)
    chance = random.Random(SEED)
    kills_at = sorted(chance.sample(range(1, EVENTS), KILLS))
    with ThreadPoolExecutor(CALLERS) as pool:
        sent = [pool.submit(callers.send, n) for n in range(EVENTS)]
        for at in kills_at:
            # Not to wait for anything in particular: to end up anywhere within an event's life.
            threading.Event().wait(chance.random() * 0.02)
            sent[at].result(300)
            callers.restart()
        for future in sent:
            future.result(300)
    wait_until(lambda: open_events(node) == 0, "the events' ends", SETTLED_S)

    accepted = callers.accepted
    assert len(accepted) >= EVENTS - (KILLS + 1) * CALLERS, "too few were answered to prove anything"
    dead = [event["RequestId"] for event in json.loads(node.hearth("dlq", "list", "--json").stdout)]
    assert len(dead) == len(set(dead))
    stopped = {request_id for n, request_id in accepted.items() if n % 10 == 0}
    assert stopped <= set(dead), "an accepted event is neither run nor dead"

    client = node.client("lambda", max_pool_connections=CALLERS)

    def runs_of(n):
        payload, _ = ask(client, "keeper", f"/get?bucket=&key=e{n}")
        kind, _, count = body_of(payload).decode().partition(" ")
        return int(count) if kind == "some" else 0

    kept = [n for n in range(EVENTS) if n % 10 != 0]
    with ThreadPoolExecutor(CALLERS) as pool:
        runs = dict(zip(kept, pool.map(runs_of, kept)))
    lost = [n for n in kept if n in accepted and runs[n] == 0]
    assert not lost, f"accepted, and never run: {lost}"
    # Those that ran more than once were running at a kill.
    plain = re.sub(r"\x1b\[[0-9;]*m", "", node.log())
    interrupted = sum(int(count) for count in re.findall(r"due again lost=(\d+)", plain))
    again = sum(count - 1 for count in runs.values() if count > 1)
    assert again <= interrupted, f"{again} ran again, {interrupted} were running at a kill"
    print(f"{len(accepted)} of {EVENTS} accepted, {KILLS} kills, {interrupted} interrupted, {again} ran again, {len(dead)} dead")
