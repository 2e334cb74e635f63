"""WebAssembly components as functions: packages, life, logs, versions, reuse, restarts, URLs."""

import base64
import http.client
import json
import threading

import pytest

from harness import ROLE, error_of, invoke, wait_until, zipped
from wasm import ask, as_json, body_of, component, create_component, failure, told, url_event, url_of


def log_of(answer):
    return base64.b64decode(answer["LogResult"]).decode()


def test_shapes_and_packages(lam, name):
    """Both versions of HTTP and a command; by itself, in a zip, and recognised under another runtime's name."""
    packages = {
        "bare": {"guest": "hello"},
        "zip": {"guest": zipped({"any-name.wasm": component("hello"), "data/notes.txt": "not code"})},
        "provided": {"guest": zipped({"hello.wasm": component("hello")}), "Runtime": "provided.al2023", "Handler": "none"},
        "p3": {"guest": "hello-p3"},
    }
    for kind, options in packages.items():
        create_component(lam, f"{name}-{kind}", **options)
        payload, answer = ask(lam, f"{name}-{kind}", "/")
        assert "FunctionError" not in answer, (kind, payload)
        assert payload["statusCode"] == 200 and body_of(payload) == b"Hello, World!\n", kind
    create_component(lam, f"{name}-c", "c-hello")
    assert as_json(ask(lam, f"{name}-c", "/Ada")[0]) == {"message": "Hello, Ada!", "from": "C"}


def test_a_plain_payload_is_a_post(lam, name):
    create_component(lam, name)
    payload, _ = invoke(lam, name, {"any": ["JSON", 1]})
    assert payload["statusCode"] == 404, "the guest has nothing at /"
    create_component(lam, f"{name}-echo", "command")
    payload, _ = invoke(lam, f"{name}-echo", {"any": ["JSON", "ü"]})
    assert payload["event"] == {"any": ["JSON", "ü"]}


def test_a_command(lam, name):
    create_component(lam, name, "command", Environment={"Variables": {"OWN": "x"}})
    payload, answer = invoke(lam, name, {"log": "to the log"}, LogType="Tail")
    assert "FunctionError" not in answer
    assert payload["event"] == {"log": "to the log"} and "OWN" in payload["environment"]
    assert "\nto the log\n" in log_of(answer)
    assert invoke(lam, name, {"mode": "silent"})[0] is None
    payload, answer = invoke(lam, name, {"exit": 3, "log": "because of this"})
    assert answer["FunctionError"] == "Unhandled" and payload["errorType"] == "Runtime.ExitError"
    # WASI 0.2 knows success and failure alone: any other number arrives as 1.
    assert payload["errorMessage"].endswith("exit status 1: because of this"), payload
    payload, answer = invoke(lam, name, {"mode": "panic"})
    assert answer["FunctionError"] == "Unhandled" and payload["errorType"] == "Runtime.ExitError"
    payload, answer = invoke(lam, name, {"write_mib": 8})
    assert payload["errorType"] == "Function.ResponseSizeTooLarge"
    assert invoke(lam, name, 1)[0]["event"] == 1


def test_log_and_metering(lam, name):
    create_component(lam, name, MemorySize=192)
    _, answer = ask(lam, name, "/log?lines=2", LogType="Tail")
    request = answer["ResponseMetadata"]["RequestId"]
    log = log_of(answer)
    parts = [
        f"START RequestId: {request} Version: $LATEST", "stdout 0", "stderr 0", "stdout 1", "stderr 1", f"END RequestId: {request}",
        f"REPORT RequestId: {request}\tDuration: ",
    ]
    places = [log.index(part) for part in parts]
    assert places == sorted(places), log
    assert "Memory Size: 192 MB\tMax Memory Used: " in log and "Billed Duration: " in log
    used = int(log.split("Max Memory Used: ")[1].split(" ")[0])
    assert 1 <= used <= 192
    _, answer = ask(lam, name, "/grow?mib=80", LogType="Tail")
    assert 80 <= int(log_of(answer).split("Max Memory Used: ")[1].split(" ")[0]) <= 192


