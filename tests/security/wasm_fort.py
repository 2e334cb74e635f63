"""The node that hostile components attack, once for each kind of process that components run in.

A module that imports `fort` and `fort_lam` from here has them in place of those that all security tests share.
"""

import pytest

from wasm import PROCESSES, wasm_node


@pytest.fixture(scope="module", params=PROCESSES)
def fort(tmp_path_factory, environment_canary, request):
    """The node that is attacked, with a secret in its own environment."""
    folder, secret = tmp_path_factory.mktemp("fort"), {"SECRET_OF_THE_HOST": environment_canary}
    with wasm_node(folder, request.param, environment=secret) as node:
        yield node


@pytest.fixture(scope="module")
def fort_lam(fort):
    return fort.client("lambda")
