"""Several invocations at the same time: one way from question to answer beside the other, each in a thread of its own.

Imported only where the platform says that an environment may have more than one.
"""

import _thread
import os
import sys

from . import logs, loop
from .connection import ProtocolError

# A process may have 1,024 threads and 1,024 open files: half of them for these, the rest for the function.
_MOST = 512
# An eighth of the usual, since a host without cgroups counts the whole stack of each thread as used; enough for a
# thousand nested calls of interpreters that need C's stack for each.
_STACK_BYTES = 1024 * 1024


def open_beside(most, serve):
    """Starts `serve` in so many threads that with the caller's there are `most`, or as many as can be had."""
    logs.keep_apart()
    sys.stdout = _WholeLines(sys.stdout)
    sys.stderr = _WholeLines(sys.stderr)
    # Threads of the function's own have the usual stack.
    usual = _thread.stack_size(_STACK_BYTES)
    try:
        for _ in range(1, min(most, _MOST)):
            _thread.start_new_thread(_lane, (serve,))
    except RuntimeError as error:
        print("hearth runtime: fewer invocations at the same time than allowed: %s" % error, file=sys.stderr)
    finally:
        _thread.stack_size(usual)


def _lane(serve):
    try:
        serve()
    except ProtocolError as error:
        loop.give_up(error)
    except BaseException as error:
        end_process(error)


def end_process(error):
    """What `error`, which no handler caught, does in the main thread: `sys.exit` ends the process wherever it is called."""
    if isinstance(error, SystemExit):
        code = 0 if error.code is None else error.code
    else:
        code = "".join(__import__("traceback").format_exception(type(error), error, error.__traceback__))
    if not isinstance(code, int):
        sys.stderr.write("%s\n" % (code,))
        code = 1
    loop.flush()
    os._exit(code & 0xFF)


class _WholeLines:
    """A stream that keeps what a thread writes until its line is complete: lines of several threads do not mix."""

    def __init__(self, stream):
        self._stream = stream
        self._of_thread = _thread._local()

    def write(self, text):
        held = getattr(self._of_thread, "held", "") + text
        end = held.rfind("\n") + 1
        self._of_thread.held = held[end:]
        if end:
            self._stream.write(held[:end])
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        held = getattr(self._of_thread, "held", "")
        if held:
            self._of_thread.held = ""
            self._stream.write(held)
        self._stream.flush()

    def __getattr__(self, name):
        return getattr(self._stream, name)
