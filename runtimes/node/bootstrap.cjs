/**
 * Hearth's Lambda runtime for Node.js 16 and later: `node /var/runtime/bootstrap.cjs`, working directory /var/task.
 *
 * One file, CommonJS, and only built-in modules that Node has loaded by itself before it comes here: the time to read
 * and compile anything more is part of every cold start.
 *
 * Reading order, from the outside in: `main`, `Invocation`, `StreamingInvocation`, `loadHandler`, then what they use:
 * errors, the console, the connection to the Runtime API.
 *
 * The event loop is part of Lambda's contract. While a handler runs, the connection does not keep the process alive,
 * so `beforeExit` says "the event loop is empty": the moment at which a callback's result is sent.
 *
 * With AWS_LAMBDA_MAX_CONCURRENCY above 1 there are as many connections, each of which asks for one invocation after
 * the other, all on one event loop. Which invocation a line of the log belongs to is known from the asynchronous
 * context; an event loop that all share is no invocation's, and is never asked whether it is empty.
 */
'use strict';

const fs = require('fs');
const Module = require('module');
const net = require('net');
const path = require('path');
const { Writable } = require('stream');
const { pathToFileURL } = require('url');
const util = require('util');

const RUNTIME_PATH = '/2018-06-01/runtime/';
// Exit codes by which Lambda's own runtime tells these two ends apart.
const EXIT_UNCAUGHT_EXCEPTION = 129;
const EXIT_UNHANDLED_REJECTION = 128;
const EXIT_RUNTIME_API = 1;
// Node's own code for a top-level await that never settles.
const EXIT_UNSETTLED_INIT = 13;
const PAYLOAD_TOO_LARGE = 413;
// What the platform answers to a result that comes after the invocation's time was up, where others run beside it.
const GONE = 410;
// Lambda's runtime and libraries built on it find each other by these names.
const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');
const REQUEST_ID = Symbol.for('aws.lambda.runtime.requestId');
const TENANT_ID = Symbol.for('aws.lambda.runtime.tenantId');
const STORE_REQUEST_ID = Symbol.for('_AWS_LAMBDA_REQUEST_ID');
const STORE_TRACE_ID = Symbol.for('_AWS_LAMBDA_X_RAY_TRACE_ID');
const STORE_TENANT_ID = Symbol.for('_AWS_LAMBDA_TENANT_ID');
const HTTP_PRELUDE_TYPE = 'application/vnd.awslambda.http-integration-response';
const PRELUDE_END = Buffer.alloc(8);
// HTTP servers take about 16 KiB of trailers; base64 makes four bytes of three.
const MAX_TRAILER_BYTES = 9 * 1024;
const MAX_ERROR_TYPE = 1024;
// A process may have 1,024 files open: half of them for the connections, the rest for the function.
const MAX_LANES = 512;
const LANES = Math.min(MAX_LANES, Number(process.env.AWS_LAMBDA_MAX_CONCURRENCY) || 1);
/** The invocation that code runs for, where several run at the same time. */
const scope = LANES > 1 ? new (require('async_hooks').AsyncLocalStorage)() : null;

/** The invocations whose handlers are running. */
const running = new Set();
let initialised = false;
/** Set once an uncaught error is being reported: the process ends with the answer. */
let dying = false;

async function main() {
  patchConsole();
  const address = process.env.AWS_LAMBDA_RUNTIME_API || '127.0.0.1:9001';
  const first = new Connection(address);
  process.on('uncaughtException', (error) => {
    logError('Uncaught Exception', error);
    die(error, EXIT_UNCAUGHT_EXCEPTION, first);
  });
  process.on('unhandledRejection', (reason, promise) => {
    const error = new RuntimeErrors.UnhandledPromiseRejection(describeReason(reason));
    error.reason = reason;
    error.promise = promise;
    logError('Unhandled Promise Rejection', error);
    die(error, EXIT_UNHANDLED_REJECTION, first);
  });
  process.on('beforeExit', () => {
    if (dying) return;
    if (running.size > 0) for (const invocation of running) invocation.eventLoopEmpty();
    else if (!initialised) {
      writeAll(2, 'hearth runtime: the event loop is empty, but the module with the handler never finished loading\n');
      process.exit(EXIT_UNSETTLED_INIT);
    }
  });

  addLayerPaths();
  provideStreamingGlobal();
  if (scope) globalThis.awslambda.InvokeStore = new InvokeStore();
  let handler;
  let streaming;
  try {
    handler = await loadHandler(process.env.LAMBDA_TASK_ROOT || process.cwd(), process.env._HANDLER || '');
    streaming = isStreaming(handler);
  } catch (error) {
    logError('Uncaught Exception', error);
    die(error, EXIT_UNCAUGHT_EXCEPTION, first);
    return;
  }
  initialised = true;
  const InvocationKind = streaming ? StreamingInvocation : Invocation;
  const serve = (connection) => {
    connection.onInvocation = (headers, body) => {
      const invocation = new InvocationKind(connection, headers);
      connection.invocation = invocation;
      running.add(invocation);
      invocation.within(() => invocation.run(handler, body));
    };
    connection.next();
  };
  serve(first);
  for (let lane = 1; lane < LANES; lane++) serve(new Connection(address));
}

