"""JavaScript workers for tests: a node that has the engine, and functions of the runtime `worker`."""

import os
from pathlib import Path

import pytest

from harness import ROLE, zipped

MODULES = Path(os.environ.get("HEARTH_TEST_NPM", "target/tools/tests/npm")) / "node_modules"


def engine():
    """A folder to put on PATH. Skips the test where the engine is not installed."""
    folder = (MODULES / ".bin").resolve()
    if not (folder / "workerd").exists():
        pytest.skip("the npm package workerd is not installed in the npm folder of the tests")
    return folder


def with_engine():
    """The environment of a node that finds the engine."""
    return {"PATH": f"{engine()}:{os.environ['PATH']}"}


def create_worker(lam, name, code, wait=True, **options):
    """Creates a worker of one module, or of {name: content}, and waits until it is ready."""
    files = code if isinstance(code, dict) else {"worker.js": code}
    answer = lam.create_function(
        **{"FunctionName": name, "Runtime": "worker", "Role": ROLE, "Code": {"ZipFile": zipped(files)}, **options}
    )
    if wait:
        lam.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    return answer


def refused(lam, name, code, **options):
    """Why a worker can't be made ready."""
    from harness import wait_until

    create_worker(lam, name, code, wait=False, **options)

    def state():
        configuration = lam.get_function_configuration(FunctionName=name)
        return configuration["State"] != "Pending" and configuration

    configuration = wait_until(state, f"the end of {name}'s creation")
    assert configuration["State"] == "Failed", configuration
    return configuration["StateReason"]
