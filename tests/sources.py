"""What tests of event source mappings ask and do, whatever the source is."""

import json

from harness import messages_of, wait_until


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


class DeadLetters:
    """A queue of the node that is told of what a mapping gives up."""

    def __init__(self, node, name):
        self.node = node
        self.name = f"dead-{name}"[:80]
        self.make()

    @property
    def config(self):
        arn = f"arn:aws:sqs:us-east-1:000000000000:{self.name}"
        return {"DestinationConfig": {"OnFailure": {"Destination": arn}}}

    def make(self):
        self.node.client("sqs").create_queue(QueueName=self.name)

    def remove(self):
        sqs = self.node.client("sqs")
        sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=self.name)["QueueUrl"])

    def received(self):
        """What it was told, which is taken out of it."""
        return list(messages_of(self.node, self.name))
