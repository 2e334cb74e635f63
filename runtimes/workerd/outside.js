// What of a function's requests leaves its isolate. The node decides, for each request and so for each redirect.

import { WorkerEntrypoint } from "cloudflare:workers";

// `fetch()` to other hosts.
export class Outside extends WorkerEntrypoint {
  async fetch(request) {
    const response = await ask(this.env, this.ctx.props.id, request);
    // The node takes fields of this kind out of what comes from outside.
    if (response.headers.has("x-hearth-refused")) throw new TypeError(await response.text());
    return response;
  }
}

// `env.NAME.fetch()`: another function, or the package's own files.
export class Fetcher extends WorkerEntrypoint {
  async fetch(request) {
    const { id, binding } = this.ctx.props;
    return await ask(this.env, `${id}/${binding}`, request);
  }
}

async function ask(env, who, request) {
  const headers = new Headers(request.headers);
  headers.set("x-hearth-function", who);
  return await env.OUTSIDE.fetch(new Request(request, { headers }));
}
