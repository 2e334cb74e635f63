"""What a WebAssembly component sees of the host: nothing that it was not given."""

import socket

import pytest

from harness import wait_until
from inside import INTERNAL, NAMED, listener
from wasm import ask, body_of, create_component, quoted, told, wasm_node
from wasm_fort import fort, fort_lam  # noqa: F401 (fixtures)


@pytest.fixture(scope="module")
def inmate(fort_lam):
    """The guest with nothing granted."""
    create_component(fort_lam, "wasm-inmate", Environment={"Variables": {"OWN": "own"}})
    return "wasm-inmate"


@pytest.fixture(scope="module")
def has_tmp(fort):
    """File systems are made by the node alone: an account's process has no privilege to."""
    if "per-account" in (fort.data / "hearth.toml").read_text():
        pytest.skip("components in an account's process can't have a /tmp; the refusal has a test of its own")


@pytest.fixture(scope="module")
def with_tmp(has_tmp, fort_lam):
    """The guest with a /tmp of its own, kept for several requests."""
    create_component(fort_lam, "wasm-with-tmp", Tags={"hearth:tmp": "private", "hearth:wasm-reuse": "100"})
    return "wasm-with-tmp"


def test_no_environment_of_the_host(fort, fort_lam, inmate, environment_canary):
    environment = told(fort_lam, inmate, "/env")
    assert environment.pop("OWN") == "own"
    assert environment_canary not in str(environment) and fort.key()[1] not in str(environment)
    strange = [name for name in environment if not name.startswith(("AWS_", "_X_AMZN", "LAMBDA_", "TZ", "_HANDLER", "LANG"))]
    assert not strange, strange


def test_no_arguments(fort_lam, inmate):
    assert len(told(fort_lam, inmate, "/args")) <= 1


def test_no_files_without_a_grant(fort_lam, inmate):
    found = told(fort_lam, inmate, "/tmp")
    assert found.pop("preopens") == "ok "
    assert found and all(result.startswith("refused") for result in found.values()), found


def test_tmp_is_all_that_there_is(fort_lam, with_tmp):
    found = told(fort_lam, with_tmp, "/tmp")
    assert found.pop("preopens") == "ok /tmp"
    for allowed in ("write", "read", "list", "remove"):
        assert found.pop(allowed).startswith("ok"), allowed
    # A link may be made where the wall lets it; it must lead nowhere.
    escaped = {name: result for name, result in found.items() if not result.startswith("refused")}
    assert not escaped, escaped


def test_tmp_is_of_one_instance(fort_lam, with_tmp):
    """Neither another function, nor the host's own /tmp: what is written is not seen elsewhere, and gone with the instance."""
    create_component(fort_lam, "wasm-tmp-fresh", Tags={"hearth:tmp": "private"})
    for _ in range(2):
        assert told(fort_lam, "wasm-tmp-fresh", "/tmp")["list"] == "ok own"


def test_tmp_is_bounded(has_tmp, fort, fort_lam):
    create_component(fort_lam, "wasm-tmp-full", Tags={"hearth:tmp": "private"}, EphemeralStorage={"Size": 512}, Timeout=300, MemorySize=1769)
    filled = told(fort_lam, "wasm-tmp-full", "/fill-tmp")
    assert 0 < int(filled["mib"]) <= 512 and filled["refused"] != "never", filled
    assert filled["files"] != "None", "the number of files is bounded, too"
    # It is gone with the instance.
    left = [path for path in fort.data.rglob("full") if path.is_file()]
    assert not left


def test_a_tmp_that_can_not_be_had_is_said(tmp_path):
    with wasm_node(tmp_path, "per-account") as node:
        lam = node.client("lambda")
        create_component(lam, "no-tmp", Tags={"hearth:tmp": "private"}, wait=False)
        found = wait_until(lambda: (f := lam.get_function_configuration(FunctionName="no-tmp"))["State"] != "Pending" and f, "an end")
    assert found["State"] == "Failed" and "/tmp" in found["StateReason"], found


def test_no_sockets(fort_lam, inmate):
    with listener() as (port, heard):
        found = told(fort_lam, inmate, f"/sockets?address=127.0.0.1:{port}")
    assert len(found) == 5 and all(result.startswith("refused") for result in found.values()), found
    assert not heard