/**
 * Reports an error that no handler can answer for any more, then ends the process: to the invocation that it comes from,
 * or to the only one there is. The platform tells the callers of all others that the process has ended.
 */
function die(error, code, first) {
  if (dying) return;
  dying = true;
  const end = () => process.exit(code);
  const [any] = running;
  const source = (scope && scope.getStore()) || (running.size === 1 ? any : undefined);
  if (source && running.has(source)) source.reportAndThen(error, end);
  else if (!initialised) first.postError('init/error', toReport(error), end);
  else end();
}

// ---------------------------------------------------------------------------------------------------------------
// Invocations

/** One invocation of a handler that answers with a value: by promise, callback or the context's old methods. */
class Invocation {
  constructor(connection, headers) {
    this.connection = connection;
    this.headers = headers;
    this.id = headers['lambda-runtime-aws-request-id'];
    this.tenant = headers['lambda-runtime-aws-tenant-id'];
    this.trace = headers['lambda-runtime-trace-id'];
    this.waitsForEmptyEventLoop = !scope;
    /** What to do when the event loop is empty; without a word from the handler, the result is null. */
    this.onEmpty = () => this.succeed(null);
    this.finished = false;
    if (!scope) this.makeGlobal();
  }

  /** What libraries look for in places of which the process has one. */
  makeGlobal() {
    globalThis[REQUEST_ID] = this.id;
    globalThis[TENANT_ID] = this.tenant;
    if (!this.trace) delete process.env._X_AMZN_TRACE_ID;
    else if (process.env._X_AMZN_TRACE_ID !== this.trace) process.env._X_AMZN_TRACE_ID = this.trace;
  }

  /** Runs `code` for this invocation. */
  within(code) {
    if (scope) scope.run(this, code);
    else code();
  }

  run(handler, body) {
    try {
      const result = handler(JSON.parse(body), this.context(), (error, value) => this.callback(error, value));
      if (isPromise(result)) {
        result.then(
          (value) => this.succeed(value),
          (error) => this.fail(error),
        );
      } else if (scope && handler.length < 3) this.succeed(null);
    } catch (error) {
      this.fail(error);
    }
  }

  context() {
    const invocation = this;
    const deadline = Number(this.headers['lambda-runtime-deadline-ms']);
    return {
      get callbackWaitsForEmptyEventLoop() {
        return invocation.waitsForEmptyEventLoop;
      },
      set callbackWaitsForEmptyEventLoop(value) {
        invocation.waitsForEmptyEventLoop = value && !scope;
      },
      ...this.completionMethods(),
      functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
      functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
      memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
      logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
      logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
      clientContext: parseHeader(this.headers['lambda-runtime-client-context'], 'ClientContext'),
      identity: parseHeader(this.headers['lambda-runtime-cognito-identity'], 'CognitoIdentity'),
      invokedFunctionArn: this.headers['lambda-runtime-invoked-function-arn'],
      awsRequestId: this.id,
      xRayTraceId: this.trace,
      tenantId: this.tenant,
      getRemainingTimeInMillis: () => deadline - Date.now(),
    };
  }

  completionMethods() {
    return {
      succeed: (result) => this.succeed(result),
      fail: (error) => this.fail(error),
      done: (error, result) => (isNothing(error) ? this.succeed(result) : this.fail(error)),
    };
  }

  callback(error, result) {
    if (this.finished || this.called) return;
    this.called = true;
    if (!isNothing(error)) this.fail(error);
    else if (this.waitsForEmptyEventLoop) this.onEmpty = () => this.succeed(result);
    else this.succeed(result);
  }

  eventLoopEmpty() {
    this.onEmpty();
  }

  succeed(result) {
    if (this.finished || dying) return;
    let body;
    try {
      // A result without a JSON form that is no error either (undefined, a function) becomes null.
      body = JSON.stringify(result) ?? 'null';
    } catch {
      this.fail(new Error('Unable to stringify response body'));
      return;
    }
    this.finish();
    this.connection.post(`invocation/${this.id}/response`, '', body, true);
  }

