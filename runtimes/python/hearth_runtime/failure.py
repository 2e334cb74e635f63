"""Errors as Lambda reports them: the body that a caller gets, and the line in the function's log.

Imported when the first error happens, because `traceback` is costly to load.
"""

import os
import sys
import time
import traceback

from . import payload

_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep
_OWN_ENTRY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bootstrap.py")
# One error is one line of the log: AWS joins the lines of a text with a carriage return and indents with a
# no-break space, so that log viewers neither split nor trim it.
_LINE_JOIN = "\r"
_INDENT = "\u00a0"


def describe(kind, message, trace, request_id=""):
    """The error object of a kind that the runtime itself found."""
    return {"errorMessage": message, "errorType": kind, "requestId": request_id, "stackTrace": list(trace)}


def from_exception(error, request_id=""):
    """The error object of an exception that the function's code raised; the runtime's own frames are left out."""
    frames = traceback.extract_tb(error.__traceback__)
    own = 0
    while own < len(frames) and (
        os.path.abspath(frames[own].filename).startswith(_OWN_FOLDER) or frames[own].filename == _OWN_ENTRY
    ):
        own += 1
    try:
        message = str(error)
    except Exception:  # an exception whose own __str__ fails must not take the runtime down
        message = "<exception without a message: its __str__ failed>"
    return describe(type(error).__name__, message, traceback.format_list(frames[own:]), request_id)


def encode(failure):
    """The body of an error report, and the header that names its type."""
    kind = "".join(c if " " <= c <= "~" else "?" for c in failure["errorType"])
    return payload.dumps(failure), b"Lambda-Runtime-Function-Error-Type: " + kind.encode() + b"\r\n"


def log(failure):
    """Writes the error to the function's log, in the format that the function is configured for."""
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON":
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = payload.dumps({"timestamp": stamp, "level": "ERROR", **failure}).decode("utf-8")
    else:
        title = ": ".join(part for part in (failure["errorType"], failure["errorMessage"]) if part)
        lines = [("[ERROR] " + title).rstrip(), "Traceback (most recent call last):"]
        for entry in failure["stackTrace"]:
            for text in entry.splitlines():
                body = text.lstrip(" ")
                lines.append(_INDENT * (len(text) - len(body)) + body)
        line = _LINE_JOIN.join(lines)
    try:
        sys.stdout.write(line + "\n")
    except Exception:  # the function closed or replaced its standard output: the caller still gets the error
        pass
