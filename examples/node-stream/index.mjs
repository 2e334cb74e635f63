import { setTimeout } from 'node:timers/promises';

// Server-sent events, each sent as soon as it is written.
export const handler = awslambda.streamifyResponse(async (event, stream) => {
  const { name = 'world', pause = '0' } = event.queryStringParameters ?? {};
  const response = awslambda.HttpResponseStream.from(stream, {
    statusCode: 200,
    headers: { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' },
  });
  for (const word of ['Hello,', `${name}!`]) {
    response.write(`data: ${word}\n\n`);
    if (pause > 0) await setTimeout(Number(pause));
  }
  response.end();
});