  fail(error) {
    if (this.finished || dying) return;
    const cause = isNothing(error) ? 'handled' : error;
    this.within(() => logError('Invoke Error', cause));
    this.finish();
    this.connection.postError(`invocation/${this.id}/error`, toReport(cause), null);
  }

  /** See the streaming one: a result that is whole can't be cut. */
  cut() {
    return false;
  }

  reportAndThen(error, then) {
    this.finished = true;
    this.connection.postError(`invocation/${this.id}/error`, toReport(error), then);
  }

  finish() {
    this.finished = true;
    running.delete(this);
  }
}

/** One invocation of a handler made by `awslambda.streamifyResponse`. */
class StreamingInvocation extends Invocation {
  run(handler, body) {
    this.returned = false;
    this.onEmpty = () => this.fail(new Error('Response stream is not finished.'));
    this.stream = new ResponseStream(this, highWaterMark(handler));
    this.stream.once('finish', () => this.advance());
    this.stream.on('error', (error) => this.fail(error));
    this.stream.once('close', () => this.stream.writableFinished || this.fail(new Error('Response stream is not finished.')));
    try {
      const result = handler(JSON.parse(body), this.stream, this.context());
      if (!isPromise(result)) {
        this.fail('Streaming does not support non-async handlers.');
        return;
      }
      result.then(
        (value) => {
          if (value !== undefined) console.warn('Streaming handlers ignore return values.');
          this.returned = true;
          this.advance();
        },
        (error) => this.fail(error),
      );
    } catch (error) {
      this.fail(error);
    }
  }

  completionMethods() {
    return {};
  }

  /**
   * The platform takes no more of the response: its time is up, or its caller has gone. False if that is nothing that
   * this invocation can be ended for.
   */
  cut() {
    if (!scope || dying || this.finished) return false;
    this.stream._ended = true;
    this.connection.renew();
    this.stream.destroy(new Error('The response is not wanted any more: its time is up, or its caller has gone.'));
    return true;
  }

  /** Goes on to the next invocation when the handler has returned and its stream has ended. */
  advance() {
    if (!this.returned || !this.stream.writableFinished || this.finished || dying) return;
    const next = () => {
      this.finish();
      this.connection.next();
    };
    if (this.waitsForEmptyEventLoop) this.onEmpty = next;
    else next();
  }

  fail(error) {
    if (this.finished || dying) return;
    this.within(() => logError('Invoke Error', error));
    this.finish();
    if (this.stream.endWithError(error, null)) this.connection.next();
    else this.connection.postError(`invocation/${this.id}/error`, toReport(error), null);
  }

  reportAndThen(error, then) {
    this.finished = true;
    if (!this.stream.endWithError(error, then)) super.reportAndThen(error, then);
  }
}

/** The stream that a streaming handler writes its response to: chunks of one POST. */
class ResponseStream extends Writable {
  constructor(invocation, highWaterMark) {
    super(highWaterMark === undefined ? {} : { highWaterMark });
    this._invocation = invocation;
    this._connection = invocation.connection;
    this._contentType = 'application/octet-stream';
    this._writeCalled = false;
    this._headSent = false;
    this._ended = false;
    this._then = null;
  }

  setContentType(contentType) {
    if (this._writeCalled) throw new RuntimeErrors.InvalidStreamingOperation('Cannot set content-type, too late.');
    this._contentType = contentType;
  }

  write(chunk, ...rest) {
    this._writeCalled = true;
    return super.write(toBytes(chunk), ...rest);
  }

  end(chunk, ...rest) {
    this._writeCalled = true;
    return typeof chunk === 'function' || isNothing(chunk) ? super.end(chunk, ...rest) : super.end(toBytes(chunk), ...rest);
  }

  _write(chunk, _encoding, done) {
    if (this._ended) return done();
    const parts = this._head();
    pushChunk(parts, chunk);
    this._connection.write(parts, done);
  }

  _writev(chunks, done) {
    if (this._ended) return done();
    const parts = this._head();
    for (const { chunk } of chunks) pushChunk(parts, chunk);
    this._connection.write(parts, done);
  }

  _final(done) {
    if (this._ended) return done();
    const parts = this._head();
    this._ended = true;
    parts.push('0\r\n\r\n');
    this._connection.write(parts, done);
  }

  _head() {
    if (this._headSent) return [];
    this._headSent = true;
    const parts = [
      `POST ${RUNTIME_PATH}invocation/${this._invocation.id}/response HTTP/1.1\r\nHost: ${this._connection.address}\r\n` +
        'Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n' +
        'Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n' +
        `Content-Type: ${headerSafe(this._contentType)}\r\n\r\n`,
    ];
    this._connection.expect((status, _headers, body) => {
      if (this._then) this._then();
      else if (status !== GONE || !this._invocation.cut()) checkAccepted(status, body);
    });
    if (this._onBeforeFirstWrite) this._onBeforeFirstWrite((chunk) => pushChunk(parts, toBuffer(chunk)));
    return parts;
  }

