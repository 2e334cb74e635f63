"""The Python runtime, on every interpreter from 3.8 on that this machine has."""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from runtime_api import Runtime  # noqa: E402

BOOTSTRAP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python", "bootstrap.py")
OLDEST = (3, 8)


def interpreters():
    """Real interpreters by version: this one, those on PATH and those of a version manager."""
    candidates = [sys.executable]
    candidates += glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python3"))
    candidates += [shutil.which("python3.%d" % minor) for minor in range(8, 15)] + [shutil.which("python3")]
    found = {}
    for path in filter(None, candidates):
        asked = subprocess.run(
            [path, "-c", "import sys; print(sys.version_info[0], sys.version_info[1], sys.executable)"],
            capture_output=True,
            text=True,
        )
        if asked.returncode == 0:
            major, minor, real = asked.stdout.strip().split(" ", 2)
            if (int(major), int(minor)) >= OLDEST:
                found.setdefault((int(major), int(minor)), real)
    return found


class PythonRuntime:
    """The tests; `interpreter` and `version` come from the classes made below."""

    interpreter = None
    version = None

    def run_function(self, code, handler="app.handler", env=None, files=None):
        return Runtime([self.interpreter, "-S", BOOTSTRAP], {"app.py": code, **(files or {})}, handler, env)

    def result(self, code, event=None, **options):
        with self.run_function(code, **options) as runtime:
            answer = runtime.invoke(event)
            self.assertEqual("response", answer.kind, answer)
            return answer.json()

    def init_failure(self, code, **options):
        with self.run_function(code, **options) as runtime:
            answer = runtime.answer()
            self.assertEqual("init/error", answer.kind)
            self.assertNotEqual(0, runtime.exit_code())
            failure = answer.json()
            self.assertEqual(failure["errorType"], answer.headers["lambda-runtime-function-error-type"])
            self.assertIn("[ERROR] " + failure["errorType"], runtime.text())
            return failure

    # The way of an invocation

    def test_answers_one_invocation_after_the_other_in_one_process(self):
        with self.run_function("n = 0\ndef handler(e, c):\n    global n\n    n += 1\n    return [n, e]") as runtime:
            for turn in range(1, 4):
                answer = runtime.invoke({"a": "é\u20ac", "turn": turn})
                self.assertEqual([turn, {"a": "é\u20ac", "turn": turn}], answer.json())
                self.assertEqual("application/json", answer.headers["content-type"])

    def test_the_next_question_travels_with_the_answer(self):
        with self.run_function("def handler(e, c): return 1") as runtime:
            self.assertTrue(runtime.invoke(None).pipelined)

    def test_large_payloads_both_ways(self):
        with self.run_function("def handler(e, c): return e") as runtime:
            event = "x" * (6 * 1024 * 1024)
            self.assertEqual(event, runtime.invoke(event).json())
            self.assertEqual("small again", runtime.invoke("small again").json())

    def test_chunked_and_fragmented_invocations(self):
        with self.run_function("def handler(e, c): return e") as runtime:
            self.assertEqual({"k": "v"}, runtime.invoke({"k": "v"}, chunked=True).json())
            self.assertEqual({"k": "v"}, runtime.invoke({"k": "v"}, pieces=7).json())
            self.assertEqual({"k": "v"}, runtime.invoke({"k": "v"}, chunked=True, pieces=3).json())
            self.assertEqual("", runtime.invoke("").json())

    def test_a_refused_oversize_result_does_not_end_the_environment(self):
        with self.run_function("def handler(e, c): return e") as runtime:
            runtime.server.status = b"413 Payload Too Large"
            runtime.invoke(1)
            runtime.server.status = b"202 Accepted"
            self.assertEqual(2, runtime.invoke(2).json())

    def test_reconnects_when_the_server_closes_after_an_answer(self):
        with self.run_function("def handler(e, c): return e") as runtime:
            runtime.server.status = b"close 202 Accepted"
            self.assertEqual(1, runtime.invoke(1).json())
            self.assertEqual(2, runtime.invoke(2).json())

    def test_malformed_answers_end_the_process_with_a_clear_line(self):
        for raw, words in (
            (b"nonsense\r\n\r\n", "does not start with an HTTP/1 status"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n", "malformed Content-Length"),
            (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "malformed header"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "lacks its request id"),
            (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "answered 500"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed chunk size"),
            (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "longer than"),
        ):
            with self.subTest(words), self.run_function("def handler(e, c): return 1") as runtime:
                runtime.server.script.put([raw])
                self.assertEqual(1, runtime.exit_code())
                self.assertIn("hearth runtime: ", runtime.text())
                self.assertIn(words, runtime.text())
                self.assertNotIn("Traceback", runtime.text())

    def test_the_end_of_the_connection_ends_the_process_with_a_clear_line(self):
        with self.run_function("def handler(e, c): return 1") as runtime:
            runtime.server.script.put(None)
            self.assertEqual(1, runtime.exit_code())
            self.assertIn("hearth runtime: the Runtime API closed the connection", runtime.text())

    # What the handler sees

    def test_context(self):
        code = """
def handler(e, c):
    assert 0 < c.get_remaining_time_in_millis() <= 60000
    assert "aws_request_id=" + c.aws_request_id in repr(c)
    return [c.function_name, c.function_version, c.memory_limit_in_mb, c.log_group_name, c.log_stream_name,
            c.invoked_function_arn, c.aws_request_id, c.tenant_id, c.identity.cognito_identity_id,
            c.identity.cognito_identity_pool_id, c.client_context.client.app_title, c.client_context.custom,
            c.client_context.env, c.w3c()]
"""
        headers = {
            "Lambda-Runtime-Client-Context": json.dumps(
                {"client": {"app_title": "t"}, "custom": {"k": "v"}, "env": None, "w3c": {"traceparent": "00", "x": 1}}
            ),
            "Lambda-Runtime-Cognito-Identity": json.dumps({"cognitoIdentityId": "i", "cognitoIdentityPoolId": "p"}),
            "Lambda-Runtime-Aws-Tenant-Id": "blue",
        }
        with self.run_function(code) as runtime:
            answer = runtime.invoke(None, headers=headers)
            self.assertEqual(
                [
                    "demo", "$LATEST", "128", "/aws/lambda/demo", "2026/01/01/[$LATEST]0",
                    "arn:aws:lambda:us-east-1:000000000000:function:demo", answer.request_id, "blue", "i", "p",
                    "t", {"k": "v"}, None, {"traceparent": "00"},
                ],
                answer.json(),
            )  # fmt: skip

    def test_context_without_client_and_identity(self):
        code = "def handler(e, c): return [c.client_context, c.identity.cognito_identity_id, c.tenant_id, c.w3c()]"
        self.assertEqual([None, None, None, {}], self.result(code))

    def test_a_client_context_that_is_not_an_object(self):
        with self.run_function("def handler(e, c): return 1") as runtime:
            for value in ("{", "[1]"):
                answer = runtime.invoke(None, headers={"Lambda-Runtime-Client-Context": value})
                self.assertEqual("Runtime.LambdaContextUnmarshalError", answer.json()["errorType"])

    def test_the_trace_variable_follows_the_invocation(self):
        with self.run_function("import os\ndef handler(e, c): return os.environ.get('_X_AMZN_TRACE_ID')") as runtime:
            self.assertTrue(runtime.invoke(None).json().startswith("Root=1-5bef4de7"))
            self.assertIsNone(runtime.invoke(None, headers={"Lambda-Runtime-Trace-Id": None}).json())

    def test_the_search_path_starts_with_the_function_and_its_layers(self):
        with self.run_function("import sys\ndef handler(e, c): return sys.path") as runtime:
            packages = "/opt/python/lib/python%d.%d/site-packages" % self.version
            self.assertEqual([runtime.task_root, packages, "/opt/python"], runtime.invoke(None).json()[:3])

    def test_function_modules_win_over_the_runtimes_lazy_imports(self):
        files = {name + ".py": "value = 'mine'" for name in ("failure", "log_format", "logs", "payload", "handler")}
        code = "import failure\ndef handler(e, c):\n    if e: raise ValueError(failure.value)\n    return failure.value"
        with self.run_function(code, files=files) as runtime:
            self.assertEqual("mine", runtime.invoke(None).json())
            self.assertEqual("ValueError", runtime.invoke(1).json()["errorType"])

    # Handler names

    def test_handler_names(self):
        one = "def fn(e, c): return __name__\nclass K:\n    @staticmethod\n    def m(e, c): return 'method'\n"
        for handler, expected in (
            ("one.fn", "one"),
            ("folder/one.fn", "folder.one"),
            ("folder.one.fn", "folder.one"),
            ("one.K.m", "method"),
            ("folder.one.K.m", "method"),
        ):
            with self.subTest(handler):
                files = {"one.py": one, "folder/one.py": one}
                self.assertEqual(expected, self.result("", handler=handler, files=files))

    def test_handlers_that_do_not_exist(self):
        for handler, kind, message in (
            ("nothere.fn", "Runtime.ImportModuleError", "Unable to import module 'nothere': No module named 'nothere'"),
            ("app.K.fn", "Runtime.ImportModuleError", "Unable to import module 'app.K': No module named 'app.K'; 'app' is not a package"),
            ("app.fn", "Runtime.HandlerNotFound", "Handler 'fn' missing on module 'app'"),
            ("app", "Runtime.MalformedHandlerName", "Bad handler 'app': not enough values to unpack (expected 2, got 1)"),
            ("sys.exit", "Runtime.BuiltInModuleConflict", "Cannot use built-in module sys as a handler module"),
        ):  # fmt: skip
            with self.subTest(handler):
                failure = self.init_failure("x = 1", handler=handler)
                self.assertEqual((kind, message), (failure["errorType"], failure["errorMessage"]))
                self.assertEqual([], failure["stackTrace"])

    def test_a_missing_import_inside_the_module_is_named(self):
        failure = self.init_failure("import not_installed\ndef handler(e, c): pass")
        self.assertEqual("Runtime.ImportModuleError", failure["errorType"])
        self.assertEqual("Unable to import module 'app': No module named 'not_installed'", failure["errorMessage"])

    def test_a_syntax_error(self):
        failure = self.init_failure("def handler(e, c)\n    pass\n")
        self.assertEqual("Runtime.UserCodeSyntaxError", failure["errorType"])
        self.assertRegex(failure["errorMessage"], r"^Syntax error in module 'app': .*\(app\.py, line 1\)$")
        self.assertIn("app.py\" Line 1", failure["stackTrace"][0])

    def test_an_exception_during_init(self):
        failure = self.init_failure("print('half a line', end='')\nraise ValueError('no database')")
        self.assertEqual(("ValueError", "no database"), (failure["errorType"], failure["errorMessage"]))
        self.assertIn("app.py", "".join(failure["stackTrace"]))
        self.assertNotIn("hearth_runtime", "".join(failure["stackTrace"]))

    def test_sys_exit_during_init_ends_the_process_without_a_report(self):
        with self.run_function("import sys\nprint('bye', end='')\nsys.exit(3)") as runtime:
            self.assertEqual(3, runtime.exit_code())
            self.assertEqual("bye", runtime.text())
            self.assertTrue(runtime.server.answers.empty())

    # Results

    def test_results(self):
        for expression, expected in (
            ("None", b"null"),
            ("{'a': (1, 2.5, True)}", b'{"a": [1, 2.5, true]}'),
            ("[float('nan'), float('inf')]", b"[NaN, Infinity]"),
            ("__import__('decimal').Decimal('1.10')", b"1.10"),
            ("{'n': __import__('decimal').Decimal('12345678901234567890.5')}", b'{"n": 12345678901234567890.5}'),
            ("[__import__('decimal').Decimal('NaN')]", b"[NaN]"),
            ("{'b': b'text', 1: None}", b'{"b": "text", "1": null}'),
            ("'\\ud800'", b'"\\ud800"'),
            ("'<>\"'", b'"<>\\""'),
        ):
            with self.subTest(expression), self.run_function("def handler(e, c): return " + expression) as runtime:
                self.assertEqual(expected, runtime.invoke(None).body)

    def test_text_is_escaped_only_before_3_12(self):
        with self.run_function("def handler(e, c): return 'é'") as runtime:
            expected = '"é"'.encode() if self.version >= (3, 12) else b'"\\u00e9"'
            self.assertEqual(expected, runtime.invoke(None).body)

    def test_bytes_pass_unchanged(self):
        with self.run_function("def handler(e, c): return bytes(range(256))") as runtime:
            answer = runtime.invoke(None)
            self.assertEqual(bytes(range(256)), answer.body)
            self.assertEqual("application/unknown", answer.headers["content-type"])

    def test_an_event_of_another_content_type_arrives_as_bytes(self):
        with self.run_function("def handler(e, c): return [type(e).__name__, len(e)]") as runtime:
            answer = runtime.invoke(b"\x00\xff", raw=True, headers={"Content-Type": "application/octet-stream"})
            self.assertEqual(["bytes", 2], answer.json())

    def test_results_without_a_json_form(self):
        for expression, message in (
            ("{1}", "Object of type set is not JSON serializable"),
            ("object()", "Object of type object is not JSON serializable"),
        ):
            with self.subTest(expression), self.run_function("def handler(e, c): return " + expression) as runtime:
                failure = runtime.invoke(None).json()
                self.assertEqual("Runtime.MarshalError", failure["errorType"])
                self.assertEqual("Unable to marshal response: " + message, failure["errorMessage"])

    def test_a_circular_result(self):
        with self.run_function("def handler(e, c):\n    x = []\n    x.append(x)\n    return x") as runtime:
            self.assertEqual("Unable to marshal response: Circular reference detected", runtime.invoke(None).json()["errorMessage"])

    # Handlers that are coroutines

    def test_an_async_handler_and_what_it_leaves_to_the_next(self):
        code = """
import asyncio
left = []
async def later(event):
    await asyncio.sleep(0)
    left.append(event)
    return len(left)
async def handler(event, context):
    if event == "bad": raise KeyError(event)
    if event == "cancelled": asyncio.current_task().cancel()
    before = [await task for task in left_tasks]
    left_tasks[:] = [asyncio.ensure_future(later(event))]
    return before
left_tasks = []
"""
        with self.run_function(code) as runtime:
            self.assertEqual([[], [1], [2]], [runtime.invoke(n).json() for n in range(3)])
            failure = runtime.invoke("bad").json()
            self.assertEqual(("KeyError", "'bad'"), (failure["errorType"], failure["errorMessage"]))
            self.assertIn("in handler", failure["stackTrace"][0])
            self.assertEqual("The handler was cancelled", runtime.invoke("cancelled").json()["errorMessage"])
            self.assertEqual([4], runtime.invoke(None).json())

    # Several at the same time

    AT_ONCE = {"AWS_LAMBDA_MAX_CONCURRENCY": "3"}

    def answers(self, runtime, events, **options):
        """Hands out an invocation for each event, and gives their answers, in that order."""
        ids = [runtime.start(event, **options) for event in events]
        answers = {answer.request_id: answer for answer in (runtime.answer() for _ in ids)}
        self.assertEqual(set(ids), set(answers))
        return [answers[id] for id in ids]

    MEETING = {
        "threads": """
import logging, os, threading
meeting = threading.Barrier(3)
def handler(event, context):
    meeting.wait(20)
    logging.warning("of %s", event)
    print("from", event, sep=" ")
    if event == 1: raise KeyError(event)
    return [event, context.aws_request_id, context.xray_trace_id, os.environ.get("_X_AMZN_TRACE_ID"), os.getpid()]
""",
        "asyncio": """
import asyncio, logging, os
here, all_here = [], None
async def handler(event, context):
    global all_here
    if all_here is None: all_here = asyncio.Event()
    here.append(event)
    if len(here) % 3 == 0:
        all_here.set()
        all_here = None
    else: await all_here.wait()
    logging.warning("of %s", event)
    print("from", event, sep=" ")
    if event == 1: raise KeyError(event)
    return [event, context.aws_request_id, context.xray_trace_id, os.environ.get("_X_AMZN_TRACE_ID"), os.getpid()]
""",
    }

    def test_invocations_that_wait_for_each_other(self):
        for name, code in self.MEETING.items():
            with self.subTest(name), self.run_function(code, env=self.AT_ONCE) as runtime:
                for turn in range(3):
                    for event, answer in enumerate(self.answers(runtime, range(3))):
                        if event == 1:
                            self.assertEqual(("error", "KeyError"), (answer.kind, answer.json()["errorType"]))
                            self.assertEqual(answer.request_id, answer.json()["requestId"])
                            continue
                        given = [event, answer.request_id, "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1"]
                        self.assertEqual(given + [None, runtime.process.pid], answer.json())
                        self.assertIn("%s\tof %d\n" % (answer.request_id, event), runtime.wait_for_log("%s\tof " % answer.request_id))
                self.assertEqual(sorted(["from 0", "from 1", "from 2"] * 3), runtime.wait_for_lines("from ", 9))

    def test_one_at_a_time_on_many_lanes(self):
        with self.run_function("def handler(e, c): return e", env=self.AT_ONCE) as runtime:
            for n in range(7):
                self.assertEqual(n, runtime.invoke(n).json())
            runtime.server.status = b"410 Gone"
            self.assertEqual(8, runtime.invoke(8).json())
            runtime.server.status = b"202 Accepted"
            self.assertEqual([1, 2, 3], [answer.json() for answer in self.answers(runtime, [1, 2, 3])])
            runtime.wait_for_log("had timed out")

    def test_a_handler_that_exits_ends_the_process_on_every_lane(self):
        for code in (
            "import sys\ndef handler(e, c): sys.exit(7)",
            "import sys\nasync def handler(e, c): sys.exit(7)",
        ):
            with self.subTest(code), self.run_function(code, env=self.AT_ONCE) as runtime:
                runtime.start(None)
                self.assertEqual(7, runtime.exit_code())

    def test_the_end_of_one_connection_ends_the_process_with_a_clear_line_on_every_lane(self):
        with self.run_function("def handler(e, c): return 1", env=self.AT_ONCE) as runtime:
            runtime.invoke(None)
            runtime.server.script.put(None)
            self.assertEqual(1, runtime.exit_code())
            self.assertIn("hearth runtime: ", runtime.text())

    def test_events_that_are_not_json(self):
        with self.run_function("def handler(e, c): return e") as runtime:
            for body, words in (
                (b"{", "Expecting property name"),
                (b"", "Expecting value: line 1 column 1 (char 0)"),
                (b"1 2", "Extra data"),
                (b"\xff", "can't decode byte 0xff"),
            ):
                failure = runtime.invoke(body, raw=True).json()
                self.assertEqual("Runtime.UnmarshalError", failure["errorType"])
                self.assertRegex(failure["errorMessage"], "^Unable to unmarshal input: ")
                self.assertIn(words, failure["errorMessage"])
            self.assertEqual({"a": [1.5]}, runtime.invoke(b' \r\n{"a" : [1.5]}\n', raw=True).json())

    # Errors of the function

    def test_an_exception(self):
        with self.run_function("def handler(e, c):\n    raise KeyError('k')") as runtime:
            answer = runtime.invoke(None)
            failure = answer.json()
            self.assertEqual("error", answer.kind)
            self.assertEqual("KeyError", answer.headers["lambda-runtime-function-error-type"])
            self.assertEqual("application/json", answer.headers["content-type"])
            self.assertEqual(["errorMessage", "errorType", "requestId", "stackTrace"], sorted(failure))
            self.assertEqual(("'k'", "KeyError", answer.request_id), (failure["errorMessage"], failure["errorType"], failure["requestId"]))
            self.assertEqual(1, len(failure["stackTrace"]))
            self.assertRegex(failure["stackTrace"][0], r'^  File ".*/app\.py", line 2, in handler\n    raise KeyError')
            log = runtime.wait_for_log("\n")
            self.assertRegex(
                log,
                "^\\[ERROR\\] KeyError: 'k'\rTraceback \\(most recent call last\\):\r"
                "\u00a0\u00a0File \".*/app.py\", line 2, in handler\r\u00a0\u00a0\u00a0\u00a0raise KeyError",
            )
            self.assertEqual(1, log.count("\n"))

    def test_an_environment_survives_errors(self):
        with self.run_function("def handler(e, c): return 1 / e") as runtime:
            self.assertEqual("ZeroDivisionError", runtime.invoke(0).json()["errorType"])
            self.assertEqual(0.5, runtime.invoke(2).json())

    def test_hostile_exceptions(self):
        code = """
class Unprintable(Exception):
    def __str__(self): raise RuntimeError('no')
Odd = type('Odd\\r\\nX-Injected: 1', (Exception,), {})
def handler(e, c): raise Unprintable() if e else Odd('x')
"""
        with self.run_function(code) as runtime:
            self.assertEqual("Unprintable", runtime.invoke(1).json()["errorType"])
            answer = runtime.invoke(0)
            self.assertNotIn("x-injected", answer.headers)
            self.assertEqual("Odd??X-Injected: 1", answer.headers["lambda-runtime-function-error-type"])

    def test_errors_in_the_json_log_format(self):
        code = "def handler(e, c): raise ValueError('é')"
        with self.run_function(code, env={"AWS_LAMBDA_LOG_FORMAT": "JSON"}) as runtime:
            answer = runtime.invoke(None)
            line = json.loads(runtime.wait_for_log("\n"))
            self.assertEqual(("ERROR", "ValueError", "é"), (line["level"], line["errorType"], line["errorMessage"]))
            self.assertEqual(answer.request_id, line["requestId"])

    def test_leaving_the_process_from_a_handler(self):
        for statement, code in (
            ("import sys; sys.exit(5)", 5),
            ("import os; os._exit(6)", 6),
            ("raise KeyboardInterrupt", None),
            ("class Stop(BaseException): pass\n    raise Stop", 1),
        ):
            with self.subTest(statement):
                with self.run_function("def handler(e, c):\n    print('last words')\n    " + statement) as runtime:
                    runtime.start(None)
                    ended = runtime.exit_code()
                    self.assertNotEqual(0, ended)
                    if code is not None:
                        self.assertEqual(code, ended)
                    self.assertIn("last words\n", runtime.text())
                    self.assertTrue(runtime.server.answers.empty())

    def test_sigterm_ends_the_process(self):
        with self.run_function("def handler(e, c): return 1") as runtime:
            runtime.invoke(None)
            runtime.process.terminate()
            self.assertEqual(-15, runtime.exit_code())

    # Output and logging

    def test_output_is_complete_before_the_answer(self):
        code = "import sys\ndef handler(e, c):\n    sys.stdout.write('no line end')\n    sys.stderr.write('; nor here')"
        with self.run_function(code) as runtime:
            runtime.invoke(None)
            self.assertIn("; nor here", runtime.wait_for_log("no line end"))

    def test_a_line_is_written_while_the_handler_runs(self):
        with self.run_function("def handler(e, c):\n    print('début')\n    while True: pass") as runtime:
            runtime.start(None)
            runtime.wait_for_log("début\n")
            self.assertTrue(runtime.server.answers.empty())

    def test_functions_that_close_or_replace_their_streams(self):
        code = """
import io, os, sys
def handler(e, c):
    if e == "close":
        sys.stdout.close()
    elif e == "replace":
        sys.stdout, sys.stderr = io.StringIO(), None
    elif e == "descriptors":
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1); os.close(2)
    elif e == "raise":
        raise ValueError
    return e
"""
        for how in ("close", "replace", "descriptors"):
            with self.subTest(how), self.run_function(code) as runtime:
                self.assertEqual(how, runtime.invoke(how).json())
                self.assertEqual("ValueError", runtime.invoke("raise").json()["errorType"])
                self.assertEqual("again", runtime.invoke("again").json())

    def test_a_function_that_closes_the_runtimes_connection(self):
        with self.run_function("import os\ndef handler(e, c): os.closerange(3, 64)") as runtime:
            runtime.start(None)
            self.assertEqual(1, runtime.exit_code())
            self.assertIn("hearth runtime: lost the connection", runtime.text())

    def test_threads_live_on_between_invocations(self):
        code = """
import queue, threading
inbox, outbox = queue.Queue(), queue.Queue()
def work():
    while True: outbox.put(inbox.get() * 2)
threading.Thread(target=work).start()
def handler(e, c):
    inbox.put(e)
    return outbox.get()
"""
        with self.run_function(code) as runtime:
            self.assertEqual([2, 4], [runtime.invoke(1).json(), runtime.invoke(2).json()])

    def test_logging_is_loaded_only_by_those_who_use_it(self):
        modules = ("logging", "json", "re", "traceback", "socket", "typing")
        code = "import sys\ndef handler(e, c): return [m for m in %r if m in sys.modules]" % (modules,)
        bare = subprocess.run(
            [self.interpreter, "-S", "-c", "import sys; print([m for m in %r if m in sys.modules])" % (modules,)],
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual(eval(bare.stdout), self.result(code))

    def test_what_site_adds_is_there_without_the_hosts_packages(self):
        code = "import sys\ndef handler(e, c): return [callable(exit), [p for p in sys.path if 'site-packages' in p and not p.startswith('/opt')]]"
        self.assertEqual([True, []], self.result(code))

    def test_text_log_lines(self):
        code = """
import logging
logging.getLogger("at.init").warning("during init")
def handler(e, c):
    logging.getLogger().setLevel(logging.INFO)
    logging.info("a %s", "b")
    logging.debug("hidden")
    logging.basicConfig(level=logging.DEBUG)
"""
        with self.run_function(code) as runtime:
            answer = runtime.invoke(None)
            lines = runtime.wait_for_log("a b\n").splitlines()
            stamp = r"\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t"
            self.assertRegex(lines[0], r"^\[WARNING\]" + stamp + r"\tduring init$")
            self.assertRegex(lines[1], r"^\[INFO\]" + stamp + re.escape(answer.request_id) + r"\ta b$")
            self.assertEqual(2, len(lines))

    def test_json_log_lines(self):
        code = """
import logging
log = logging.getLogger("mine")
def handler(e, c):
    log.info("first", extra={"order": 7, "odd": {1}})
    log.warning({"kind": "object"})
    log.debug("hidden")
    try: 1 / 0
    except ZeroDivisionError: log.exception("third")
"""
        env = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}
        with self.run_function(code, env=env) as runtime:
            answer = runtime.invoke(None, headers={"Lambda-Runtime-Aws-Tenant-Id": "blue"})
            lines = [json.loads(line) for line in runtime.wait_for_log("third").splitlines()]
            self.assertEqual(3, len(lines))
            self.assertEqual(
                {"level": "INFO", "message": "first", "logger": "mine", "requestId": answer.request_id, "tenantId": "blue", "order": 7, "odd": "{1}"},
                {name: value for name, value in lines[0].items() if name not in ("timestamp", "taskName")},
            )  # fmt: skip
            self.assertRegex(lines[0]["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
            self.assertEqual({"kind": "object"}, lines[1]["message"])
            self.assertEqual(("ZeroDivisionError", "division by zero"), (lines[2]["errorType"], lines[2]["errorMessage"]))
            self.assertIn(":handler:", lines[2]["location"])

    def test_log_levels(self):
        code = "import logging\ndef handler(e, c):\n    logging.debug('d')\n    return logging.getLogger().level"
        for level, expected in (("TRACE", 10), ("debug", 10), ("ERROR", 40), ("nonsense", 30)):
            with self.subTest(level):
                self.assertEqual(expected, self.result(code, env={"AWS_LAMBDA_LOG_LEVEL": level}))


for _version, _path in interpreters().items():
    _name = "Python%d_%d" % _version
    globals()[_name] = type(_name, (PythonRuntime, unittest.TestCase), {"interpreter": _path, "version": _version})


if __name__ == "__main__":
    unittest.main()
