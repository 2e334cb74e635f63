"use strict";
// The same response of a function that streams.
const { setTimeout } = require("node:timers/promises");
const { FIRST, LAST, PAUSE_MS } = require("./pieces.js");

exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const response = awslambda.HttpResponseStream.from(stream, {
    statusCode: 200,
    headers: { "content-type": "text/plain" },
  });
  response.write(FIRST);
  await setTimeout(PAUSE_MS);
  response.end(LAST);
});
