"""A node under test, and packages for it."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import boto3
import botocore.config

ROOT = Path(__file__).resolve().parent.parent
BINARY = Path(os.environ.get("HEARTH_BINARY", ROOT / "target/debug/hearth"))
ROLE = "arn:aws:iam::000000000000:role/test"
# The name that the host surely has: the interpreter that runs the tests.
PYTHON = f"python3.{sys.version_info.minor}"
NODE = "nodejs20.x"
WAIT_S = 120


def wait_until(ask, what, seconds=WAIT_S):
    """Asks until the answer is true, and gives it."""
    end = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.02)


class Node:
    """`hearth up` on a data folder of its own and a free port."""

    def __init__(self, data, *options, environment=None, expected_log=()):
        self.data = Path(data)
        self.options = options
        self.environment = environment or {}
        # Patterns of WARN and ERROR lines that the test asks for.
        self.expected_log = list(expected_log)
        self.process = None

    def start(self):
        self.data.mkdir(parents=True, exist_ok=True)
        (self.data / "endpoint").unlink(missing_ok=True)
        self.log_path = self.data / "node.log"
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("HEARTH_", "AWS_"))}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "up", "--no-samples", "--data", self.data, "--listen", "127.0.0.1:0", *self.options],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=environment | self.environment,
            )

        def address():
            if self.process.poll() is not None:
                raise AssertionError(f"the node ended with {self.process.returncode}:\n{self.log()}")
            path = self.data / "endpoint"
            return path.exists() and path.read_text().strip()

        self.endpoint = wait_until(address, "the node's address")
        return self

    def log(self):
        return self.log_path.read_text(errors="replace")

    def stop(self):
        """Ctrl-C, and the checks that hold for every node: a clean end and a clean log."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the node did not stop:\n{self.log()}") from None
        assert code == 0, f"the node ended with {code}:\n{self.log()}"
        plain = re.sub(r"\x1b\[[0-9;]*m", "", self.log())
        loud = [line for line in plain.splitlines() if re.search(r"\b(WARN|ERROR)\b|panicked", line)]
        unexpected = [line for line in loud if not any(re.search(p, line) for p in self.expected_log)]
        assert not unexpected, "the node logged:\n" + "\n".join(unexpected)

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait(WAIT_S)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def key(self):
        text = (self.data / "credentials").read_text()
        return tuple(re.search(rf"^{n}\s*=\s*(\S+)", text, re.M).group(1) for n in ("aws_access_key_id", "aws_secret_access_key"))

    def client(self, service, region="us-east-1", **config):
        access, secret = self.key()
        config = {"retries": {"total_max_attempts": 1}, "read_timeout": 300, **config}
        return boto3.session.Session().client(
            service,
            region_name=region,
            endpoint_url=self.endpoint,
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            config=botocore.config.Config(**config),
        )

    def hearth(self, *arguments, stdin=None, check=True):
        """The command line against this node."""
        result = subprocess.run(
            [BINARY, *arguments], input=stdin, capture_output=True, text=True, timeout=120,
            env={k: v for k, v in os.environ.items() if not k.startswith(("HEARTH_", "AWS_"))} | {"HEARTH_DATA": str(self.data)},
        )
        if check:
            assert result.returncode == 0, f"hearth {arguments}: {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result

    def aws(self, *arguments, check=True):
        """The AWS command line against this node."""
        result = subprocess.run(
            [Path(sys.executable).parent / "aws", *arguments, "--endpoint-url", self.endpoint],
            capture_output=True, text=True, timeout=120,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.data),
                "AWS_SHARED_CREDENTIALS_FILE": str(self.data / "credentials"),
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_PAGER": "",
                "AWS_MAX_ATTEMPTS": "1",
            },
        )
        if check:
            assert result.returncode == 0, f"aws {arguments}: {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result


def zipped(files):
    """A zip of {name: text or bytes}. A name ending in '*' is executable."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name.rstrip("*"), (2020, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o100755 if name.endswith("*") else 0o100644) << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def python_zip(code):
    return zipped({"app.py": code})


ECHO = "def handler(event, context):\n    return event\n"


def create(lam, name, code=ECHO, wait=True, **options):
    """Creates a Python function from source, and waits until it is ready.

    On the share of a processor that 128 MB come with, and in 3 s, a busy machine gets little done: a test that is about neither
    gets more of both.
    """
    request = {
        "FunctionName": name,
        "Runtime": PYTHON,
        "Role": ROLE,
        "Handler": "app.handler",
        "Code": {"ZipFile": python_zip(code) if isinstance(code, str) else code},
        "MemorySize": 512,
        "Timeout": 30,
        **options,
    }
    answer = lam.create_function(**request)
    if wait:
        lam.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    return answer


def invoke(lam, name, event=None, **options):
    """Invokes and gives (payload, answer)."""
    answer = lam.invoke(FunctionName=name, Payload=json.dumps(event).encode(), **options)
    body = answer["Payload"].read()
    return (json.loads(body) if body else None), answer


def error_of(call, *arguments, **options):
    """The (code, status, message) of the API error that a call must give."""
    import botocore.exceptions

    try:
        answer = call(*arguments, **options)
    except botocore.exceptions.ClientError as error:
        response = error.response
        return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]
    raise AssertionError(f"expected an error, got {answer}")


def commands(folder):
    """A folder for PATH, made here, in which `hearth` and `aws` are those under test."""
    folder.mkdir()
    (folder / "hearth").symlink_to(BINARY.resolve())
    # Not every version of it looks at AWS_ENDPOINT_URL.
    (folder / "aws").write_text(f'#!/bin/sh\nexec {Path(sys.executable).parent}/aws "$@" --endpoint-url "$AWS_ENDPOINT_URL"\n')
    (folder / "aws").chmod(0o755)
    return folder


def messages_of(node, queue):
    """What the messages say that a queue of the node has now, each read as JSON and deleted."""
    sqs = node.client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            yield json.loads(message["Body"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
