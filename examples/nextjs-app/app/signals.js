// Who waits for which signal. Pages and route handlers are bundles of their own and share nothing but what is global,
// and only within one environment of the function.
const waiting = (globalThis.waitingForSignals ??= new Map());

// Nobody is waited for longer than this.
const PATIENCE_MS = 60_000;

/** Resolves when the signal is sent, or when patience is over. */
export function heard(name) {
  return new Promise((resolve) => {
    const listeners = waiting.get(name) ?? new Set();
    waiting.set(name, listeners.add(wake));
    const timer = setTimeout(wake, PATIENCE_MS);
    function wake() {
      clearTimeout(timer);
      listeners.delete(wake);
      if (listeners.size === 0) waiting.delete(name);
      resolve();
    }
  });
}

/** Wakes all who wait for the signal; gives how many they were. */
export function send(name) {
  const listeners = [...(waiting.get(name) ?? [])];
  listeners.forEach((wake) => wake());
  return listeners.length;
}
