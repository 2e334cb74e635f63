"""The root handler of `logging` and its two line formats, text and JSON."""

import logging
import os
import sys
import time
import traceback

from . import logs

_DATE = "%Y-%m-%dT%H:%M:%S"
_TEXT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s"
# What a record carries by itself; everything else came from `extra` and belongs into the JSON line.
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"aws_request_id", "tenant_id", "message", "asctime"}


class _Handler(logging.Handler):
    """Writes to whatever `sys.stdout` is at that moment, one write a line."""

    def emit(self, record):
        try:
            sys.stdout.write(self.format(record) + "\n")
        except Exception:
            self.handleError(record)


class _InvocationFilter(logging.Filter):
    def filter(self, record):
        record.aws_request_id = logs.current_request_id()
        record.tenant_id = logs.current_tenant_id()
        return True


class _JsonFormatter(logging.Formatter):
    def format(self, record):
        import json

        level = min(50, max(0, record.levelno)) // 10 * 10
        as_object = isinstance(record.msg, dict) and not record.args
        line = {
            "timestamp": self.formatTime(record, _DATE + "Z"),
            "level": logging.getLevelName(level),
            "message": record.msg if as_object else record.getMessage(),
            "logger": record.name,
        }
        if record.exc_info and record.exc_info[0]:
            kind, error, trace = record.exc_info
            line["stackTrace"] = traceback.format_tb(trace)
            line["errorType"] = kind.__name__
            line["errorMessage"] = str(error)
        line["requestId"] = record.aws_request_id
        if record.exc_info:
            line["location"] = "%s:%s:%s" % (record.pathname, record.funcName, record.lineno)
        if record.tenant_id is not None:
            line["tenantId"] = record.tenant_id
        for name, value in vars(record).items():
            if name not in _OWN_FIELDS and name not in line and value is not None:
                line[name] = value
        return json.dumps(line, ensure_ascii=False, default=str)


def install():
    """Gives the root logger Lambda's handler, and the level that the function is configured for."""
    logging.Formatter.converter = time.gmtime
    handler = _Handler()
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON":
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter(_TEXT, _DATE))
    handler.addFilter(_InvocationFilter())
    root = logging.getLogger()
    root.addHandler(handler)
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    level = "DEBUG" if level == "TRACE" else level
    if isinstance(logging.getLevelName(level), int):
        root.setLevel(level)
