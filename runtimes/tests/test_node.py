"""The Node.js runtime, on the `node` of PATH."""

import base64
import json
import os
import shutil
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from runtime_api import Runtime  # noqa: E402

BOOTSTRAP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "node", "bootstrap.cjs")
NODE = shutil.which("node")


@unittest.skipUnless(NODE, "Node.js is not installed")
class NodeRuntime(unittest.TestCase):
    def run_function(self, code, handler="index.handler", env=None, file="index.js", files=None):
        return Runtime([NODE, BOOTSTRAP], {file: code, **(files or {})}, handler, env)

    def failure(self, code, **options):
        with self.run_function(code, **options) as runtime:
            answer = runtime.answer()
            self.assertEqual("init/error", answer.kind)
            self.assertEqual(129, runtime.exit_code())
            return answer.json()

    def test_styles_of_handlers(self):
        for name, code in (
            ("index.js", "exports.handler = async (e) => [e]"),
            ("index.mjs", "const w = await Promise.resolve(1); export const handler = async (e) => [e]"),
            ("index.cjs", "exports.handler = (e) => Promise.resolve([e])"),
            ("index.js", "exports.handler = (e, c, cb) => { setImmediate(() => cb(null, [e])) }"),
            ("index.js", "exports.handler = (e, c, cb) => { c.callbackWaitsForEmptyEventLoop = false; setInterval(() => {}, 1e6); cb(null, [e]) }"),
            ("index.js", "exports.handler = (e, c) => { c.succeed([e]) }"),
            ("index.js", "exports.handler = (e, c) => { c.done(null, [e]) }"),
        ):  # fmt: skip
            with self.subTest(code), self.run_function(code, file=name) as runtime:
                for event in ({"a": "é"}, 2, ""):
                    answer = runtime.invoke(event)
                    self.assertEqual(("response", [event]), (answer.kind, answer.json()))
        with self.run_function("export const handler = async () => 1", files={"package.json": '{"type":"module"}'}) as runtime:
            self.assertEqual(1, runtime.invoke(None).json())

    def test_handler_names_and_empty_results(self):
        with self.run_function("exports.a = {b: async () => undefined}", handler="dir/index.a.b", file="dir/index.js") as runtime:
            self.assertEqual(b"null", runtime.invoke(None).body)
        with self.run_function("exports.handler = () => 'ignored'") as runtime:
            self.assertEqual(b"null", runtime.invoke(None).body)

    def test_a_callback_waits_for_the_event_loop(self):
        code = "exports.handler = (e, c, cb) => { const s = []; setTimeout(() => s.push(1), 20); cb(null, s) }"
        with self.run_function(code) as runtime:
            self.assertEqual([1], runtime.invoke(None).json())

    def test_large_chunked_and_fragmented_payloads(self):
        with self.run_function("exports.handler = async (e) => e") as runtime:
            event = "x" * (6 * 1024 * 1024)
            self.assertEqual(event, runtime.invoke(event).json())
            self.assertEqual(event, runtime.invoke(event, chunked=True).json())
            self.assertEqual({"k": "v"}, runtime.invoke({"k": "v"}, chunked=True, pieces=3).json())
            self.assertTrue(runtime.invoke({"k": "v"}, pieces=7).pipelined)
            runtime.server.status = b"close 202 Accepted"
            self.assertEqual(1, runtime.invoke(1).json())
            runtime.server.status = b"413 Payload Too Large"
            self.assertEqual(2, runtime.invoke(2).json())
            self.assertEqual(3, runtime.invoke(3).json())

    def test_malformed_answers_end_the_process_with_a_clear_line(self):
        for raw, words in (
            (b"nonsense\r\n\r\n", "does not start with an HTTP/1 status"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n", "malformed Content-Length"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "lacks its request id"),
            (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "answered 500"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed chunk size"),
        ):
            with self.subTest(words), self.run_function("exports.handler = async () => 1") as runtime:
                runtime.server.script.put([raw])
                self.assertEqual(1, runtime.exit_code())
                self.assertIn(words, runtime.text())

    def test_errors(self):
        with self.run_function("exports.handler = async (e) => { if (e) throw new TypeError('bad'); return 1n }") as runtime:
            answer = runtime.invoke(1)
            self.assertEqual(("error", "TypeError"), (answer.kind, answer.headers["lambda-runtime-function-error-type"]))
            self.assertEqual(("TypeError", "bad"), (answer.json()["errorType"], answer.json()["errorMessage"]))
            self.assertIn("index.js", "".join(answer.json()["trace"]))
            self.assertIn(answer.request_id + "\tERROR\tInvoke Error \t{", runtime.wait_for_log("Invoke Error"))
            self.assertEqual("Unable to stringify response body", runtime.invoke(0).json()["errorMessage"])

    def test_uncaught_errors_end_the_process(self):
        for statement, kind, code in (
            ("setImmediate(() => { throw new RangeError('x') }); return new Promise(() => {})", "RangeError", 129),
            ("Promise.reject(new Error('x')); return new Promise(() => {})", "Runtime.UnhandledPromiseRejection", 128),
        ):
            with self.subTest(kind), self.run_function("exports.handler = async () => { %s }" % statement) as runtime:
                self.assertEqual(kind, runtime.invoke(None).json()["errorType"])
                self.assertEqual(code, runtime.exit_code())

    def test_init_errors(self):
        for code, handler, kind, words in (
            ("", "none.handler", "Runtime.ImportModuleError", "Error: Cannot find module 'none'\nRequire stack:"),
            ("", "index.handler", "Runtime.HandlerNotFound", "index.handler is undefined or not exported"),
            ("", "index", "Runtime.MalformedHandlerName", "Bad handler"),
            ("exports.handler = (", "index.handler", "Runtime.UserCodeSyntaxError", "SyntaxError: "),
            ("throw new RangeError('early')", "index.handler", "RangeError", "early"),
        ):
            with self.subTest(kind):
                failure = self.failure(code, handler=handler)
                self.assertEqual(kind, failure["errorType"])
                self.assertIn(words, failure["errorMessage"])

    def test_output(self):
        code = "exports.handler = async () => { console.log('a %s\\nb', 1); console.warn(new Error('w')); process.exit(7) }"
        with self.run_function(code) as runtime:
            runtime.start(None)
            self.assertEqual(7, runtime.exit_code())
            self.assertRegex(runtime.text(), r"^\d{4}-\d\d-\d\dT[\d:.]+Z\t[0-9-]+1\tINFO\ta 1\rb\n")
            self.assertEqual(2, runtime.text().count("\n"))
        env = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "WARN"}
        with self.run_function("exports.handler = async () => { console.log(1); console.error({k: 1}) }", env=env) as runtime:
            runtime.invoke(None)
            line = json.loads(runtime.wait_for_log("\n"))
            self.assertEqual(("ERROR", {"k": 1}), (line["level"], line["message"]))

    def test_streaming(self):
        code = """
exports.handler = awslambda.streamifyResponse(async (e, stream, c) => {
  if (e === 'early') throw new TypeError('early')
  stream = awslambda.HttpResponseStream.from(stream, {statusCode: 201})
  stream.write('one')
  if (e === 'late') { await new Promise(setImmediate); throw new TypeError('late') }
  stream.end(Buffer.from('two'))
})"""
        with self.run_function(code) as runtime:
            for _ in range(2):
                answer = runtime.invoke(None)
                self.assertEqual("streaming", answer.headers["lambda-runtime-function-response-mode"])
                self.assertEqual(b'{"statusCode":201}' + bytes(8) + b"onetwo", answer.body)
            self.assertEqual("TypeError", runtime.invoke("early").json()["errorType"])
            answer = runtime.invoke("late")
            self.assertEqual("TypeError", answer.trailers["lambda-runtime-function-error-type"])
            self.assertEqual("response", runtime.invoke(None).kind)

    def test_a_long_error_fits_the_trailers(self):
        code = """
exports.handler = awslambda.streamifyResponse(async (e, stream) => {
  await new Promise((done) => stream.write('one', done))
  const error = new RangeError(e.repeat(100000))
  error.stack = Array(5000).fill('at somewhere').join('\\n')
  throw error
})"""
        with self.run_function(code) as runtime:
            for text in ("x", "é"):
                trailers = runtime.invoke(text).trailers
                self.assertEqual("RangeError", trailers["lambda-runtime-function-error-type"])
                body = trailers["lambda-runtime-function-error-body"]
                self.assertLess(len(body), 14 * 1024)
                report = json.loads(base64.b64decode(body))
                self.assertEqual("RangeError", report["errorType"])
                self.assertTrue(report["errorMessage"].startswith(text * 1000))

    # Several at the same time

    AT_ONCE = {"AWS_LAMBDA_MAX_CONCURRENCY": "3"}
    MEET = """
const here = [];
const meet = () => new Promise((go) => { here.push(go); if (here.length === 3) here.splice(0).forEach((go) => go()) });
"""

    def answers(self, runtime, events):
        """Hands out an invocation for each event, and gives their answers, in that order."""
        ids = [runtime.start(event) for event in events]
        answers = {answer.request_id: answer for answer in (runtime.answer() for _ in ids)}
        self.assertEqual(set(ids), set(answers))
        return [answers[id] for id in ids]

    def test_invocations_that_wait_for_each_other(self):
        code = self.MEET + """
exports.handler = async (event, context) => {
  await meet();
  console.log('of', event);
  if (event === 1) throw new TypeError('bad');
  const store = awslambda.InvokeStore;
  store.set('mine', event);
  await new Promise(setImmediate);
  return [event, context.awsRequestId, store.getRequestId(), store.get('mine'), store.getXRayTraceId() === context.xRayTraceId,
    context.xRayTraceId.slice(0, 7), process.env._X_AMZN_TRACE_ID ?? null, context.getRemainingTimeInMillis() > 0];
}"""
        with self.run_function(code, env=self.AT_ONCE) as runtime:
            for _ in range(3):
                for event, answer in enumerate(self.answers(runtime, range(3))):
                    id = answer.request_id
                    self.assertRegex(runtime.wait_for_log("%s\tINFO\t" % id), "%s\tINFO\tof %d\n" % (id, event))
                    if event == 1:
                        self.assertEqual(("error", "bad"), (answer.kind, answer.json()["errorMessage"]))
                        self.assertIn("%s\tERROR\tInvoke Error" % id, runtime.text())
                    else:
                        self.assertEqual([event, id, id, event, True, "Root=1-", None, True], answer.json())

    def test_other_handlers_at_the_same_time(self):
        for code, result in (
            ("exports.handler = (e, c, cb) => meet().then(() => cb(null, [e]))", lambda e: [e]),
            ("exports.handler = (e, c, cb) => { setInterval(() => {}, 1e6); meet().then(() => c.succeed([e])) }", lambda e: [e]),
            ("exports.handler = (e, c) => { c.done(null, [e]) }", lambda e: [e]),
            ("exports.handler = () => 'ignored'", lambda e: None),
        ):
            with self.subTest(code), self.run_function(self.MEET + code, env=self.AT_ONCE) as runtime:
                for _ in range(2):
                    self.assertEqual([result(e) for e in range(3)], [a.json() for a in self.answers(runtime, range(3))])

    def test_streams_at_the_same_time(self):
        code = self.MEET + """
exports.handler = awslambda.streamifyResponse(async (e, stream) => {
  stream.write('one');
  await meet();
  if (e === 1) throw new TypeError('late');
  stream.write('of ' + e);
  await meet2();
  stream.end();
});
let waiting;
const meet2 = () => new Promise((go) => { if (waiting) { waiting(); go(); waiting = null } else waiting = go });
"""
        with self.run_function(code, env=self.AT_ONCE) as runtime:
            for _ in range(2):
                answers = self.answers(runtime, range(3))
                self.assertEqual([b"oneof 0", b"one", b"oneof 2"], [answer.body for answer in answers])
                self.assertEqual("TypeError", answers[1].trailers["lambda-runtime-function-error-type"])

    def test_late_results_are_not_the_end(self):
        with self.run_function("exports.handler = async (e) => e", env=self.AT_ONCE) as runtime:
            runtime.server.status = b"410 Gone"
            self.assertEqual(1, runtime.invoke(1).json())
            runtime.server.status = b"close 410 Gone"
            self.assertEqual(2, runtime.invoke(2).json())
            runtime.server.status = b"202 Accepted"
            self.assertEqual([1, 2, 3], [answer.json() for answer in self.answers(runtime, [1, 2, 3])])
            runtime.wait_for_log("had timed out")

    def test_an_uncaught_error_is_reported_to_its_own_invocation(self):
        code = self.MEET + """
exports.handler = async (event) => {
  await meet();
  if (event === 1) setImmediate(() => { throw new RangeError('x') });
  return new Promise(() => {});
}"""
        with self.run_function(code, env=self.AT_ONCE) as runtime:
            ids = [runtime.start(event) for event in range(3)]
            answer = runtime.answer()
            self.assertEqual((ids[1], "RangeError"), (answer.request_id, answer.json()["errorType"]))
            self.assertEqual(129, runtime.exit_code())


if __name__ == "__main__":
    unittest.main()
