// Workers KV for functions: each call is a request to the node, which has the store and its rules.

import { WorkerEntrypoint } from "cloudflare:workers";

// Keys of one bulk read, as Workers KV has it.
const MOST_KEYS = 100;

const READERS = {
  text: (response) => response.text(),
  json: (response) => response.json(),
  arrayBuffer: (response) => response.arrayBuffer(),
  stream: (response) => response.body,
};

export class KeyValue extends WorkerEntrypoint {
  async get(key, options) {
    return await this.#read(key, options, ({ value }) => value);
  }

  async getWithMetadata(key, options) {
    return await this.#read(key, options, (found) => found);
  }

  async put(key, value, options) {
    const known = typeof value === "string" || value instanceof ArrayBuffer || ArrayBuffer.isView(value) || value instanceof ReadableStream;
    if (!known) throw new TypeError("put() takes a string, an ArrayBuffer, a view of one or a ReadableStream as value.");
    const query = { key: named(key) };
    const { expiration, expirationTtl, metadata } = options ?? {};
    if (expiration != null) query.expiration = expiration;
    if (expirationTtl != null) query.ttl = expirationTtl;
    const headers = metadata == null ? {} : { "x-hearth-metadata": encodeURIComponent(JSON.stringify(metadata)) };
    await this.#ask("put", "PUT", query, { headers, body: value });
  }

  async delete(key) {
    await this.#ask("delete", "DELETE", { key: named(key) });
  }

  async list(options) {
    const query = {};
    for (const name of ["prefix", "limit", "cursor"]) {
      if (options?.[name] != null) query[name] = options[name];
    }
    const response = await this.#ask("list", "GET", query);
    return { ...(await response.json()), cacheStatus: null };
  }

  async #read(key, options, pick) {
    const type = typeof options === "string" ? options : (options?.type ?? "text");
    const reader = Object.hasOwn(READERS, type) && READERS[type];
    if (!reader) throw new TypeError(`"${type}" is no type of a value: use text, json, arrayBuffer or stream.`);
    if (!Array.isArray(key)) return pick(await this.#one(key, reader));
    if (type !== "text" && type !== "json") throw new TypeError("Several keys at once are read as text or json.");
    if (key.length > MOST_KEYS) throw new TypeError(`${key.length} keys are too many for one call; it takes up to ${MOST_KEYS}.`);
    return new Map(await Promise.all(key.map(async (one) => [one, pick(await this.#one(one, reader))])));
  }

  async #one(key, reader) {
    const response = await this.#ask("get", "GET", { key: named(key) });
    if (response.status === 204) return { value: null, metadata: null, cacheStatus: null };
    const metadata = response.headers.get("x-hearth-metadata");
    return {
      value: await reader(response),
      metadata: metadata === null ? null : JSON.parse(decodeURIComponent(metadata)),
      cacheStatus: null,
    };
  }

  async #ask(what, method, query, init) {
    const { id, binding } = this.ctx.props;
    const url = `http://node/keyvalue/${id}/${binding}/${what}?${new URLSearchParams(query)}`;
    const response = await this.env.NODE.fetch(url, { method, ...init });
    if (!response.ok) throw new Error(`KV ${what} failed: ${response.status} ${await response.text()}`);
    return response;
  }
}

function named(key) {
  if (typeof key !== "string") throw new TypeError("A key is a string.");
  return key;
}
