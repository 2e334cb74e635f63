// Evaluated in every worker's isolate before its own code: which request is being worked on, and the way of what
// `console` writes to the node. Each call is one line on the engine's standard output, written before the call is over:
// what a request wrote before its response is there before the response is. The line begins with a character that no
// text of a worker begins one with by chance, and names the code, so that nobody writes into another's log; what a
// worker could say falsely here is what it could say with `console` as well. The node measures for itself.

import { AsyncLocalStorage } from "node:async_hooks";

// The name of this code. Others' names are not known to a worker.
export const CODE = "HEARTH_CODE";

// What of one request's words is kept, characters: as much as the engine would.
const MOST = 256 << 10;

// As they are now: the worker's own code may replace them.
const write = console.log.bind(console);
const { stringify } = JSON;
const now = Date.now.bind(Date);
const { getPrototypeOf } = Object;
const { get } = Headers.prototype;
const { apply } = Reflect;
const turns = new AsyncLocalStorage();

// The one that began last, where the engine does not say which is being worked on.
let latest;

// The request's headers are looked at when there is something to say of it: that costs as much as a small worker does.
function say(turn, what, words = "") {
  if (turn.id === undefined) {
    turn.id = apply(get, turn.request.headers, ["x-amzn-requestid"]);
    turn.request = undefined;
  }
  write("\u0001" + stringify([CODE, turn.id, what, now(), words]));
}

for (const level of ["debug", "error", "info", "log", "warn"]) {
  console[level] = (...values) => {
    const turn = turns.getStore() ?? latest;
    if (turn === undefined || turn.left <= 0) return;
    const words = values.map(text).join(" ").slice(0, turn.left);
    turn.left -= words.length + 1;
    say(turn, level, words);
  };
}

// Strings as they are, errors with where they were made, plain values as JSON.
function text(value) {
  try {
    if (typeof value === "string") return value;
    if (value instanceof Error) return lines(String(value.stack ?? value)).join("\n");
    const plain = value === null || typeof value !== "object" || Array.isArray(value) || typeof value.toJSON === "function";
    if (plain || [Object.prototype, null].includes(getPrototypeOf(value))) return stringify(value) ?? String(value);
    return String(value);
  } catch {
    return "{}";
  }
}

// Works on a request.
export function begin(request, work) {
  const turn = { request, id: undefined, left: MOST, waits: 0 };
  latest = turn;
  return turns.run(turn, work);
}

// The engine does not carry over what is being worked on to listeners of a socket, nor to what a stream calls.
function bound(work) {
  const turn = turns.getStore();
  return turn === undefined || typeof work !== "function" ? work : function (...values) {
    return turns.run(turn, () => work.apply(this, values));
  };
}

const { addEventListener, removeEventListener } = EventTarget.prototype;
// By socket, by listener.
const listeners = new WeakMap();
WebSocket.prototype.addEventListener = function (name, listener, ...rest) {
  const own = listeners.get(this) ?? new Map();
  listeners.set(this, own);
  if (!own.has(listener)) own.set(listener, bound(listener));
  return addEventListener.call(this, name, own.get(listener), ...rest);
};
WebSocket.prototype.removeEventListener = function (name, listener, ...rest) {
  return removeEventListener.call(this, name, listeners.get(this)?.get(listener) ?? listener, ...rest);
};

const CALLS = ["start", "pull", "cancel", "transform", "flush", "write", "close", "abort"];
for (const kind of ["ReadableStream", "TransformStream", "WritableStream"]) {
  globalThis[kind] = new Proxy(globalThis[kind], {
    construct(target, [source, ...rest], made) {
      if (typeof source !== "object" || source === null) return Reflect.construct(target, [source, ...rest], made);
      const own = Object.create(source);
      for (const call of CALLS) {
        const work = source[call];
        if (typeof work === "function") own[call] = bound((...values) => work.apply(source, values));
      }
      return Reflect.construct(target, [own, ...rest], made);
    },
  });
}

const PLACE = /^\s+at /;
const OWN = /\bhearth-(entry|turn)\.js:/;

let watched;

// Has the node told of what `waitUntil` leaves to run: its log is not at its end before that is.
export function watch(ctx) {
  const kind = getPrototypeOf(ctx);
  if (watched === kind) return;
  watched = kind;
  const { waitUntil } = kind;
  kind.waitUntil = function (promise) {
    const turn = turns.getStore();
    if (turn === undefined) return waitUntil.call(this, promise);
    if (turn.waits++ === 0) say(turn, "open");
    return waitUntil.call(this, settled(turn, promise));
  };
}

async function settled(turn, promise) {
  try {
    return await promise;
  } catch (error) {
    const { name, message, stack } = thrown(error);
    console.error(`Uncaught ${name}: ${message}\n${stack}`);
    throw error;
  } finally {
    if (--turn.waits === 0) say(turn, "done");
  }
}

// What is told of an error: its stack without its first lines, which are the message, and without Hearth's own.
export function thrown(error) {
  if (!(error instanceof Error)) return { name: "Error", message: String(error), stack: "" };
  const places = lines(String(error.stack ?? "")).filter((line) => PLACE.test(line));
  return { name: String(error.name), message: String(error.message), stack: places.join("\n") };
}

// Those of a stack that are not Hearth's own.
function lines(stack) {
  return stack.split("\n").filter((line) => !(PLACE.test(line) && OWN.test(line)));
}
