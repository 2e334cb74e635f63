// Lets a module that exports `{ fetch }` answer requests: `fetch(request, env, context)`, as Workers do.
// `hearth deploy --runtime wasm` puts the module in.

import { getEnvironment } from "wasi:cli/environment@0.2.10";
import worker from "./handler_module";

addEventListener("fetch", (event) => {
  const context = { waitUntil: (work) => event.waitUntil(work), passThroughOnException() {} };
  event.respondWith(answer(event.request, context));
});

async function answer(request, context) {
  return worker.fetch(request, Object.fromEntries(getEnvironment()), context);
}
