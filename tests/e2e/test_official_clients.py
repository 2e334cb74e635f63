"""The official runtime clients run unchanged, as `provided` functions."""

import importlib.util
import os
import subprocess
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


def test_node_aws_lambda_ric(lam, name):
    npm = os.environ.get("HEARTH_TEST_NPM")
    if not npm:
        pytest.skip("npm packages are not installed")
    modules = Path(npm) / "node_modules"
    files = folder(modules / "aws-lambda-ric", "node_modules/aws-lambda-ric/")
    files = {k: v for k, v in files.items() if "/deps/" not in k}
    code = "exports.handler = async (event, context) => ({ ric: event, id: context.awsRequestId });\n"
    bootstrap = "#!/bin/sh\ncd /var/task\nexec node node_modules/aws-lambda-ric/index.mjs index.handler\n"
    create(lam, name, zipped(files | {"index.js": code, "bootstrap*": bootstrap}), Runtime="provided.al2023", Handler="index.handler", Timeout=20)
    check(lam, name)


def test_rust_lambda_runtime(lam, name):
    subprocess.run(
        [os.environ.get("CARGO", "cargo"), "build", "--quiet", "--locked", "--package", "lambda-runtime-function"],
        cwd=ROOT, check=True,
    )
    binary = (ROOT / "target/debug/lambda-runtime-function").read_bytes()
    create(lam, name, zipped({"bootstrap*": binary}), Runtime="provided.al2023")
    check(lam, name)