def test_what_a_function_is_told(lam, name):
    create_component(lam, name, Environment={"Variables": {"OWN": "ä b"}})
    environment = told(lam, name, "/env")
    assert environment["OWN"] == "ä b" and environment["AWS_LAMBDA_FUNCTION_NAME"] == name
    headers = told(lam, name, "/headers?a=%20b&a=c", headers={"x-own": "1", "host": "example.test", "content-length": "99"})
    assert headers["x-own"] == "1" and '"/headers?a=%20b&a=c"' in headers[":path"] and "example.test" in headers[":authority"]
    assert "content-length" not in headers and "Get" in headers[":method"]
    payload, _ = ask(lam, name, "/echo", method="POST", body=bytes(range(256)))
    assert body_of(payload) == bytes(range(256))
    for code in (201, 302, 404, 500, 599):
        payload, answer = ask(lam, name, f"/status?code={code}")
        assert payload["statusCode"] == code and "FunctionError" not in answer


def test_versions_and_aliases(lam, name):
    create_component(lam, name, "hello", Publish=True)
    before = body_of(ask(lam, name, "/")[0])
    lam.update_function_code(FunctionName=name, ZipFile=component("c-hello"))
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    lam.publish_version(FunctionName=name)
    lam.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="2", WaiterConfig={"Delay": 1})
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    assert body_of(ask(lam, name, "/", Qualifier="live")[0]) == before
    assert as_json(ask(lam, name, "/Bo")[0])["message"] == "Hello, Bo!"
    lam.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    payload, answer = ask(lam, name, "/Cy", Qualifier="live")
    assert as_json(payload)["message"] == "Hello, Cy!" and answer["ExecutedVersion"] == "2"
    # From a component to another runtime, and back.
    lam.delete_function(FunctionName=name)
    assert error_of(ask, lam, name, "/")[0] == "ResourceNotFoundException"


def test_the_aws_command_line(node, name, tmp_path):
    # (The AWS command line itself takes zips alone.)
    package, output = tmp_path / "hello.zip", tmp_path / "out.json"
    package.write_bytes(zipped({"hello.wasm": component("c-hello")}))
    node.aws("lambda", "create-function", "--function-name", name, "--runtime", "wasm", "--role", ROLE, "--zip-file", f"fileb://{package}")
    node.aws("lambda", "wait", "function-active-v2", "--function-name", name)
    node.aws("lambda", "invoke", "--function-name", name, "--payload", json.dumps(url_event("/Ada")), str(output))
    assert as_json(json.loads(output.read_text()))["message"] == "Hello, Ada!"
    events = node.aws("logs", "filter-log-events", "--log-group-name", f"/aws/lambda/{name}", "--filter-pattern", "greeting", "--output", "json")
    assert [event["message"].strip() for event in json.loads(events.stdout)["events"]] == ["greeting Ada"]
    node.aws("lambda", "delete-function", "--function-name", name)


