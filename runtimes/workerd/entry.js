// The main module of every worker, before its own: looks which handlers there are, answers the node when all modules
// have been evaluated, hands events to the handlers that are for events, and tells the node what was thrown.

import { begin, CODE, thrown, watch } from "./hearth-turn.js";
import * as worker from "./HEARTH_MAIN";

const main = worker.default;
const isClass = typeof main === "function";
const handlers = ["fetch", "scheduled", "queue"].filter((name) => typeof (isClass ? main.prototype?.[name] : main?.[name]) === "function");
if (handlers.length === 0) {
  throw new TypeError("The main module has no default export with a fetch method: write export default { fetch(request, env, ctx) { … } }; or one with scheduled or queue.");
}

// As it is now: the worker's own code may put another in its place.
const OwnResponse = Response;

// Calls a handler. Gives what that gives: a promise, mostly.
function call(name, value, env, ctx) {
  if (!handlers.includes(name)) throw new TypeError(`The worker has no handler ${name}.`);
  return isClass ? new main(ctx, env)[name](value) : main[name](value, env, ctx);
}

export default {
  fetch(request, env, ctx) {
    watch(ctx);
    return begin(request, () => answer(request, env, ctx));
  },
};

// A request of somebody's. What every one of them passes: a response that is there at once has no promise made for it,
// and neither `headers` nor `cf` is looked at, which would cost as much as all the rest here.
function answer(request, env, ctx) {
  try {
    const response = call("fetch", request, env, ctx);
    return response instanceof OwnResponse ? response : later(response);
  } catch (error) {
    return failed(error);
  }
}

async function later(promise) {
  try {
    const response = await promise;
    if (!(response instanceof OwnResponse)) throw new TypeError("The handler fetch gave no Response.");
    return response;
  } catch (error) {
    return failed(error);
  }
}

function failed(error) {
  return OwnResponse.json(thrown(error), { headers: { "x-hearth-failed": CODE } });
}

// The node's orders, which are in `cf`: to say which handlers there are, or an event.
export const hearthOrders = {
  fetch(request, env, ctx) {
    watch(ctx);
    return begin(request, () => obey(request, env, ctx));
  },
};

async function obey(request, env, ctx) {
  try {
    if (request.cf.load) return OwnResponse.json(handlers);
    return await handle(await request.json(), (name, value) => call(name, value, env, ctx));
  } catch (error) {
    return failed(error);
  }
}

// An event: of a schedule, or messages of a queue.
async function handle(event, call) {
  if (!Array.isArray(event.Records)) {
    await call("scheduled", { scheduledTime: Date.parse(event.time), cron: event.detail?.cron ?? event.resources?.[0] ?? "", noRetry() {} });
    return OwnResponse.json(null);
  }
  const batch = new Batch(event.Records);
  await call("queue", batch);
  return OwnResponse.json({ batchItemFailures: batch.failures() });
}

// A batch of messages, as Workers' queues hand it over. What is said first of a message holds.
class Batch {
  #verdicts = new Map();

  constructor(records) {
    this.queue = records[0].eventSourceARN.split(":").at(-1);
    this.messages = records.map((record) => ({
      id: record.messageId,
      timestamp: new Date(Number(record.attributes.SentTimestamp)),
      body: body(record),
      attempts: Number(record.attributes.ApproximateReceiveCount),
      ack: () => this.#say(record.messageId, true),
      retry: () => this.#say(record.messageId, false),
    }));
  }

  ackAll() {
    for (const { id } of this.messages) this.#say(id, true);
  }

  retryAll() {
    for (const { id } of this.messages) this.#say(id, false);
  }

  #say(id, taken) {
    if (!this.#verdicts.has(id)) this.#verdicts.set(id, taken);
  }

  // What was neither acknowledged nor sent back is taken, as the handler ended well.
  failures() {
    return this.messages.filter(({ id }) => this.#verdicts.get(id) === false).map(({ id }) => ({ itemIdentifier: id }));
  }
}

// A sender that binds the queue says what is no JSON.
function body({ body: text, messageAttributes }) {
  const contentType = messageAttributes?.ContentType?.stringValue;
  if (contentType === "text") return text;
  try {
    if (contentType === "bytes") return Uint8Array.fromBase64(text).buffer;
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export * from "./HEARTH_MAIN";
