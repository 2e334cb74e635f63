"""The commands of examples/queue-orders, as its page has them."""

import json
import os
import re
import subprocess

from harness import ROOT, commands, wait_until

PAGE = ROOT / "examples/queue-orders/README.md"


def test_an_order_that_failed_is_priced_after_all(new_node, tmp_path):
    node = new_node()
    environment = {
        "PATH": f"{commands(tmp_path / 'bin')}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "HEARTH_DATA": str(node.data),
        "AWS_SHARED_CREDENTIALS_FILE": str(node.data / "credentials"),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": node.endpoint,
        "AWS_PAGER": "",
    }

    def run(commands):
        result = subprocess.run(
            ["bash", "-euc", commands], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
        )
        assert result.returncode == 0, f"{commands}\n{result.stdout}\n{result.stderr}"
        return result.stdout

    def logged(text):
        wait_until(lambda: text in node.hearth("logs", "queue-orders", check=False).stdout, text)

    make, send, look, mend = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.S)
    run(make)
    run(send)
    logged("order 1: 19.00 EUR")
    (letter,) = json.loads(run(look))["Messages"]
    assert json.loads(letter["Body"])["id"] == 2
    assert letter["Attributes"]["DeadLetterQueueSourceArn"].endswith(":orders")
    assert node.hearth("logs", "queue-orders").stdout.count(f"message {letter['MessageId']} failed: KeyError('CHF')") == 2
    run(mend)
    logged("order 2: 105.00 EUR")
