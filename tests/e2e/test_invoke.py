"""What a function sees and what its caller gets, with Hearth's own runtimes."""

import base64
import json
import threading

import pytest

from harness import NODE, PYTHON, create, error_of, invoke, zipped


def node_function(lam, name, code, file="index.mjs", **options):
    return create(lam, name, zipped({file: code}), **({"Runtime": NODE, "Handler": "index.handler"} | options))


def log_of(answer):
    return base64.b64decode(answer["LogResult"]).decode()


def test_python_context_environment_and_log(lam, name):
    create(
        lam,
        name,
        """
import os, logging
logging.getLogger().setLevel("INFO")

def handler(event, context):
    print("printed")
    logging.info("logged")
    keys = ["AB", "_HANDLER", "LAMBDA_TASK_ROOT", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_REGION", "AWS_EXECUTION_ENV", "TZ", "_X_AMZN_TRACE_ID"]
    return {
        "env": {k: os.environ.get(k) for k in keys},
        "cwd": os.getcwd(),
        "id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb,
        "left": context.get_remaining_time_in_millis(),
        "client": context.client_context.custom if context.client_context else None,
        "secrets": all(os.environ.get(k) for k in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")),
    }
""",
        Environment={"Variables": {"AB": "ä b"}},
        Timeout=7,
        MemorySize=256,
    )
    context = base64.b64encode(json.dumps({"custom": {"k": "v"}}).encode()).decode()
    payload, answer = invoke(lam, name, {}, LogType="Tail", ClientContext=context)
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert payload["env"]["AB"] == "ä b"
    assert payload["env"]["_HANDLER"] == "app.handler"
    assert payload["env"]["AWS_LAMBDA_FUNCTION_NAME"] == name
    assert payload["env"]["AWS_LAMBDA_FUNCTION_VERSION"] == "$LATEST"
    assert payload["env"]["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert payload["env"]["AWS_REGION"] == "us-east-1"
    assert payload["env"]["AWS_EXECUTION_ENV"] == f"AWS_Lambda_{PYTHON}"
    assert payload["env"]["_X_AMZN_TRACE_ID"].startswith("Root=1-")
    assert payload["cwd"] == "/var/task"
    assert payload["id"] == request_id
    assert payload["memory"] in (256, "256")
    assert 0 < payload["left"] <= 7000
    assert payload["client"] == {"k": "v"}
    assert payload["secrets"]
    assert answer["ExecutedVersion"] == "$LATEST"
    log = log_of(answer)
    order = [f"START RequestId: {request_id} Version: $LATEST", "printed", "logged", f"END RequestId: {request_id}", f"REPORT RequestId: {request_id}\tDuration: "]
    places = [log.index(part) for part in order]
    assert places == sorted(places), log
    assert "Memory Size: 256 MB\tMax Memory Used: " in log
    assert "Init Duration: " in log
    assert "Init Duration: " not in log_of(invoke(lam, name, {}, LogType="Tail")[1])


@pytest.mark.parametrize(
    "file, code",
    [
        ("index.js", "exports.handler = async (event) => ({ got: event })"),
        ("index.js", "exports.handler = (event, context, callback) => setTimeout(() => callback(null, { got: event }), 1)"),
        ("index.js", "exports.handler = (event) => Promise.resolve({ got: event })"),
        ("index.mjs", "export const handler = async (event) => ({ got: event })"),
        ("index.cjs", "exports.handler = async (event) => ({ got: event })"),
    ],
)
def test_node_handlers(lam, name, file, code):
    node_function(lam, name, code, file)
    assert invoke(lam, name, {"a": [1, "ü"]})[0] == {"got": {"a": [1, "ü"]}}


def test_node_streaming_handlers_are_accepted(lam, name):
    node_function(
        lam,
        name,
        """
export const handler = awslambda.streamifyResponse(async (event, stream) => {
  stream.write('{"streamed":');
  stream.write(JSON.stringify(event));
  stream.end('}');
});
""",
    )
    assert invoke(lam, name, [1])[0] == {"streamed": [1]}


def test_errors_have_their_shape(lam, name):
    create(lam, name, "def handler(e, c):\n    raise ValueError('no')\n")
    payload, answer = invoke(lam, name)
    assert answer["StatusCode"] == 200
    assert answer["FunctionError"] == "Unhandled"
    assert (payload["errorType"], payload["errorMessage"]) == ("ValueError", "no")
    assert payload["stackTrace"]
    node_function(lam, name + "-n", "export const handler = async () => { throw new TypeError('no') }")
    payload, answer = invoke(lam, name + "-n")
    assert answer["FunctionError"] == "Unhandled"
    assert (payload["errorType"], payload["errorMessage"]) == ("TypeError", "no")
    assert payload["trace"]


BROKEN = {
    "import": ("import nothing_like_this\n", "Runtime.ImportModuleError"),
    "handler": ("x = 1\n", "Runtime.HandlerNotFound"),
    "syntax": ("def handler(:\n", "Runtime.UserCodeSyntaxError"),
    "marshal": ("def handler(e, c):\n    return {1, 2}\n", "Runtime.MarshalError"),
    "exit": ("import os\ndef handler(e, c):\n    os._exit(3)\n", "Runtime.ExitError"),
    "init exit": ("import os\nos._exit(3)\n", "Runtime.ExitError"),
    "signal": ("import os\ndef handler(e, c):\n    os.kill(os.getpid(), 9)\n", "Runtime.ExitError"),
    "memory": ("def handler(e, c):\n    x = b'x' * (1 << 30)\n    return len(x)\n", "Runtime.OutOfMemory"),
    "too large": ("def handler(e, c):\n    return 'x' * 7000000\n", "Function.ResponseSizeTooLarge"),
    "timeout": ("def handler(e, c):\n    while True: pass\n", "Sandbox.Timedout"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_bad_ends(lam, name, what):
    code, error_type = BROKEN[what]
    create(lam, name, code, Timeout=2 if what == "timeout" else 30)
    for _ in range(2):
        payload, answer = invoke(lam, name)
        assert answer["FunctionError"] == "Unhandled"
        assert payload["errorType"] == error_type, payload
        assert payload["errorMessage"]
    if what == "timeout":
        request_id = answer["ResponseMetadata"]["RequestId"]
        assert payload["errorMessage"].endswith("Task timed out after 2.00 seconds")
        assert request_id in payload["errorMessage"]


def test_an_environment_is_reused_and_its_state_kept(lam, name):
    create(lam, name, "n = 0\ndef handler(e, c):\n    global n\n    n += 1\n    return n\n")
    assert [invoke(lam, name)[0] for _ in range(5)] == [1, 2, 3, 4, 5]


def test_concurrent_invocations_have_environments_of_their_own(node, lam, name):
    """Eight handlers that each end only once all eight run: a queue for one environment would never end."""
    code = """
import os, socket, time

def handler(event, context):
    # A rendezvous outside of the function: one item of a listing each.
    import urllib.request
    deadline = time.monotonic() + 25
    me = open("/proc/sys/kernel/random/uuid").read().strip()
    api = __import__("rendezvous")
    return api.meet(event["name"], me, event["count"], deadline)
"""
    meet = """
import json, os, time, datetime, hashlib, hmac, urllib.request, urllib.parse

def call(method, path, body=b""):
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    host = urllib.parse.urlsplit(endpoint).netloc
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    region = os.environ["AWS_REGION"]
    headers = {"host": host, "x-amz-date": now, "x-amz-security-token": os.environ["AWS_SESSION_TOKEN"]}
    names = ";".join(sorted(headers))
    quoted = urllib.parse.quote(path, safe="/")
    canonical = "\\n".join([method, quoted, "", *(f"{k}:{headers[k]}" for k in sorted(headers)), "", names, hashlib.sha256(body).hexdigest()])
    scope = f"{now[:8]}/{region}/lambda/aws4_request"
    to_sign = "\\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={os.environ['AWS_ACCESS_KEY_ID']}/{scope}, SignedHeaders={names}, Signature={signature}"
    request = urllib.request.Request(endpoint + path, data=body or None, headers=headers, method=method)
    with urllib.request.urlopen(request) as response:
        text = response.read()
        return json.loads(text) if text else None

def meet(function, me, count, deadline):
    arn = f"arn:aws:lambda:{os.environ['AWS_REGION']}:000000000000:function:{function}"
    path = "/2017-03-31/tags/" + urllib.parse.quote(arn, safe="")
    while time.monotonic() < deadline:
        tags = call("GET", path)["Tags"]
        if me not in tags:
            call("POST", path, json.dumps({"Tags": {me: "here"}}).encode())
        elif len(tags) >= count:
            return len(tags)
        time.sleep(0.05)
    return None
"""
    create(lam, name + "-board")
    create(lam, name, zipped({"app.py": code, "rendezvous.py": meet}), Timeout=30, MemorySize=512)
    results = []
    event = {"name": name + "-board", "count": 8}
    threads = [threading.Thread(target=lambda: results.append(invoke(node.client("lambda"), name, event)[0])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [8] * 8


def test_tmp_has_its_size_and_the_rest_is_read_only(lam, name):
    create(
        lam,
        name,
        """
import errno

def attempt(path, size=1):
    try:
        with open(path, "wb") as file:
            for _ in range(size):
                file.write(b"x" * 1048576)
        return "written"
    except OSError as error:
        return errno.errorcode[error.errno]

def handler(event, context):
    return [attempt("/tmp/a", 400), attempt("/tmp/b", 200), attempt("/var/task/x"), attempt("/etc/x"), attempt("/usr/x")]
""",
        MemorySize=1769,
        Timeout=30,
    )
    small, full, *rest = invoke(lam, name)[0]
    assert (small, full) == ("written", "ENOSPC")
    assert set(rest) <= {"EROFS", "EACCES", "EPERM"}


def test_an_sdk_call_from_inside_reaches_the_own_account(lam, name):
    """The one door to the host: an SDK finds the endpoint and temporary credentials in its environment."""
    import importlib.util
    import pathlib

    packages = pathlib.Path(importlib.util.find_spec("boto3").origin).parent.parent
    needed = ("boto3", "botocore", "s3transfer", "jmespath", "urllib3", "dateutil", "six.py")
    files = {"app.py": "import boto3\nlam = boto3.client('lambda')\ndef handler(e, c):\n    import json\n    return json.loads(lam.invoke(FunctionName=e['to'], Payload=b'42')['Payload'].read())\n"}
    for item in needed:
        path = packages / item
        for file in [path] if path.is_file() else path.rglob("*"):
            inside = file.relative_to(packages).as_posix()
            skipped = "__pycache__" in inside or inside.startswith("botocore/data/") and not inside.startswith(("botocore/data/lambda/", "botocore/data/endpoints", "botocore/data/partitions", "botocore/data/sdk-default", "botocore/data/_retry"))
            if file.is_file() and not skipped:
                files[inside] = file.read_bytes()
    create(lam, name + "-callee")
    create(lam, name, zipped(files), Timeout=30, MemorySize=1024)
    payload, answer = invoke(lam, name, {"to": name + "-callee"})
    assert payload == 42, payload


def test_provided_runs_an_executable(lam, name):
    # A program in the language that is everywhere; it speaks the Runtime API by itself.
    bootstrap = """#!/usr/bin/env bash
while true; do
  exec 3<>/dev/tcp/127.0.0.1/9001
  printf 'GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' >&3
  id=''; length=0
  while IFS= read -r line <&3; do
    line=${line%$'\\r'}
    [ -z "$line" ] && break
    case "${line,,}" in
      lambda-runtime-aws-request-id:*) id=${line#*: } ;;
      content-length:*) length=${line#*: } ;;
    esac
  done
  read -r -N "$length" event <&3
  exec 3>&-
  exec 3<>/dev/tcp/127.0.0.1/9001
  body="{\\"shell\\":$event}"
  printf 'POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\nContent-Length: %s\\r\\n\\r\\n%s' "$id" "${#body}" "$body" >&3
  cat <&3 >/dev/null
  exec 3>&-
done
"""
    for runtime in ("provided", "provided.al2", "provided.al2023"):
        function = f"{name}-{runtime.replace('.', '-')}"
        create(lam, function, zipped({"bootstrap*": bootstrap}), Runtime=runtime, Handler="any")
        assert invoke(lam, function, {"a": 1})[0] == {"shell": {"a": 1}}
        assert invoke(lam, function, 2)[0] == {"shell": 2}


def test_a_bootstrap_that_is_missing_or_cannot_run(lam, name):
    create(lam, name, zipped({"readme": "x"}), Runtime="provided.al2023", Handler="x")
    payload, answer = invoke(lam, name)
    assert payload["errorType"] == "Runtime.InvalidEntrypoint", payload
    create(lam, name + "-b", zipped({"bootstrap": "#!/bin/sh\n"}), Runtime="provided.al2023", Handler="x")
    assert invoke(lam, name + "-b")[0]["errorType"] == "Runtime.InvalidEntrypoint"


def test_the_nearest_version_runs_and_says_so(node, lam, name):
    create(lam, name, "import sys\ndef handler(e, c):\n    return sys.version_info[:2]\n", Runtime="python3.15")
    assert invoke(lam, name)[0][0] == 3
    assert "Requested: python3.15 (not installed on this node" in node.hearth("logs", name).stdout


def test_the_nearest_version_can_be_forbidden(new_node, tmp_path, name):
    data = tmp_path / "strict"
    data.mkdir()
    (data / "hearth.toml").write_text("[runtimes]\nforbid_nearest = true\n")
    lam = new_node(data=data).client("lambda")
    create(lam, name, Runtime="python3.15", wait=False)
    from harness import wait_until

    got = wait_until(lambda: (c := lam.get_function_configuration(FunctionName=name))["State"] != "Pending" and c, "the end of Pending")
    assert got["State"] == "Failed"
    assert "python3.15" in got["StateReason"]
    assert error_of(lam.invoke, FunctionName=name)[1] in (400, 409, 502)
