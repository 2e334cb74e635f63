// Workers' queues for functions that send: each call is a request to the node, which has the queues and their rules.

import { WorkerEntrypoint } from "cloudflare:workers";

// Messages of one batch, as Workers' queues have it.
const MOST_MESSAGES = 100;

export class Queue extends WorkerEntrypoint {
  async send(body, options) {
    await this.#ask([message(body, options)]);
  }

  async sendBatch(messages, options) {
    const all = Array.from(messages, ({ body, ...own }) => message(body, { ...options, ...own }));
    if (all.length > MOST_MESSAGES) throw new TypeError(`${all.length} messages are too many for one batch; it has up to ${MOST_MESSAGES}.`);
    if (all.length > 0) await this.#ask(all);
  }

  async #ask(messages) {
    const { id, binding } = this.ctx.props;
    const response = await this.env.NODE.fetch(`http://node/queue/${id}/${binding}`, { method: "POST", body: JSON.stringify(messages) });
    if (!response.ok) throw new Error(`Queue send failed: ${await response.text()}`);
  }
}

// A message as the node takes it: its text, what that is, and when it may be delivered.
function message(body, options) {
  const { contentType = "json", delaySeconds } = options ?? {};
  const text = READERS[contentType]?.(body);
  if (text === undefined) throw new TypeError(`A message of the content type "${contentType}" can't be sent: use json, text or bytes, with a body that is one.`);
  return { text, contentType, delaySeconds };
}

// What makes a text of a body, by the content type.
const READERS = {
  __proto__: null,
  json: (body) => JSON.stringify(body),
  text: (body) => (typeof body === "string" ? body : undefined),
  bytes(body) {
    if (body instanceof ArrayBuffer) return new Uint8Array(body).toBase64();
    return ArrayBuffer.isView(body) ? new Uint8Array(body.buffer, body.byteOffset, body.byteLength).toBase64() : undefined;
  },
};
