"""What tests of event source mappings ask and do, whatever the source is."""

import json

from harness import wait_until


def turn(node, uuid, state):
    """Turns a mapping on or off: `Enabled` or `Disabled`."""
    lam = node.client("lambda")
    lam.update_event_source_mapping(UUID=uuid, Enabled=state == "Enabled")
    wait_until(lambda: lam.get_event_source_mapping(UUID=uuid)["State"] == state, state)


def lines(node, name, word):
    """What a function has printed as JSON behind a word."""
    log = node.hearth("logs", name, check=False).stdout
    return [json.loads(line.split(f"{word} ", 1)[1]) for line in log.splitlines() if f"{word} " in line]


def result(node, uuid):
    return node.client("lambda").get_event_source_mapping(UUID=uuid)["LastProcessingResult"]