  /** Ends a response that has begun with an error in its trailers; false if nothing of it was sent yet. */
  endWithError(error, then) {
    if (this._ended) {
      // The response is complete: what failed afterwards can only be logged.
      if (then) then();
      return true;
    }
    this._ended = true;
    if (!this._headSent) return false;
    const report = toReport(error);
    this._then = then;
    this._connection.write([
      `0\r\nLambda-Runtime-Function-Error-Type: ${headerSafe(report.errorType).slice(0, MAX_ERROR_TYPE)}\r\n` +
        `Lambda-Runtime-Function-Error-Body: ${Buffer.from(trailerJson(report)).toString('base64')}\r\n\r\n`,
    ]);
    return true;
  }
}

/** A report as JSON that fits a trailer: the end of the stack goes first, then the end of the message. */
function trailerJson({ errorType, errorMessage, trace }) {
  errorType = errorType.slice(0, MAX_ERROR_TYPE);
  for (;;) {
    const json = JSON.stringify({ errorType, errorMessage, trace });
    if (Buffer.byteLength(json) <= MAX_TRAILER_BYTES) return json;
    if (trace.length > 0) trace = trace.slice(0, trace.length >> 1);
    else errorMessage = errorMessage.slice(0, errorMessage.length >> 1);
  }
}

function pushChunk(parts, chunk) {
  if (chunk.length > 0) parts.push(`${chunk.length.toString(16)}\r\n`, chunk, '\r\n');
}

function toBytes(chunk) {
  return typeof chunk === 'string' || chunk instanceof Uint8Array ? chunk : JSON.stringify(chunk);
}

function toBuffer(chunk) {
  return typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
}

function isPromise(value) {
  return !!value && typeof value.then === 'function';
}

function isNothing(value) {
  return value === undefined || value === null;
}

function parseHeader(text, name) {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`Cannot parse ${name} as json: ${error}`);
  }
}

/**
 * What AWS's libraries ask about the invocation that they run for, where several run at the same time: the interface of
 * `@aws/lambda-invoke-store`, which uses this one if it is there.
 */
class InvokeStore {
  isProtectedKey(key) {
    return key === STORE_REQUEST_ID || key === STORE_TRACE_ID || key === STORE_TENANT_ID;
  }

  run(context, code) {
    return scope.run({ id: context[STORE_REQUEST_ID], tenant: context[STORE_TENANT_ID], store: context }, code);
  }

  getContext() {
    const invocation = scope.getStore();
    if (!invocation) return undefined;
    invocation.store ??= {
      [STORE_REQUEST_ID]: invocation.id,
      [STORE_TRACE_ID]: invocation.trace,
      [STORE_TENANT_ID]: invocation.tenant,
    };
    return invocation.store;
  }

  hasContext() {
    return scope.getStore() !== undefined;
  }

  get(key) {
    return this.getContext()?.[key];
  }

  set(key, value) {
    if (this.isProtectedKey(key)) throw new Error(`Cannot modify protected Lambda context field: ${String(key)}`);
    const context = this.getContext();
    if (!context) throw new Error('No context available');
    context[key] = value;
  }

  getRequestId() {
    return this.get(STORE_REQUEST_ID) ?? '-';
  }

  getXRayTraceId() {
    return this.get(STORE_TRACE_ID);
  }

  getTenantId() {
    return this.get(STORE_TENANT_ID);
  }
}

// ---------------------------------------------------------------------------------------------------------------
// The function's code

/** Lets `require` find modules in layers, in Lambda's order. */
function addLayerPaths() {
  const major = process.versions.node.split('.')[0];
  const wanted = [`/opt/nodejs/node${major}/node_modules`, '/opt/nodejs/node_modules', '/var/runtime/node_modules'];
  const present = (process.env.NODE_PATH || '').split(':').filter(Boolean);
  const missing = wanted.filter((folder) => !present.includes(folder));
  if (missing.length === 0) return;
  process.env.NODE_PATH = [...present, ...missing].join(':');
  Module._initPaths();
}