def truncated():
    return component("abuse")[: len(component("abuse")) // 2]


def two():
    return zipped({"a.wasm": component("hello"), "b.wasm": component("hello")})


BAD = {
    "core module": (lambda: component("core"), ["core", "module"]),
    "unknown imports": (lambda: component("unknown-import"), ["acme:vault/secrets", "acme:vault/audit"]),
    "no entry": (lambda: component("no-entry"), ["wasi:http", "wasi:cli/run"]),
    "truncated": (truncated, []),
    "garbage": (lambda: component("hello")[:8] + b"\x7f" * 4000, []),
    "two components": (two, ["a.wasm", "b.wasm"]),
    "none": (lambda: zipped({"app.py": "def handler(e, c): pass"}), ["no WebAssembly component"]),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_components_fail_with_a_reason(lam, name, what):
    package, words = BAD[what]
    create_component(lam, name, package(), wait=False)
    state = wait_until(
        lambda: (found := lam.get_function_configuration(FunctionName=name))["State"] != "Pending" and found, "the end of Pending"
    )
    assert state["State"] == "Failed" and state["StateReasonCode"], state
    assert len(state["StateReason"]) > 10 and all(word in state["StateReason"] for word in words), state["StateReason"]
    assert error_of(ask, lam, name, "/")[1] in (400, 409, 502)
    # What was wrong can be put right.
    lam.update_function_code(FunctionName=name, ZipFile=component("hello"))
    wait_until(lambda: lam.get_function_configuration(FunctionName=name)["State"] == "Active", "Active")
    assert body_of(ask(lam, name, "/")[0]) == b"Hello, World!\n"


def test_an_export_of_the_wrong_type(lam, name):
    create_component(lam, name, "wrong-type", wait=False)
    state = wait_until(
        lambda: (found := lam.get_function_configuration(FunctionName=name))["State"] != "Pending" and found, "the end of Pending"
    )
    assert state["State"] == "Failed" and "wasi:cli/run" in state["StateReason"], state


def test_a_failed_update_leaves_what_runs(lam, name):
    create_component(lam, name, "hello", Publish=True)
    lam.update_function_code(FunctionName=name, ZipFile=component("unknown-import"))
    state = wait_until(
        lambda: (found := lam.get_function_configuration(FunctionName=name))["LastUpdateStatus"] != "InProgress" and found, "the update's end"
    )
    assert state["LastUpdateStatus"] == "Failed" and "acme:vault/secrets" in state["LastUpdateStatusReason"]
    assert body_of(ask(lam, name, "/", Qualifier="1")[0]) == b"Hello, World!\n"


def test_tags_are_checked(lam, name):
    for tags in ({"hearth:wasm-reuse": "0"}, {"hearth:wasm-reuse": "many"}, {"hearth:isolation": "process"}, {"hearth:wasm-resue": "2"}):
        assert error_of(create_component, lam, name, "hello", Tags=tags)[0] == "InvalidParameterValueException", tags


def test_a_fresh_instance_for_every_request(lam, name):
    create_component(lam, name)
    assert [told(lam, name, "/counter") for _ in range(5)] == [{"1": ""}] * 5


def test_bounded_reuse(lam, name):
    create_component(lam, name, Tags={"hearth:wasm-reuse": "3"})
    counts = [int(next(iter(told(lam, name, "/counter")))) for _ in range(7)]
    assert counts == [1, 2, 3, 1, 2, 3, 1]
    # An instance that failed serves nobody else.
    failure(lam, name, "/trap")
    assert "1" in told(lam, name, "/counter")
    # Nor does one of another version's configuration.
    lam.update_function_configuration(FunctionName=name, Environment={"Variables": {"NEW": "1"}})
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    assert "1" in told(lam, name, "/counter")
    assert "NEW" in told(lam, name, "/env")


def test_many_at_once(lam, node, name):
    """Each gets its own answer, whether instances are fresh or reused."""
    create_component(lam, name)
    create_component(lam, f"{name}-reuse", Tags={"hearth:wasm-reuse": "100"})
    wrong = []

    def caller(number):
        client = node.client("lambda")
        for turn in range(8):
            text = f"{number}-{turn}-".encode() * 500
            for function in (name, f"{name}-reuse"):
                payload, answer = ask(client, function, "/echo", method="POST", body=text)
                if "FunctionError" in answer or body_of(payload) != text:
                    wrong.append((number, turn, payload))

    callers = [threading.Thread(target=caller, args=(number,)) for number in range(8)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert not wrong, wrong[:2]


def test_reserved_concurrency(lam, node, name):
    create_component(lam, name, Timeout=60)
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    sleeper = threading.Thread(target=lambda: ask(node.client("lambda"), name, "/sleep?ms=3000"))
    sleeper.start()
    wait_until(lambda: "START RequestId" in node.hearth("logs", name, check=False).stdout, "the first invocation's start")
    assert error_of(ask, lam, name, "/counter")[0] == "TooManyRequestsException"
    sleeper.join()
    assert told(lam, name, "/counter") == {"1": ""}


def compiled(node):
    """Compiled components on the disk, each with what tells one writing from another: files are replaced, not changed."""
    return {path: path.stat().st_ino for path in (node.data / "wasm-cache").glob("*.cwasm")}


def test_a_restart_uses_what_was_compiled(new_node):
    node = new_node()
    create_component(node.client("lambda"), "kept", "command")
    before = compiled(node)
    assert before, "compiled code in the data folder"
    node.stop()
    node.start()
    assert invoke(node.client("lambda"), "kept", 1)[0]["event"] == 1
    assert compiled(node) == before


def flipped(content):
    return bytes(byte ^ 0xFF if at > 64 and at % 997 == 0 else byte for at, byte in enumerate(content))


def test_damaged_code_is_rebuilt_and_never_run(new_node):
    """Bytes flipped, a file cut, a file emptied, another component's code under this one's name."""
    node = new_node()
    lam = node.client("lambda")
    made = {}
    for guest in ("hello", "command", "c-hello", "hello-p3"):
        before = compiled(node)
        create_component(lam, guest, guest)
        [made[guest]] = compiled(node).keys() - before.keys()
    node.stop()
    whole = {guest: path.read_bytes() for guest, path in made.items()}
    damaged = {
        "hello": flipped(whole["hello"]),
        "command": whole["command"][: len(whole["command"]) // 2],
        "c-hello": b"",
        "hello-p3": whole["hello"],
    }
    for guest, content in damaged.items():
        made[guest].chmod(0o600)
        made[guest].write_bytes(content)
    # The node must say what it found.
    node.expected_log.append("wasm|component|compiled")
    node.start()
    lam = node.client("lambda")
    for guest in ("hello", "hello-p3"):
        assert body_of(ask(lam, guest, "/")[0]) == b"Hello, World!\n"
    assert as_json(ask(lam, "c-hello", "/Ada")[0])["message"] == "Hello, Ada!"
    assert invoke(lam, "command", 1)[0]["event"] == 1
    for guest, content in damaged.items():
        assert made[guest].read_bytes() != content, f"{guest} was rebuilt"


def test_kill_9_while_it_compiles(new_node):
    node = new_node()
    create_component(node.client("lambda"), "interrupted", wait=False)
    node.kill()
    node.start()
    lam = node.client("lambda")
    wait_until(lambda: lam.get_function_configuration(FunctionName="interrupted")["State"] == "Active", "Active")
    assert told(lam, "interrupted", "/counter") == {"1": ""}


def test_a_url_streams_both_ways(node, lam, name):
    """What is sent comes back before the request has ended: neither direction waits for the whole."""
    create_component(lam, name)
    host, port, prefix, _ = url_of(node, lam, name)
    connection = http.client.HTTPConnection(host, port, timeout=30)
    connection.putrequest("POST", f"{prefix}/echo", skip_accept_encoding=True)
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    connection.send(b"5\r\nfirst\r\n")
    response = connection.getresponse()
    assert response.status == 200 and response.read1(5) == b"first"
    connection.send(b"6\r\nsecond\r\n0\r\n\r\n")
    assert response.read() == b"second"
    connection.close()


def test_a_url_shows_the_beginning_of_what_never_ends(node, lam, name):
    create_component(lam, name, Timeout=2)
    host, port, prefix, _ = url_of(node, lam, name)
    connection = http.client.HTTPConnection(host, port, timeout=30)
    connection.request("GET", f"{prefix}/never-finish")
    response = connection.getresponse()
    assert response.status == 200 and response.read1(6) == b"begun\n"
    # It ends at the deadline, and must not look whole.
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        response.read()
    connection.close()
    assert "Task timed out after 2.00 seconds" in node.hearth("logs", name).stdout


def test_a_large_stream(node, lam, name):
    create_component(lam, name)
    host, port, prefix, _ = url_of(node, lam, name)
    connection = http.client.HTTPConnection(host, port, timeout=60)
    connection.request("GET", f"{prefix}/big?mib=16")
    response = connection.getresponse()
    size = 0
    while part := response.read1(1 << 16):
        assert not part.strip(b"x")
        size += len(part)
    assert size == 16 << 20
    connection.close()
