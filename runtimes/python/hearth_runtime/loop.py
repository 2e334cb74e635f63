"""Init once, then one invocation after the other: ask, run the handler, answer. Where the platform lets an environment
have several at the same time, `lanes` does that as often as it may.

The answer and the question for the next invocation leave in one write. Everything that the function printed is handed
to the system before that write, because the platform may freeze the environment as soon as it has the answer.
"""

import os
import sys

from . import handler, logs, payload
from .connection import Connection, ProtocolError
from .context import LambdaContext

_TRACE_VARIABLE = "_X_AMZN_TRACE_ID"
_JSON_HEADER = b"Content-Type: application/json\r\n"
# What the platform answers to results that it does not take, after it has recorded the invocation as failed. The second
# can only come where others run beside it: otherwise the environment ends when the time is up.
_UNWANTED = {
    413: "the result is larger than the platform accepts",
    410: "the result came after the invocation had timed out",
}


def main():
    """Runs until the platform ends the process. Exits with 1 when Init fails or the Runtime API cannot be used."""
    _prepare_streams()
    _add_site_builtins()
    try:
        address = os.environ.get("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
        connection = Connection(address)
        function = _init(connection)
        most = os.environ.get("AWS_LAMBDA_MAX_CONCURRENCY", "")
        if most.isdigit() and int(most) > 1:
            from . import lanes

            lanes.open_beside(int(most), lambda: serve(Connection(address), function))
        serve(connection, function)
    except ProtocolError as error:
        give_up(error)


def serve(connection, function):
    """One invocation after the other, for ever."""
    connection.send(connection.next_request)
    while True:
        _invocation(connection, function)


def give_up(error):
    """Ends the process because the Runtime API cannot be used."""
    flush()
    os.write(2, ("hearth runtime: %s\n" % error).encode("utf-8", "replace"))
    os._exit(1)


def _prepare_streams():
    # A line is written when it is complete: nothing waits in a buffer when the environment is killed or frozen.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(encoding="utf-8", line_buffering=True)


def _add_site_builtins():
    """The names that `site` adds to the builtins.

    The interpreter runs with -S: a function must not see the packages that the host happens to have, and reading
    their .pth files is the larger part of the interpreter's start.
    """
    import builtins

    if not hasattr(builtins, "exit"):
        import _sitebuiltins

        builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D (i.e. EOF)")
        builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D (i.e. EOF)")


def flush():
    """Hands everything that was printed to the system."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            stream.flush()
        except Exception:  # closed, replaced or set to None by the function
            pass


def _init(connection):
    handler.extend_search_path(handler.task_root())
    logs.watch()
    try:
        return handler.load(os.environ.get("_HANDLER", ""))
    except Exception as error:
        from . import failure

        if isinstance(error, handler.HandlerError):
            described = failure.describe(error.kind, str(error), error.trace)
        else:
            described = failure.from_exception(error)
    failure.log(described)
    flush()
    body, kind = failure.encode(described)
    connection.post(b"init/error", body, kind + _JSON_HEADER)
    connection.receive()
    # Not sys.exit: threads that the half-loaded code may have started must not keep the environment alive.
    os._exit(1)


def _invocation(connection, function):
    status, headers, body = connection.receive()
    if status != 200:
        raise ProtocolError("the Runtime API answered %d to the request for the next invocation" % status)
    raw_id = headers.get(b"lambda-runtime-aws-request-id")
    deadline = headers.get(b"lambda-runtime-deadline-ms", b"")
    if not raw_id or not deadline.isdigit():
        raise ProtocolError("an invocation from the Runtime API lacks its request id or its deadline")
    request_id = _text(raw_id)
    tenant_id = _text(headers.get(b"lambda-runtime-aws-tenant-id"))
    trace = _text(headers.get(b"lambda-runtime-trace-id"))
    if logs.set_invocation(request_id, tenant_id):
        _set_trace(trace)

    described = None
    try:
        context = LambdaContext(
            request_id,
            _text(headers.get(b"lambda-runtime-invoked-function-arn")),
            int(deadline),
            _json_header(headers, b"lambda-runtime-client-context", "Client Context"),
            _json_header(headers, b"lambda-runtime-cognito-identity", "Cognito Identity"),
            tenant_id,
            trace,
        )
        if headers.get(b"content-type", b"application/json").startswith(b"application/json"):
            body = payload.loads(body)
        result = function(body, context)
        if hasattr(result, "__await__"):
            from . import tasks

            result = tasks.finish(result)
        result, content_type = payload.marshal(result)
    except payload.MarshalError as error:
        described = _fault("Runtime.MarshalError", error, request_id)
    except payload.UnmarshalError as error:
        described = _fault("Runtime.UnmarshalError", error, request_id)
    except _ContextError as error:
        described = _fault("Runtime.LambdaContextUnmarshalError", error, request_id)
    except Exception as error:
        from . import failure

        described = failure.from_exception(error, request_id)

    path = b"invocation/" + raw_id
    if described is None:
        path += b"/response"
        extra = b"Content-Type: " + content_type + b"\r\n"
    else:
        from . import failure

        failure.log(described)
        path += b"/error"
        result, kind = failure.encode(described)
        extra = kind + _JSON_HEADER
    flush()
    connection.post(path, result, extra, connection.next_request)

    status, _, answer = connection.receive()
    if status in _UNWANTED:
        print("hearth runtime: %s" % _UNWANTED[status], file=sys.stderr)
    elif not 200 <= status < 300:
        raise ProtocolError("the Runtime API refused the result with %d: %r" % (status, answer[:200]))
    if connection.closing:
        connection.send(connection.next_request)


class _ContextError(Exception):
    """A header that holds a part of the context is not a JSON object."""


def _json_header(headers, name, label):
    raw = headers.get(name)
    if not raw:
        return None
    try:
        value = payload.loads(raw)
    except payload.UnmarshalError as error:
        raise _ContextError("Unable to parse %s JSON: %s" % (label, error)) from None
    if not isinstance(value, dict):
        raise _ContextError("Unable to parse %s JSON: not an object" % label)
    return value


def _fault(kind, error, request_id):
    from . import failure

    return failure.describe(kind, str(error), [], request_id)


def _text(value):
    return None if value is None else value.decode("utf-8", "replace")


def _set_trace(trace):
    if trace is None:
        os.environ.pop(_TRACE_VARIABLE, None)
    else:
        os.environ[_TRACE_VARIABLE] = trace
