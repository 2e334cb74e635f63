"use strict";
// The same hello as a plain HTTP server: what of-watchdog puts its proxy in front of.
const http = require("node:http");
http
  .createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      const body = JSON.stringify({ hello: JSON.parse(Buffer.concat(parts)).name });
      response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
      response.end(body);
    });
  })
  .listen(Number(process.env.PORT), "127.0.0.1");
