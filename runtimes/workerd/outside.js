// The way out of functions: `fetch()` to other hosts. The node decides, for each request and so for each redirect.

import { WorkerEntrypoint } from "cloudflare:workers";

export class Outside extends WorkerEntrypoint {
  async fetch(request) {
    const headers = new Headers(request.headers);
    headers.set("x-hearth-function", this.ctx.props.id);
    const response = await this.env.OUTSIDE.fetch(new Request(request, { headers }));
    // The node takes fields of this kind out of what comes from outside.
    if (response.headers.has("x-hearth-refused")) throw new TypeError(await response.text());
    return response;
  }
}
