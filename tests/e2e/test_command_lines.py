"""`hearth` and `aws lambda`, each through the whole life of a function."""

import json
import subprocess

import pytest

from harness import BINARY, PYTHON, ROLE, python_zip

CODE = "import os\n\ndef handler(event, context):\n    print('said', event)\n    return {'got': event, 'a': os.environ.get('AB')}\n"


@pytest.fixture
def source(tmp_path, name):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "app.py").write_text(CODE)
    return folder


def test_hearth_from_deploy_to_rm(node, source, name):
    created = node.hearth("deploy", source, "--name", name, "--env", "AB=1", "--memory", "256")
    assert created.stdout.startswith(f"created {name} (python3.")
    answer = node.hearth("invoke", name, "--data", '{"x": 1}', "--tail")
    assert json.loads(answer.stdout) == {"got": {"x": 1}, "a": "1"}
    assert "said {'x': 1}" in answer.stderr and "REPORT RequestId" in answer.stderr
    event = source / "event.json"
    event.write_text("[2]")
    assert json.loads(node.hearth("invoke", name, "--data", f"@{event}").stdout)["got"] == [2]
    assert json.loads(node.hearth("invoke", name, "--data", "-", stdin="3").stdout)["got"] == 3
    whole = json.loads(node.hearth("invoke", name, "--data", "4", "--json").stdout)
    assert whole["Payload"]["got"] == 4 and whole["ExecutedVersion"] == "$LATEST"

    (source / "app.py").write_text(CODE.replace("'got'", "'new'"))
    assert node.hearth("deploy", source, "--name", name, "--publish").stdout.startswith(f"updated {name}")
    assert json.loads(node.hearth("invoke", name, "--qualifier", "1").stdout) == {"new": {}, "a": "1"}
    assert name in node.hearth("list").stdout
    assert name in [f["FunctionName"] for f in json.loads(node.hearth("list", "--json").stdout)]
    assert "1" in node.hearth("versions", name).stdout.split()
    node.hearth("alias", "set", name, "live", "1")
    assert "live" in node.hearth("alias", "list", name).stdout
    assert json.loads(node.hearth("invoke", name, "--qualifier", "live").stdout)["a"] == "1"
    node.hearth("alias", "rm", name, "live")
    assert "said {'x': 1}" in node.hearth("logs", name).stdout
    assert "said" not in node.hearth("logs", name, "--filter", "REPORT").stdout
    node.hearth("rm", name)
    assert node.hearth("invoke", name, check=False).returncode == 4


def test_logs_can_be_followed(node, source, name):
    node.hearth("deploy", source, "--name", name, "--memory", "512", "--timeout", "30")
    follower = subprocess.Popen(
        [BINARY, "logs", name, "--follow", "--data-folder", node.data], stdout=subprocess.PIPE, text=True
    )
    try:
        for number in range(3):
            node.hearth("invoke", name, "--data", str(number))
            while f"said {number}" not in follower.stdout.readline():
                assert follower.poll() is None
    finally:
        follower.kill()
        follower.wait()


def test_exit_codes_and_hints(node, source, name, tmp_path):
    (source / "app.py").write_text("def handler(e, c):\n    raise ValueError('no')\n")
    node.hearth("deploy", source, "--name", name, "--memory", "512", "--timeout", "30")
    failed = node.hearth("invoke", name, check=False)
    assert failed.returncode == 3 and json.loads(failed.stdout)["errorType"] == "ValueError"
    missing = node.hearth("invoke", "none-such", check=False)
    assert missing.returncode == 4 and "hint:" in missing.stderr and missing.stdout == ""
    assert node.hearth("invoke", check=False).returncode == 2
    assert node.hearth("invoke", name, "--data", "{", check=False).returncode == 1
    assert node.hearth("list", "--endpoint", "http://127.0.0.1:1", check=False).returncode == 5
    nobody = subprocess.run([BINARY, "list", "--data-folder", tmp_path / "none"], capture_output=True, text=True)
    assert nobody.returncode == 1 and "hearth up" in nobody.stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no files" in node.hearth("deploy", empty, check=False).stderr
    (empty / "x.txt").write_text("x")
    assert "runtime" in node.hearth("deploy", empty, check=False).stderr
    bad_memory = node.hearth("deploy", source, "--name", name, "--memory", "1", check=False)
    assert bad_memory.returncode == 1 and "128" in bad_memory.stderr


def test_doctor_and_config(node):
    doctor = json.loads(node.hearth("doctor", "--json").stdout)
    assert {part["name"] for part in doctor["walls"]["parts"]}
    assert any(runtime["runtime"].startswith("python3.") for runtime in doctor["runtimes"])
    assert "user namespace" in node.hearth("doctor").stdout
    shown = node.hearth("config", "show").stdout
    assert 'listen = "127.0.0.1:7070"' in shown and str(node.data) in shown


def test_aws_lambda(node, name, tmp_path):
    package = tmp_path / "app.zip"
    package.write_bytes(python_zip(CODE))
    output = tmp_path / "out.json"

    def aws(*arguments):
        result = node.aws("lambda", *arguments, "--output", "json")
        return json.loads(result.stdout) if result.stdout.strip() else None

    created = aws("create-function", "--function-name", name, "--runtime", PYTHON, "--role", ROLE, "--handler", "app.handler", "--zip-file", f"fileb://{package}")
    assert created["State"] == "Pending"
    aws("wait", "function-active-v2", "--function-name", name)
    answer = aws("invoke", "--function-name", name, "--payload", '{"k": 1}', "--log-type", "Tail", str(output))
    assert answer["StatusCode"] == 200 and answer["LogResult"]
    assert json.loads(output.read_text())["got"] == {"k": 1}
    package.write_bytes(python_zip(CODE + "# 2\n"))
    aws("update-function-code", "--function-name", name, "--zip-file", f"fileb://{package}")
    aws("wait", "function-updated-v2", "--function-name", name)
    aws("update-function-configuration", "--function-name", name, "--timeout", "9", "--environment", "Variables={AB=b}")
    aws("wait", "function-updated-v2", "--function-name", name)
    assert aws("publish-version", "--function-name", name)["Version"] == "1"
    aws("create-alias", "--function-name", name, "--name", "live", "--function-version", "1")
    aws("invoke", "--function-name", f"{name}:live", str(output))
    assert json.loads(output.read_text())["a"] == "b"
    assert name in [f["FunctionName"] for f in aws("list-functions")["Functions"]]
    aws("tag-resource", "--resource", created["FunctionArn"], "--tags", "k=v")
    assert aws("get-function", "--function-name", name)["Tags"] == {"k": "v"}
    events = json.loads(node.aws("logs", "filter-log-events", "--log-group-name", f"/aws/lambda/{name}", "--filter-pattern", "said", "--output", "json").stdout)
    assert len(events["events"]) == 2
    aws("delete-function", "--function-name", name)
    gone = node.aws("lambda", "get-function", "--function-name", name, check=False)
    assert gone.returncode != 0 and "ResourceNotFoundException" in gone.stderr
