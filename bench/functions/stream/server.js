"use strict";
// A response in two pieces with a pause between them, of a web server.
const http = require("node:http");
const { FIRST, LAST, PAUSE_MS } = require("./pieces.js");

http
  .createServer((request, response) => {
    response.writeHead(200, { "content-type": "text/plain" });
    response.write(FIRST);
    setTimeout(() => response.end(LAST), PAUSE_MS);
  })
  .listen(Number(process.env.PORT), "127.0.0.1");
