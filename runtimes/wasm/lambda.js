// Makes a command of a Lambda handler: the event comes on standard input, its result goes to standard output.
// `hearth deploy --runtime wasm` puts the handler's module and name in.

import { getEnvironment } from "wasi:cli/environment@0.2.10";
import { getStdin } from "wasi:cli/stdin@0.2.10";
import { getStdout } from "wasi:cli/stdout@0.2.10";
import { handler_function as handler } from "./handler_module";

// Standard output is the result alone.
for (const level of ["log", "info", "debug", "trace", "warn"]) console[level] = console.error;

const STREAM_BYTES = 65536n;
// Most that one `blocking-write-and-flush` takes, by the interface's own word.
const WRITE_BYTES = 4096;

export const run = {
  async run() {
    const variables = Object.fromEntries(getEnvironment());
    const context = {
      functionName: variables.AWS_LAMBDA_FUNCTION_NAME,
      functionVersion: variables.AWS_LAMBDA_FUNCTION_VERSION,
      memoryLimitInMB: variables.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    };
    let result;
    try {
      result = (await handler(JSON.parse(read()), context)) ?? null;
    } catch (error) {
      console.error(error instanceof Error ? `${error.name}: ${error.message}\n${error.stack}` : String(error));
      // The result's error case: the command has failed.
      throw undefined;
    }
    write(JSON.stringify(result) ?? "null");
  },
};

function read() {
  const stream = getStdin();
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (;;) text += decoder.decode(stream.blockingRead(STREAM_BYTES), { stream: true });
  } catch (error) {
    if (error?.payload?.tag !== "closed" && error?.tag !== "closed") throw error;
  }
  return text + decoder.decode();
}

function write(text) {
  const stream = getStdout();
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length; at += WRITE_BYTES) stream.blockingWriteAndFlush(bytes.subarray(at, at + WRITE_BYTES));
}
