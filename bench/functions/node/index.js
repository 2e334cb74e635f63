"use strict";
// The hello of the benchmarks, for Lambda's runtimes and for functions-framework.
exports.handler = async (event) => ({ hello: event.name });
exports.http = (request, response) => response.json({ hello: request.body.name });
exports.hello = (request, response) => response.json({ message: "Hello, World!" });
