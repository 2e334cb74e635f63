// Hands requests to functions' isolates, inside of an account's engine.
//
// The node says with each request which isolate it is for (the `cf` object, which comes from a header field that the
// engine takes away). An isolate that is not there is made of the code that the node gives. Functions reach nothing but
// what they are given here, each for itself: a way out by `fetch()` and bindings, which all lead to the node. What their
// isolates write and how their requests end goes to the node as trace events, by the engine's own hand.

import { WorkerEntrypoint } from "cloudflare:workers";

export { KeyValue } from "./keyvalue.js";
export { Fetcher, Outside } from "./outside.js";
export { Queue } from "./queue.js";

export class Tail extends WorkerEntrypoint {
  async tail(items) {
    const body = JSON.stringify(items.map(told));
    await this.env.NODE.fetch("http://node/tail", { method: "POST", body });
  }
}

// What the node needs of a trace item.
function told(item) {
  return {
    request: item.event?.request?.headers?.["x-amzn-requestid"],
    outcome: item.outcome,
    logs: item.logs.map(({ timestamp, level, message }) => ({ timestamp, level, text: text(message) })),
    exceptions: item.exceptions.map(({ name, message, stack }) => ({ name, message, stack })),
  };
}

// As `console` prints it: strings as they are, other values as JSON.
function text(message) {
  const values = Array.isArray(message) ? message : [message];
  return values.map((value) => (typeof value === "string" ? value : (JSON.stringify(value) ?? String(value)))).join(" ");
}

function isolate(id, env, ctx) {
  return env.LOADER.get(id, async () => {
    const response = await env.NODE.fetch(`http://node/code/${id}`);
    if (!response.ok) throw new Error("The node does not have this code any more.");
    const { bindings, ...code } = await response.json();
    for (const module of Object.values(code.modules)) {
      for (const kind of ["wasm", "data"]) {
        if (module[kind] !== undefined) module[kind] = Uint8Array.fromBase64(module[kind]).buffer;
      }
    }
    for (const { name, kind } of bindings) {
      code.env[name] = ctx.exports[kind]({ props: { id, binding: name } });
    }
    code.globalOutbound = ctx.exports.Outside({ props: { id } });
    code.tails = [ctx.exports.Tail({ props: {} })];
    return code;
  });
}

// No function has the secret: nobody else can make a response look like this one.
function failed(error, env) {
  const { name, message, stack } = error instanceof Error ? error : { name: "Error", message: String(error) };
  return new Response(JSON.stringify({ name, message, stack }), { headers: { "x-hearth-failed": env.SECRET } });
}

export default {
  async fetch(request, env, ctx) {
    const { serve, event, load } = request.cf ?? {};
    try {
      if (serve) return await isolate(serve, env, ctx).getEntrypoint().fetch(request);
      if (event) return await isolate(event, env, ctx).getEntrypoint("HearthLoaded").fetch(request);
      // The entry's own method: it answers when all modules have been evaluated.
      if (load) return Response.json(await isolate(load, env, ctx).getEntrypoint("HearthLoaded").loaded());
      return new Response(null, { status: 204 });
    } catch (error) {
      return failed(error, env);
    }
  },
};
