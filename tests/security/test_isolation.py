"""What one function leaves behind is never found by another, nor by another version of it (INV-1)."""

import secrets
import threading

import pytest

from harness import create, invoke, python_zip

# Each environment keeps a secret wherever code can keep one, and looks for those of others.
KEEPER = """
import ctypes, glob, os, socket, sys

KEPT = []
LIBC = ctypes.CDLL(None, use_errno=True)
LABEL = "label"

def places():
    found = {}
    for folder in ("/tmp", "/dev/shm", "/var/tmp", "/var/task", "/opt", "/run"):
        for path in glob.glob(folder + "/**", recursive=True):
            if os.path.isfile(path) and "secret" in os.path.basename(path):
                found[path] = open(path).read()
    if KEPT:
        found["memory"] = KEPT[0]
    if "KEPT" in os.environ:
        found["environment"] = os.environ["KEPT"]
    shared = LIBC.shmget(4711, 0, 0)
    if shared != -1:
        found["shared memory"] = shared
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect("\\0kept")
            found["abstract socket"] = "connected"
    except OSError:
        pass
    try:
        with socket.create_connection(("127.0.0.1", 8099)) as connection:
            found["port"] = "connected"
    except OSError:
        pass
    return found

LISTENERS = []

def keep(secret):
    with open("/tmp/secret", "w") as file:
        file.write(secret)
    KEPT.append(secret)
    os.environ["KEPT"] = secret
    assert LIBC.shmget(4711, 4096, 0o1666) != -1
    for address, family in (("\\0kept", socket.AF_UNIX), (("127.0.0.1", 8099), socket.AF_INET)):
        LISTENERS.append(socket.socket(family))
        LISTENERS[-1].bind(address)
        LISTENERS[-1].listen()

def handler(event, context):
    before = places()
    if event.get("keep"):
        keep(event["keep"])
    return {"found": before, "function": context.function_name, "version": context.function_version, "label": LABEL}
"""

EVERYWHERE = {"/tmp/secret", "memory", "environment", "shared memory", "abstract socket", "port"}


def found(lam, function, event=None, **options):
    payload, answer = invoke(lam, function, event or {}, **options)
    assert "FunctionError" not in answer, payload
    return payload


@pytest.fixture(scope="module")
def lam(fort_lam):
    return fort_lam


def test_what_an_environment_keeps_it_finds_again(lam):
    """The control: the keeper works."""
    create(lam, "keeper", KEEPER)
    secret = secrets.token_hex(8)
    assert found(lam, "keeper", {"keep": secret})["found"] == {}
    again = found(lam, "keeper")["found"]
    assert set(again) == EVERYWHERE and again["memory"] == secret


def test_another_function_finds_nothing(lam):
    """The same package, so the same unpacked code: still environments of their own, all alive at the same time."""
    names = ["residue-%d" % n for n in range(6)]
    for name in names:
        create(lam, name, KEEPER, wait=False)
    for name in names:
        lam.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    kept = {name: secrets.token_hex(8) for name in names}
    for name in names:
        assert found(lam, name, {"keep": kept[name]})["found"] == {}
    for name in reversed(names):
        payload = found(lam, name)
        assert payload["function"] == name
        assert payload["found"]["memory"] == payload["found"]["/tmp/secret"] == kept[name]


def test_another_version_finds_nothing(lam):
    name = "versions-apart"
    create(lam, name, KEEPER)
    assert found(lam, name, {"keep": "of-latest"})["found"] == {}
    lam.publish_version(FunctionName=name)
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    first = found(lam, name, {"keep": "of-1"}, Qualifier="1")
    assert (first["found"], first["version"]) == ({}, "1")
    # The alias is the version, and finds what the version keeps.
    assert found(lam, name, Qualifier="live")["found"]["memory"] == "of-1"
    assert found(lam, name)["found"]["memory"] == "of-latest"
    # New code, new environment; the version keeps its own.
    lam.update_function_code(FunctionName=name, ZipFile=python_zip(KEEPER.replace('LABEL = "label"', 'LABEL = "second"')))
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    latest = found(lam, name)
    assert (latest["found"], latest["label"]) == ({}, "second")
    assert found(lam, name, Qualifier="1")["label"] == "label"


def test_a_deleted_functions_namesake_finds_nothing(lam):
    name = "namesake"
    create(lam, name, KEEPER)
    found(lam, name, {"keep": "of-the-first"})
    lam.delete_function(FunctionName=name)
    create(lam, name, KEEPER)
    assert found(lam, name)["found"] == {}


def test_new_settings_mean_a_new_environment(lam):
    name = "settings"
    create(lam, name, KEEPER, Environment={"Variables": {"SETTING": "1"}})
    found(lam, name, {"keep": "before"})
    lam.update_function_configuration(FunctionName=name, Environment={"Variables": {"SETTING": "2"}})
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    assert found(lam, name)["found"] == {}


def test_two_environments_of_one_function_are_apart(fort):
    lam = fort.client("lambda")
    code = KEEPER.replace("def handler(", "def look(") + (
        "\nimport time\n\ndef handler(event, context):\n"
        "    answer = look(event, context)\n"
        "    # Both are at work at once: the other one's answer is not out before this one has begun.\n"
        "    time.sleep(event['seconds'])\n"
        "    return answer\n"
    )
    create(lam, "twins", code, Timeout=20)
    answers = []

    def call():
        answers.append(found(fort.client("lambda"), "twins", {"keep": secrets.token_hex(8), "seconds": 1}))

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer["found"] for answer in answers] == [{}, {}]


def test_a_killed_environments_successor_finds_nothing(lam):
    code = KEEPER.replace("def handler(", "def look(") + (
        "\n\ndef handler(event, context):\n    answer = look(event, context)\n    if event.get('die'):\n        os._exit(1)\n    return answer\n"
    )
    create(lam, "successor", code)
    payload, answer = invoke(lam, "successor", {"keep": "of-the-dead", "die": True})
    assert answer["FunctionError"] == "Unhandled" and payload["errorType"] == "Runtime.ExitError"
    kept = found(lam, "successor")["found"]
    assert set(kept) - {"/tmp/secret"} == set(), kept


def test_a_function_sees_its_own_environment_variables_alone(lam):
    mine, yours = secrets.token_hex(8), secrets.token_hex(8)
    code = (
        "import os\n\ndef handler(event, context):\n    seen = ''.join(k + '=' + v for k, v in os.environ.items())\n"
        "    for pid in os.listdir('/proc'):\n        try:\n            seen += open('/proc/%s/environ' % pid, errors='replace').read()\n        except OSError:\n            pass\n"
        "    return seen\n"
    )
    create(lam, "mine", code, Environment={"Variables": {"SECRET": mine}})
    create(lam, "yours", code, Environment={"Variables": {"SECRET": yours}})
    seen = {name: invoke(lam, name)[0] for name in ("mine", "yours")}
    assert mine in seen["mine"] and yours not in seen["mine"]
    assert yours in seen["yours"] and mine not in seen["yours"]
