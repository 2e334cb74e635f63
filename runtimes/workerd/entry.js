// The main module of every worker, before its own: looks whether there is a handler, and lets the node wait until all
// modules have been evaluated.

import { WorkerEntrypoint } from "cloudflare:workers";
import * as worker from "./HEARTH_MAIN";

const main = worker.default;
const handler = typeof main === "function" ? main.prototype?.fetch : main?.fetch;
if (typeof handler !== "function") {
  throw new TypeError("The main module has no default export with a fetch method: write export default { fetch(request, env, ctx) { … } }.");
}

export class HearthLoaded extends WorkerEntrypoint {
  loaded() {}
}
export * from "./HEARTH_MAIN";
export default main;