/** The function that `handler` names: `file.fn`, `folder/file.fn`, `file.object.fn`. */
async function loadHandler(root, handler) {
  if (handler.includes('..')) {
    throw new RuntimeErrors.MalformedHandlerName(
      `'${handler}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`,
    );
  }
  const base = path.basename(handler);
  const folder = handler.slice(0, handler.lastIndexOf(base));
  const dot = base.indexOf('.');
  if (dot < 0) throw new RuntimeErrors.MalformedHandlerName('Bad handler');
  const module = await loadModule(root, folder, base.slice(0, dot));
  const found = base
    .slice(dot + 1)
    .split('.')
    .reduce((owner, name) => owner && owner[name], module);
  if (!found) throw new RuntimeErrors.HandlerNotFound(`${handler} is undefined or not exported`);
  if (typeof found !== 'function') throw new RuntimeErrors.HandlerNotFound(`${handler} is not a function`);
  return found;
}

async function loadModule(root, folder, name) {
  const file = path.resolve(root, folder, name);
  const exists = (extension) => fs.existsSync(file + extension);
  const load = (extension) => import(pathToFileURL(file + extension).href);
  try {
    if (isFile(file)) return require(file);
    if (exists('.js')) return isModulePackage(path.dirname(file)) ? await load('.js') : require(file + '.js');
    if (exists('.mjs')) return await load('.mjs');
    if (exists('.cjs')) return require(file + '.cjs');
    return require(require.resolve(name, { paths: [root, path.resolve(root, folder)] }));
  } catch (error) {
    if (error instanceof SyntaxError) throw new RuntimeErrors.UserCodeSyntaxError(String(error), error);
    if (error && error.code === 'MODULE_NOT_FOUND') throw new RuntimeErrors.ImportModuleError(String(error), error);
    throw error;
  }
}

function isFile(file) {
  const stat = fs.statSync(file, { throwIfNoEntry: false });
  return stat !== undefined && stat.isFile();
}

/** Whether the nearest package.json says `"type": "module"`. */
function isModulePackage(folder) {
  if (path.basename(folder) === 'node_modules') return false;
  let text;
  try {
    text = fs.readFileSync(path.join(folder, 'package.json'), 'utf8');
  } catch {
    const parent = path.dirname(folder);
    return parent !== folder && isModulePackage(parent);
  }
  try {
    return JSON.parse(text).type === 'module';
  } catch (error) {
    console.warn(`${path.join(folder, 'package.json')} cannot be read, it is ignored for ES module detection.`, error);
    return false;
  }
}

function provideStreamingGlobal() {
  globalThis.awslambda = {
    streamifyResponse(handler, options) {
      handler[STREAMING] = 'response';
      if (options && typeof options.highWaterMark === 'number') handler[HIGH_WATER_MARK] = Math.trunc(options.highWaterMark);
      return handler;
    },
    HttpResponseStream: class HttpResponseStream {
      /** Makes `stream` start with the status, headers and cookies of an HTTP response. */
      static from(stream, prelude) {
        stream.setContentType(HTTP_PRELUDE_TYPE);
        const text = JSON.stringify(prelude);
        stream._onBeforeFirstWrite = (write) => {
          write(text);
          write(PRELUDE_END);
        };
        return stream;
      }
    },
  };
}

function isStreaming(handler) {
  const mark = handler[STREAMING];
  if (isNothing(mark) || mark === false) return false;
  if (mark === 'response') return true;
  throw new RuntimeErrors.MalformedStreamingHandler('Only response streaming is supported.');
}

function highWaterMark(handler) {
  const mark = Number(handler[HIGH_WATER_MARK]);
  return mark > 0 ? mark : undefined;
}

// ---------------------------------------------------------------------------------------------------------------
// Errors

/** Errors that the runtime itself finds, under Lambda's names. */
const RuntimeErrors = {};
for (const name of [
  'ImportModuleError', 'HandlerNotFound', 'MalformedHandlerName', 'UserCodeSyntaxError', 'MalformedStreamingHandler',
  'InvalidStreamingOperation', 'UnhandledPromiseRejection',
]) {
  RuntimeErrors[name] = class extends Error {
    constructor(message, cause) {
      super(message);
      // The place in the function's code says more than the place in this file.
      if (cause && typeof cause.stack === 'string') this.stack = `${this.name}: ${cause.stack}`;
    }
  };
  RuntimeErrors[name].prototype.name = `Runtime.${name}`;
}

function describeReason(reason) {
  try {
    return String(reason);
  } catch {
    return 'a value that cannot be shown as text';
  }
}

function isError(value) {
  return (
    util.types.isNativeError(value) ||
    (!!value && [value.name, value.message, value.stack].every((part) => part && typeof part === 'string'))
  );
}

