// The main module of every worker, before its own: looks which handlers there are, lets the node wait until all modules
// have been evaluated, and hands events to the handlers that are for events.

import { WorkerEntrypoint } from "cloudflare:workers";
import * as worker from "./HEARTH_MAIN";

const main = worker.default;
const isClass = typeof main === "function";
const handlers = ["fetch", "scheduled", "queue"].filter((name) => typeof (isClass ? main.prototype?.[name] : main?.[name]) === "function");
if (handlers.length === 0) {
  throw new TypeError("The main module has no default export with a fetch method: write export default { fetch(request, env, ctx) { … } }; or one with scheduled or queue.");
}

export class HearthLoaded extends WorkerEntrypoint {
  loaded() {
    return handlers;
  }

  // An event: of a schedule, or messages of a queue.
  async fetch(request) {
    const event = await request.json();
    const { env, ctx } = this;
    const call = (name, value) => (isClass ? new main(ctx, env)[name](value) : main[name](value, env, ctx));
    if (!Array.isArray(event.Records)) {
      await call("scheduled", { scheduledTime: Date.parse(event.time), cron: event.detail?.cron ?? event.resources?.[0] ?? "", noRetry() {} });
      return Response.json(null);
    }
    const batch = new Batch(event.Records);
    await call("queue", batch);
    return Response.json({ batchItemFailures: batch.failures() });
  }
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
export default main;
