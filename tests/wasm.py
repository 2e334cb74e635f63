"""WebAssembly guests of the tests, and how they are asked."""

import base64
import functools
import json
import urllib.parse
from pathlib import Path

from harness import ROLE, Node, invoke

FIXTURES = Path(__file__).resolve().parent / "fixtures/wasm"
# Where components run: in the node's own process, or in one for each account behind the process wall.
PROCESSES = ("shared", "per-account")


def wasm_node(folder, process, **settings):
    """A node whose components run in a process of that kind; not started yet."""
    (folder / "hearth.toml").write_text(f'[wasm]\nprocess = "{process}"\n')
    return Node(folder, **settings)


@functools.cache
def component(guest):
    """The bytes of a prebuilt guest."""
    return (FIXTURES / f"{guest}.wasm").read_bytes()


def create_component(lam, name, guest="abuse", wait=True, **options):
    """Creates a function of a guest's name, or of a package's bytes, and waits until it is ready."""
    package = component(guest) if isinstance(guest, str) else guest
    request = {"FunctionName": name, "Runtime": "wasm", "Role": ROLE, "Code": {"ZipFile": package}, "Timeout": 20, **options}
    answer = lam.create_function(**request)
    if wait:
        lam.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    return answer


def url_event(target, method="GET", body=None, headers=None):
    """A request as a function URL's event, payload format 2.0."""
    path, _, query = target.partition("?")
    event = {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers or {},
        "requestContext": {"http": {"method": method, "path": path}},
    }
    if body is not None:
        event |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    return event


def ask(lam, name, target, method="GET", body=None, headers=None, **options):
    """Sends a request as an event: (payload, answer of the API)."""
    return invoke(lam, name, url_event(target, method, body, headers), **options)


def body_of(payload):
    """The body of a response that came as an event's result."""
    body = payload.get("body", "")
    return base64.b64decode(body) if payload.get("isBase64Encoded") else body.encode()


def told(lam, name, target, **options):
    """The lines `name=value` that a guest answers with, as pairs in a dictionary. The function must not fail."""
    payload, answer = ask(lam, name, target, **options)
    assert "FunctionError" not in answer, payload
    assert payload["statusCode"] == 200, payload
    pairs = (line.partition("=") for line in body_of(payload).decode().splitlines())
    return {key: value for key, _, value in pairs}


def failure(lam, name, target, **options):
    """The error object of a function that must fail."""
    payload, answer = ask(lam, name, target, **options)
    assert answer.get("FunctionError") == "Unhandled", payload
    return payload


def quoted(text):
    return urllib.parse.quote(text, safe="")


def url_of(node, lam, name):
    """A public function URL, as (host, port, path in front of the function's own, host name)."""
    made = lam.create_function_url_config(FunctionName=name, AuthType="NONE", InvokeMode="RESPONSE_STREAM")
    everyone = {"FunctionName": name, "Principal": "*"}
    lam.add_permission(StatementId="url", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE", **everyone)
    lam.add_permission(StatementId="invoke", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True, **everyone)
    identifier = urllib.parse.urlsplit(made["FunctionUrl"]).hostname.split(".")[0]
    host, port = node.endpoint.removeprefix("http://").rsplit(":", 1)
    return host, int(port), f"/_url/{identifier}", urllib.parse.urlsplit(made["FunctionUrl"]).netloc


def as_json(payload):
    """A JSON body of a response that came as an event's result, or the result itself."""
    return json.loads(body_of(payload)) if isinstance(payload, dict) and "statusCode" in payload else payload