/** An error as the Runtime API takes it. Whatever the function threw, this does not throw. */
function toReport(error) {
  try {
    if (isError(error)) {
      // DEL has no place in what may become a header.
      const clean = (text) => String(text).replace(/\x7F/g, '%7F');
      return { errorType: clean(error.name), errorMessage: clean(error.message), trace: clean(error.stack).split('\n') };
    }
    return { errorType: typeof error, errorMessage: String(error), trace: [] };
  } catch {
    return {
      errorType: 'handled',
      errorMessage:
        'callback called with Error argument, but there was a problem while retrieving one or more of its message, name, and stack',
    };
  }
}

function headerSafe(text) {
  return String(text).replace(/[^\x20-\x7E]/g, '?');
}

// ---------------------------------------------------------------------------------------------------------------
// The console

const LEVELS = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];
const METHODS = { trace: 0, debug: 1, info: 2, log: 2, warn: 3, error: 4, fatal: 5 };
const LOGS_JSON = (process.env.AWS_LAMBDA_LOG_FORMAT || '').toUpperCase() === 'JSON';

/** Gives `console` Lambda's line format; lines below the configured level are dropped. */
function patchConsole() {
  const threshold = Math.max(0, LEVELS.indexOf((process.env.AWS_LAMBDA_LOG_LEVEL || '').toUpperCase()));
  const format = LOGS_JSON ? jsonLine : textLine;
  for (const [method, level] of Object.entries(METHODS)) {
    // Line breaks inside an entry become carriage returns: one entry is one line of the log.
    console[method] =
      level < threshold && method !== 'fatal'
        ? () => {}
        : (...values) => writeAll(1, format(LEVELS[level], values).replace(/\n/g, '\r') + '\n');
  }
}

function requestId() {
  return scope ? scope.getStore()?.id : globalThis[REQUEST_ID];
}

function textLine(level, values) {
  return `${new Date().toISOString()}\t${requestId()}\t${level}\t${util.format(...values)}`;
}

function jsonLine(level, values) {
  const line = { timestamp: new Date().toISOString(), level, requestId: requestId() };
  const tenant = scope ? scope.getStore()?.tenant : globalThis[TENANT_ID];
  if (!isNothing(tenant)) line.tenantId = tenant;
  if (values.length === 1) {
    try {
      return JSON.stringify({ ...line, message: values[0] }, errorsAsObjects);
    } catch {
      // A circular structure or a BigInt: as text.
    }
  }
  line.message = util.format(...values);
  const error = values.length > 1 ? values.find((value) => value instanceof Error) : undefined;
  return JSON.stringify(error ? { ...line, ...errorFields(error) } : line);
}

function errorsAsObjects(_key, value) {
  return value instanceof Error ? { ...errorFields(value), ...value } : value;
}

function errorFields(error) {
  return {
    errorType: (error.constructor && error.constructor.name) || 'UnknownError',
    errorMessage: error.message,
    stackTrace: typeof error.stack === 'string' ? error.stack.split('\n') : [],
  };
}

/** Logs an error that ends an invocation or the process. */
function logError(title, cause) {
  try {
    const error = cause instanceof Error ? cause : new Error(describeReason(cause));
    if (LOGS_JSON) {
      console.error(error);
      return;
    }
    let fields;
    try {
      fields = JSON.stringify(error, (_key, value) =>
        value instanceof Error
          ? {
              errorType: value.name,
              errorMessage: value.message,
              code: value.code,
              ...value,
              ...(typeof value.stack === 'string' && { stack: value.stack.split('\n') }),
            }
          : value,
      );
    } catch {
      fields = JSON.stringify(toReport(error));
    }
    console.error(title, `\t${fields}`);
  } catch {
    // An error object whose own getters throw: the report still goes out.
  }
}

