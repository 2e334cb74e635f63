// The main module of a worker in the syntax of service workers: listeners as handlers.

import { listeners } from "./hearth-listeners.js";
import "./HEARTH_SCRIPT";

function events(type, ctx, members) {
  return { type, ...members, waitUntil: (promise) => ctx.waitUntil(promise), passThroughOnException() {} };
}

const handlers = {
  async fetch(request, env, ctx) {
    let answer;
    const event = events("fetch", ctx, {
      request,
      respondWith(response) {
        if (answer !== undefined) throw new TypeError("respondWith() was called before for this event.");
        answer = response;
      },
    });
    for (const listener of listeners.get("fetch")) {
      listener(event);
      if (answer !== undefined) return await answer;
    }
    throw new TypeError("No listener of fetch has called respondWith().");
  },

  async scheduled({ scheduledTime, cron }, env, ctx) {
    const event = events("scheduled", ctx, { scheduledTime, cron });
    await Promise.all(listeners.get("scheduled").map((listener) => listener(event)));
  },
};

export default Object.fromEntries(Object.entries(handlers).filter(([type]) => listeners.has(type)));
