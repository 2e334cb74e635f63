// An Express application as its own documentation would have it.
const express = require('express');

const app = express();

app.get('/events', (request, response) => {
  // Server-sent events: one a second, until the client goes away.
  response.set('content-type', 'text/event-stream');
  let n = 0;
  const timer = setInterval(() => response.write(`data: ${n++}\n\n`), 1000);
  request.on('close', () => clearInterval(timer));
});

app.get(['/', '/:name'], (request, response) => {
  response.json({ message: `Hello, ${request.params.name ?? 'world'}!` });
});

app.listen(process.env.PORT ?? 8080);
