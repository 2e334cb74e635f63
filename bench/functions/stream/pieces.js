"use strict";
// What is streamed. The pause is long beside what a first byte takes, so that a response that is held back shows.
exports.FIRST = "Hello, ";
exports.PAUSE_MS = 10;
exports.LAST = "World!";
