"""Folders of functions on the real binary: what boto3 and the command line make of them, and what a function finds there."""

import json
import os
import subprocess

import pytest
from harness import BINARY, create, error_of, invoke, wait_until

FILES = """
def handler(event, context):
    if "write" in event:
        with open(event["write"], "w") as file:
            file.write(context.aws_request_id)
        return context.aws_request_id
    return open(event["read"]).read()
"""


def folder(name, path, account="000000000000"):
    return {"Arn": f"arn:aws:elasticfilesystem:us-east-1:{account}:access-point/{name}", "LocalMountPath": path}


@pytest.fixture
def places(tmp_path):
    """Folders of this host, and a configuration that names them."""
    for name in ["read", "written", "foreign"]:
        (tmp_path / name).mkdir()
    (tmp_path / "read/a.txt").write_text("hello")
    (tmp_path / "read/a.txt").chmod(0o600)
    (tmp_path / "folders.toml").write_text(
        f'[folders.read]\npath = "{tmp_path}/read"\n'
        f'[folders.written]\npath = "{tmp_path}/written"\naccess = "read-write"\n'
        f'[folders.foreign]\npath = "{tmp_path}/foreign"\naccounts = ["111111111111"]\n'
    )
    return tmp_path


def test_a_function_reads_and_writes_the_folders_that_it_has(new_node, places):
    node = new_node("--config", places / "folders.toml")
    lam = node.client("lambda")
    both = [folder("read", "/mnt/in"), folder("written", "/mnt/out")]
    made = create(lam, "files", FILES, FileSystemConfigs=both)
    assert made["FileSystemConfigs"] == both
    create(lam, "none", FILES)

    assert invoke(lam, "files", {"read": "/mnt/in/a.txt"})[0] == "hello"
    written, answer = invoke(lam, "files", {"write": "/mnt/out/b.txt"})
    assert "FunctionError" not in answer, written
    assert (places / "written/b.txt").read_text() == written
    assert (places / "written/b.txt").stat().st_uid == os.geteuid()
    refused, answer = invoke(lam, "files", {"write": "/mnt/in/b.txt"})
    assert answer["FunctionError"] == "Unhandled" and refused["errorType"] in ("OSError", "PermissionError"), refused
    refused, answer = invoke(lam, "none", {"read": "/mnt/in/a.txt"})
    assert answer["FunctionError"] == "Unhandled" and refused["errorType"] == "FileNotFoundError", refused

    # Without it from here on.
    lam.update_function_configuration(FunctionName="files", FileSystemConfigs=[])
    lam.get_waiter("function_updated_v2").wait(FunctionName="files", WaiterConfig={"Delay": 1})
    assert "FileSystemConfigs" not in lam.get_function_configuration(FunctionName="files")
    assert invoke(lam, "files", {"read": "/mnt/in/a.txt"})[0]["errorType"] == "FileNotFoundError"

    code, status, message = error_of(create, lam, "other", FILES, FileSystemConfigs=[folder("foreign", "/mnt/in")])
    assert (code, status) == ("InvalidParameterValueException", 400) and "folders.foreign" in message


def test_a_folder_that_is_gone_fails_the_invocation_and_comes_back(new_node, places):
    node = new_node("--config", places / "folders.toml", expected_log=["WARN.*(mount a folder|names no such folder)"])
    lam = node.client("lambda")
    create(lam, "files", FILES, FileSystemConfigs=[folder("read", "/mnt/in")])
    (places / "read").rename(places / "away")
    code, status, _ = error_of(lam.invoke, FunctionName="files", Payload=b"{}")
    assert (code, status) == ("EFSMountFailureException", 403)
    # An event waits for it.
    lam.invoke(FunctionName="files", InvocationType="Event", Payload=json.dumps({"read": "/mnt/in/a.txt"}).encode())
    # Whoever can put a link there does not choose what the function gets.
    (places / "read").symlink_to("/etc")
    assert error_of(lam.invoke, FunctionName="files", Payload=b"{}")[0] == "EFSMountFailureException"
    (places / "read").unlink()
    (places / "away").rename(places / "read")
    assert invoke(lam, "files", {"read": "/mnt/in/a.txt"})[0] == "hello"
    wait_until(lambda: node.hearth("logs", "files").stdout.count("END RequestId") >= 2, "the event that waited")

    # The configuration no longer names it.
    node.stop()
    (places / "folders.toml").write_text("")
    node.start()
    assert error_of(node.client("lambda").invoke, FunctionName="files", Payload=b"{}")[0] == "EFSMountFailureException"


def test_a_folder_that_guests_could_replace_is_no_folder(places, tmp_path):
    (places / "written/inner").mkdir()
    config = places / "nested.toml"
    config.write_text(
        f'[folders.outer]\npath = "{places}/written"\naccess = "read-write"\n[folders.inner]\npath = "{places}/written/inner"\n'
    )
    ended = subprocess.run(
        [BINARY, "up", "--no-samples", "--data", tmp_path / "data", "--config", config, "--listen", "127.0.0.1:0"],
        capture_output=True, text=True, timeout=120,
    )
    assert ended.returncode != 0 and "folders.inner lies in folders.outer" in ended.stderr, ended


def test_the_command_line_gives_a_function_its_folders(new_node, places):
    node = new_node("--config", places / "folders.toml")
    (places / "code").mkdir()
    (places / "code/lambda_function.py").write_text(
        "def lambda_handler(event, context):\n    return open('/mnt/in/a.txt').read()\n"
    )
    deploy = ["deploy", places / "code", "--name", "f", "--memory", "512", "--timeout", "30"]
    node.hearth(*deploy, "--folder", "read=/mnt/in")
    assert json.loads(node.hearth("invoke", "f").stdout) == "hello"
    # What is not said stays.
    node.hearth(*deploy)
    assert json.loads(node.hearth("invoke", "f").stdout) == "hello"
    refused = node.hearth(*deploy, "--folder", "nothing=/mnt/in", check=False)
    assert refused.returncode != 0 and "folders.nothing" in refused.stderr