/** Writes all of `text`, whatever the descriptor's mode: nothing is lost if the process exits right after. */
function writeAll(descriptor, text) {
  let data = Buffer.from(text);
  while (data.length > 0) {
    try {
      data = data.subarray(fs.writeSync(descriptor, data));
    } catch (error) {
      if (error.code !== 'EAGAIN') return; // the function closed its output
      // The pipe is full and `process.stdout` has made it non-blocking: wait a millisecond for its reader.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------
// The Runtime API

// The head of an invocation holds a client context of up to 3,583 bytes, an identity, a trace and an ARN.
const MAX_HEAD_BYTES = 64 * 1024;
// Far above any payload that Lambda allows: a bound against a length that cannot be meant.
const MAX_BODY_BYTES = 1024 * 1024 * 1024;
const READ_BUFFER_BYTES = 64 * 1024;
const NOTHING = Buffer.alloc(0);
// One for all connections: what is read has been used or copied before the next read.
const readBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);

/** Ends the process because the Runtime API cannot be used. */
function giveUp(reason) {
  writeAll(2, `hearth runtime: ${reason}\n`);
  process.exit(EXIT_RUNTIME_API);
}

/** Whether the platform took a result. One that it finds too large has been recorded as failed, and life goes on. */
function checkAccepted(status, body) {
  if (status === PAYLOAD_TOO_LARGE) writeAll(2, 'hearth runtime: the result is larger than the platform accepts\n');
  else if (status === GONE && scope) writeAll(2, 'hearth runtime: the result came after the invocation had timed out\n');
  else if (status < 200 || status > 299) giveUp(`the Runtime API refused the result with ${status}: ${body.toString('utf8', 0, 200)}`);
}

/**
 * One persistent HTTP/1.1 connection. Answers come in the order of the requests, so that a result and the question for
 * the next invocation leave in one write.
 */
class Connection {
  constructor(address) {
    this.address = address;
    const colon = address.lastIndexOf(':');
    this.host = colon < 0 ? address : address.slice(0, colon);
    this.port = colon < 0 ? 80 : Number(address.slice(colon + 1));
    this.nextRequest = `GET ${RUNTIME_PATH}invocation/next HTTP/1.1\r\nHost: ${address}\r\n\r\n`;
    /** The invocation that came last. */
    this.invocation = null;
    this.open();
  }

  open() {
    if (!(Number.isInteger(this.port) && this.port > 0 && this.port < 65536)) {
      giveUp(`AWS_LAMBDA_RUNTIME_API is not host:port: ${this.address}`);
    }
    /** What to do with the answers to come, in order. */
    this.expected = [];
    /** Bytes that do not make a whole part of an answer yet. */
    this.pending = NOTHING;
    /** The answer being read, from its head to the end of its body. */
    this.answer = null;
    const socket = net.connect({
      host: this.host,
      port: this.port,
      onread: {
        buffer: readBuffer,
        callback: (count, buffer) => {
          if (socket === this.socket) this.read(buffer.subarray(0, count));
          return true;
        },
      },
    });
    this.socket = socket;
    socket.setNoDelay(true);
    const lost = (reason) => {
      if (socket !== this.socket || (this.invocation && this.invocation.cut())) return;
      giveUp(`lost the connection to the Runtime API: ${reason}`);
    };
    socket.on('error', (error) => lost(error.message));
    socket.on('end', () => lost('closed by the other side'));
    socket.on('close', () => lost('closed'));
  }

  /** Connects anew, and asks anew if a question for the next invocation is lost. */
  renew() {
    const asked = this.expected.length > 0;
    this.socket.destroy();
    this.open();
    if (asked) this.next();
  }

  /** Asks for the next invocation; from here on the connection keeps the process alive. */
  next() {
    this.socket.ref();
    this.socket.write(this.nextRequest);
    this.expectInvocation();
  }

  expectInvocation() {
    this.expect((status, headers, body) => {
      if (status !== 200) giveUp(`the Runtime API answered ${status} to the request for the next invocation`);
      if (!headers['lambda-runtime-aws-request-id'] || !/^\d+$/.test(headers['lambda-runtime-deadline-ms'])) {
        giveUp('an invocation from the Runtime API lacks its request id or its deadline');
      }
      if (!scope) this.socket.unref();
      this.onInvocation(headers, body.toString());
    });
  }

  /** Posts a JSON result, with the question for the next invocation behind it if `thenNext`. */
  post(resource, headers, body, thenNext, onAnswer) {
    this.socket.ref();
    const head =
      `POST ${RUNTIME_PATH}${resource} HTTP/1.1\r\nHost: ${this.address}\r\nContent-Type: application/json\r\n${headers}` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
    this.socket.write(thenNext ? head + body + this.nextRequest : head + body);
    this.expect((status, answerHeaders, answer) => {
      if (onAnswer) {
        onAnswer();
        return;
      }
      checkAccepted(status, answer);
      if (answerHeaders.connection === 'close' && thenNext) this.renew();
    });
    if (thenNext) this.expectInvocation();
  }

  /** Posts an error. Goes on to the next invocation, unless `onAnswer` has other plans. */
  postError(resource, report, onAnswer) {
    const header = `Lambda-Runtime-Function-Error-Type: ${headerSafe(report.errorType)}\r\n`;
    this.post(resource, header, JSON.stringify(report), !onAnswer, onAnswer);
  }

  /** Writes parts of a request as one; `done` is called when the system has taken them. */
  write(parts, done) {
    this.socket.cork();
    for (let index = 0; index < parts.length - 1; index++) this.socket.write(parts[index]);
    // A lost connection ends the process elsewhere: the error is not the writer's.
    this.socket.write(parts[parts.length - 1], () => done && done());
    this.socket.uncork();
  }

  expect(onAnswer) {
    this.expected.push(onAnswer);
  }

  read(data) {
    const answer = this.answer;
    if (answer && answer.fill) {
      const count = Math.min(data.length, answer.fill.length - answer.filled);
      data.copy(answer.fill, answer.filled, 0, count);
      answer.filled += count;
      if (answer.filled < answer.fill.length) return;
      data = data.subarray(count);
      this.filled(answer);
    }
    if (this.pending.length > 0) data = Buffer.concat([this.pending, data]);
    this.pending = NOTHING;
    const socket = this.socket;
    let rest = data;
    while (rest.length > 0 && socket === this.socket) {
      const after = this.answer ? this.readChunkHead(rest) : this.readHead(rest);
      if (after === null) {
        if (rest.length > MAX_HEAD_BYTES) giveUp(`the head of the Runtime API's answer is longer than ${MAX_HEAD_BYTES} bytes`);
        // The read buffer is used again for the next bytes.
        this.pending = Buffer.from(rest);
        return;
      }
      rest = after;
    }
  }

  /** Reads an answer's head and what has arrived of its body; the bytes after that, or null if the head is not whole. */
  readHead(data) {
    const end = data.indexOf('\r\n\r\n');
    if (end < 0 || end > MAX_HEAD_BYTES) return null;
    const lines = data.latin1Slice(0, end).split('\r\n');
    const status = /^HTTP\/1\.\d (\d{3})/.exec(lines[0]);
    if (!status) giveUp(`the Runtime API's answer does not start with an HTTP/1 status: ${JSON.stringify(lines[0].slice(0, 80))}`);
    const headers = Object.create(null);
    for (let index = 1; index < lines.length; index++) {
      const line = lines[index];
      const colon = line.indexOf(':');
      if (colon < 1) giveUp(`malformed header from the Runtime API: ${JSON.stringify(line.slice(0, 80))}`);
      const value = line.slice(colon + 1).trim();
      headers[line.slice(0, colon).toLowerCase()] = /[\x80-\xFF]/.test(value) ? Buffer.from(value, 'latin1').toString() : value;
    }
    const answer = { status: Number(status[1]), headers, chunks: null, fill: null, filled: 0 };
    const rest = data.subarray(end + 4);
    if (/chunked/i.test(headers['transfer-encoding'] || '')) {
      answer.chunks = [];
      this.answer = answer;
      return rest;
    }
    const length = answer.status === 204 ? '0' : headers['content-length'] || '0';
    if (!/^\d+$/.test(length) || Number(length) > MAX_BODY_BYTES) {
      giveUp(`malformed Content-Length from the Runtime API: ${JSON.stringify(length.slice(0, 80))}`);
    }
    return this.readBody(answer, rest, Number(length));
  }

  readBody(answer, data, length) {
    this.answer = answer;
    if (data.length < length) {
      answer.fill = Buffer.allocUnsafe(length);
      answer.filled = data.copy(answer.fill);
      return NOTHING;
    }
    answer.fill = data.subarray(0, length);
    this.filled(answer);
    return data.subarray(length);
  }

  /** A body, or a chunk with its line end, is complete. */
  filled(answer) {
    const bytes = answer.fill;
    answer.fill = null;
    if (!answer.chunks) {
      this.complete(answer, bytes);
      return;
    }
    if (bytes.latin1Slice(bytes.length - 2) !== '\r\n') giveUp('a chunk from the Runtime API is longer than its size');
    answer.chunks.push(Buffer.from(bytes.subarray(0, bytes.length - 2)));
  }

  readChunkHead(data) {
    const end = data.indexOf('\r\n');
    if (end < 0) return null;
    const line = data.latin1Slice(0, end);
    const rest = data.subarray(end + 2);
    const answer = this.answer;
    if (answer.trailers) {
      if (line === '') this.complete(answer, Buffer.concat(answer.chunks));
      return rest;
    }
    const size = /^([0-9a-f]{1,8})\s*(;|$)/i.exec(line);
    if (!size || parseInt(size[1], 16) > MAX_BODY_BYTES) {
      giveUp(`malformed chunk size from the Runtime API: ${JSON.stringify(line.slice(0, 80))}`);
    }
    const length = parseInt(size[1], 16);
    if (length === 0) {
      answer.trailers = true;
      return rest;
    }
    return this.readBody(answer, rest, length + 2);
  }

  complete(answer, body) {
    this.answer = null;
    const onAnswer = this.expected.shift();
    if (!onAnswer) giveUp('the Runtime API sent an answer that nobody asked for');
    onAnswer(answer.status, answer.headers, body);
  }
}

main();
