"""Handlers that are coroutines: they all run on one event loop, in a thread of its own.

So what such a handler leaves behind, an open connection or a task, is there for the next one, and those that run at
the same time share it.
"""

import _thread
import asyncio
import concurrent.futures

from . import lanes, loop

_starting = _thread.allocate_lock()
_event_loop = None


def finish(awaitable):
    """Waits for its result, in the calling thread's context."""
    try:
        result, error = asyncio.run_coroutine_threadsafe(_outcome(awaitable), _running()).result()
    except concurrent.futures.CancelledError as cancelled:
        error = cancelled
    if isinstance(error, (asyncio.CancelledError, concurrent.futures.CancelledError)):
        raise RuntimeError("The handler was cancelled") from error
    if error is not None:
        raise error
    return result


async def _outcome(awaitable):
    # As a value: the error's trace is the function's own, and one that ends the process does so where it is awaited.
    try:
        return await awaitable, None
    except BaseException as error:
        return None, error
    finally:
        loop.flush()


def _running():
    global _event_loop
    with _starting:
        if _event_loop is None:
            _event_loop = asyncio.new_event_loop()
            _thread.start_new_thread(_run, (_event_loop,))
        return _event_loop


def _run(event_loop):
    asyncio.set_event_loop(event_loop)
    try:
        event_loop.run_forever()
    except BaseException as error:
        lanes.end_process(error)
