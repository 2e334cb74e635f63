// Stands before a worker in the syntax of service workers: what it binds are globals, and what it listens to is kept.

import { env } from "cloudflare:workers";

export const listeners = new Map();

const before = globalThis.addEventListener;
globalThis.addEventListener = (type, listener, options) => {
  if (type !== "fetch" && type !== "scheduled") return before?.call(globalThis, type, listener, options);
  if (!listeners.has(type)) listeners.set(type, []);
  listeners.get(type).push(typeof listener === "function" ? listener : (event) => listener.handleEvent(event));
};

for (const [name, value] of Object.entries(env)) globalThis[name] = value;