@pytest.mark.parametrize("allowed", ["nothing", "named"])
def test_requests_never_reach_internal_addresses(fort_lam, allowed):
    """Not even where they are allowed by name: that a host is listed does not open an address that is closed."""
    name = f"wasm-fetch-{allowed}"
    with listener() as (port, heard):
        hosts = " ".join(f"{host}:{port}" for host in NAMED)
        create_component(fort_lam, name, Tags={"hearth:allowed-hosts": hosts} if allowed == "named" else {}, Timeout=60)
        for host in INTERNAL:
            found = told(fort_lam, name, f"/fetch?url={quoted(f'http://{host}:{port}/')}")
            assert "error" in found and "secret" not in str(found), (host, found)
    assert not heard, heard


def test_a_name_that_leads_inside_is_no_way_in(fort_lam):
    """The host's own name resolves to an address of the host: allowed by name, refused by address."""
    name = socket.gethostname()
    with listener() as (port, heard):
        create_component(fort_lam, "wasm-fetch-name", Tags={"hearth:allowed-hosts": f"{name}:{port} localhost:{port}"})
        for host in (name, "localhost"):
            found = told(fort_lam, "wasm-fetch-name", f"/fetch?url={quoted(f'http://{host}:{port}/')}")
            assert "error" in found, (host, found)
    assert not heard


def test_the_node_itself_is_no_host(fort, fort_lam):
    create_component(fort_lam, "wasm-fetch-node", Tags={"hearth:allowed-hosts": fort.endpoint.removeprefix("http://")})
    found = told(fort_lam, "wasm-fetch-node", f"/fetch?url={quoted(fort.endpoint + '/2015-03-31/functions')}")
    assert "error" in found, found


def test_unknown_schemes_are_refused(fort_lam, inmate):
    for url in ("file:///etc/passwd", "ftp://127.0.0.1/", "unix:///run/x.sock/"):
        assert "error" in told(fort_lam, inmate, f"/fetch?url={quoted(url)}"), url


def test_stores_are_apart(fort_lam):
    """A function's own store is nobody else's; a shared one is shared by name; without a grant there is none."""
    create_component(fort_lam, "wasm-store-none", "store")
    for function in ("a", "b"):
        create_component(fort_lam, f"wasm-store-own-{function}", "store", Tags={"hearth:keyvalue": "function"})
        create_component(fort_lam, f"wasm-store-shared-{function}", "store", Tags={"hearth:keyvalue": "common other"})

    def op(function, target):
        payload, answer = ask(fort_lam, f"wasm-store-{function}", target)
        assert "FunctionError" not in answer, payload
        return payload["statusCode"], body_of(payload).decode()

    assert op("none", "/get?bucket=&key=k")[0] == 500
    assert op("own-a", "/set?bucket=&key=k&value=mine") == (200, "ok")
    assert op("own-a", "/get?bucket=&key=k") == (200, "some mine")
    assert op("own-b", "/get?bucket=&key=k") == (200, "none")
    assert op("shared-a", "/set?bucket=common&key=k&value=ours") == (200, "ok")
    assert op("shared-b", "/get?bucket=common&key=k") == (200, "some ours")
    assert op("shared-b", "/get?bucket=other&key=k") == (200, "none")
    for bucket in ("common", "wasm-store-own-a", "../own", "own-a"):
        assert op("own-b", f"/get?bucket={bucket}&key=k")[0] == 500, bucket
    assert op("shared-a", "/get?bucket=third&key=k")[0] == 500
    assert op("own-a", "/increment?bucket=&key=n&value=2") == (200, "2")
    assert op("own-a", "/increment?bucket=&key=n&value=3") == (200, "5")
    assert op("own-a", "/delete?bucket=&key=k") == (200, "ok")
    assert op("own-a", "/exists?bucket=&key=k") == (200, "false")


def test_randomness_and_clocks(fort_lam, inmate):
    first, second = told(fort_lam, inmate, "/random?bytes=64"), told(fort_lam, inmate, "/random?bytes=64")
    assert first["bytes"] == "64" and first["differs"] == "true" and first["number"] != second["number"]
    clock = told(fort_lam, inmate, "/clock")
    assert clock["forward"] == "true" and int(clock["wall"]) > 1_700_000_000
