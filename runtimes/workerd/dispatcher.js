// Hands requests to functions' isolates, inside of an account's engine.
//
// The node says with each request which isolate it is for (the `cf` object, which comes from a header field that the
// engine takes away). An isolate that is not there is made of the code that the node gives. Functions reach nothing but
// what they are given here, each for itself: a way out by `fetch()` and bindings, which all lead to the node.

export { KeyValue } from "./keyvalue.js";
export { Fetcher, Outside } from "./outside.js";
export { Queue } from "./queue.js";

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
    return code;
  });
}

function failed(id, error) {
  const { name, message, stack } = error instanceof Error ? error : { name: "Error", message: String(error) };
  return Response.json({ name, message, stack }, { headers: { "x-hearth-failed": id } });
}

export default {
  async fetch(request, env, ctx) {
    const { id, load, event } = request.cf ?? {};
    if (!id) return new Response(null, { status: 204 });
    try {
      const entrypoint = load || event ? "hearthOrders" : undefined;
      return await isolate(id, env, ctx).getEntrypoint(entrypoint).fetch(request);
    } catch (error) {
      return failed(id, error);
    }
  },
};
