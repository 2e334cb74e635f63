import { Suspense } from 'react';

import { heard } from '../signals';

// The shell is sent at once, and the slow part when it is there.
export default async function Page({ searchParams }) {
  const { wait } = await searchParams;
  return (
    <main>
      <h1>The shell</h1>
      <Suspense fallback={<p id="fallback">The slow part is on its way…</p>}>
        <Slow wait={wait} />
      </Suspense>
    </main>
  );
}

// Takes a second, or with `?wait=NAME` until somebody sends the signal: `POST /api/signals/NAME`.
async function Slow({ wait }) {
  const began = Date.now();
  await (wait === undefined ? new Promise((done) => setTimeout(done, 1000)) : heard(String(wait)));
  return <p id="slow">The slow part, after {Date.now() - began} ms.</p>;
}
