"""The official runtime clients run unchanged, as `provided` functions."""

import importlib.util
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import ROOT, create, invoke, zipped


def folder(path, prefix=""):
    return {
        prefix + file.relative_to(path).as_posix() + ("*" if os.access(file, os.X_OK) else ""): file.read_bytes()
        for file in Path(path).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def installed(*modules):
    files = {}
    for module in modules:
        spec = importlib.util.find_spec(module)
        origin = Path(spec.origin)
        if origin.name == "__init__.py":
            files |= folder(origin.parent, origin.parent.name + "/")
        else:
            files[origin.name] = origin.read_bytes()
    return files


HANDLER = "def handler(event, context):\n    return {'ric': event, 'id': context.aws_request_id}\n"


def check(lam, name):
    for event in ({"a": "ü"}, [1, 2], None):
        payload, answer = invoke(lam, name, event)
        assert "FunctionError" not in answer, payload
        assert payload["ric"] == event
        assert payload["id"] == answer["ResponseMetadata"]["RequestId"]


def test_python_awslambdaric(lam, name):
    import sys

    files = installed("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py")
    # The interpreter that the client was built for, wherever this host has it.
    bootstrap = f"#!/bin/sh\nexec python3.{sys.version_info.minor} -m awslambdaric app.handler\n"
    create(lam, name, zipped(files | {"app.py": HANDLER, "bootstrap*": bootstrap}), Runtime="provided.al2023", Timeout=20)
    check(lam, name)


def node_client(code):
    """A package with the official client for Node.js and a handler in `index.js`."""
    npm = os.environ.get("HEARTH_TEST_NPM")
    if not npm:
        pytest.skip("npm packages are not installed")
    modules = Path(npm) / "node_modules"
    files = folder(modules / "aws-lambda-ric", "node_modules/aws-lambda-ric/")
    files = {k: v for k, v in files.items() if "/deps/" not in k}
    bootstrap = "#!/bin/sh\ncd /var/task\nexec node node_modules/aws-lambda-ric/index.mjs index.handler\n"
    return zipped(files | {"index.js": code, "bootstrap*": bootstrap})


def test_node_aws_lambda_ric(lam, name):
    code = "exports.handler = async (event, context) => ({ ric: event, id: context.awsRequestId });\n"
    create(lam, name, node_client(code), Runtime="provided.al2023", Handler="index.handler", Timeout=20)
    check(lam, name)


def test_node_aws_lambda_ric_streams(node, lam, name):
    code = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const ask = event.queryStringParameters ?? event;
  stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201, headers: { 'X-A': '1' } });
  await new Promise((done) => stream.write('some of it', done));
  if (ask.fails) throw new TypeError('late');
  stream.end(', and the rest');
});
"""
    create(lam, name, node_client(code), Runtime="provided.al2023", Handler="index.handler", Timeout=20)
    ends = []
    for event in ({}, {"fails": True}, {}):
        stream = lam.invoke_with_response_stream(FunctionName=name, Payload=json.dumps(event).encode())["EventStream"]
        *pieces, end = list(stream)
        said = b"".join(piece["PayloadChunk"]["Payload"] for piece in pieces)
        assert said.endswith(b"\0" * 8 + b"some of it" + (b"" if event else b", and the rest")), said
        ends.append(end["InvokeComplete"])
    assert ends[0] == ends[2] == {} and ends[1]["ErrorCode"] == "Unhandled", ends
    assert json.loads(ends[1]["ErrorDetails"])["errorType"] == "TypeError"
    url = node.hearth("url", "create", name, "--public", "--stream").stdout.strip()
    curl = subprocess.run(["curl", "-sSi", "--max-time", "60", url], capture_output=True, check=True)
    assert curl.stdout.startswith(b"HTTP/1.1 201 Created") and b"\r\nx-a: 1\r\n" in curl.stdout
    assert curl.stdout.endswith(b"\r\n\r\nsome of it, and the rest")


def rust_client():
    """A package with a function on the official client for Rust."""
    # With the tests of the workspace, as the gate has built them: alone, its dependencies would have other features, and be
    # built anew.
    subprocess.run(
        [os.environ.get("CARGO", "cargo"), "build", "--quiet", "--locked", "--workspace", "--tests", "--bin", "lambda-runtime-function"],
        cwd=ROOT, check=True,
    )
    return zipped({"bootstrap*": (ROOT / "target/debug/lambda-runtime-function").read_bytes()})


def test_rust_lambda_runtime(lam, name):
    create(lam, name, rust_client(), Runtime="provided.al2023")
    check(lam, name)


def meet(node, name, count):
    """Invokes so often at the same time; gives the log streams of the environments that did it."""
    lam = node.client("lambda", max_pool_connections=count)
    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(lambda _: invoke(lam, name, "meet"), range(count)))
    for payload, answer in answers:
        assert "FunctionError" not in answer, payload
        assert payload["id"] == answer["ResponseMetadata"]["RequestId"]
    return {payload["stream"] for payload, _ in answers}


def test_rust_lambda_runtime_at_once(node, lam, name):
    create(lam, name, rust_client(), Runtime="provided.al2023", Timeout=20, Tags={"hearth:concurrency": "16"})
    for _ in range(3):
        assert len(meet(node, name, 16)) == 1


def test_python_awslambdaric_at_once(node, lam, name):
    import sys

    files = installed("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py")
    # It makes processes of which each asks for itself: they meet where all can see them.
    code = """
import os, time
def handler(event, context):
    open("/tmp/%s" % context.aws_request_id, "x").close()
    while len(os.listdir("/tmp")) < 4: time.sleep(0.01)
    return {"ric": event, "id": context.aws_request_id, "stream": context.log_stream_name, "process": os.getpid()}
"""
    bootstrap = f"#!/bin/sh\nexec python3.{sys.version_info.minor} -m awslambdaric app.handler\n"
    package = zipped(files | {"app.py": code, "bootstrap*": bootstrap})
    create(lam, name, package, Runtime="provided.al2023", Timeout=20, MemorySize=512, Tags={"hearth:concurrency": "4"})
    assert len(meet(node, name, 4)) == 1
