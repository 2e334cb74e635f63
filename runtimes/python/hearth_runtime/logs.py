"""The `logging` module, set up as on Lambda at the moment that somebody imports it.

Most functions never log, so the module is not loaded for them. `watch` puts a finder in front of the import system
that lets the real one load `logging`, then installs the handler, and is gone.
"""

import sys

_request_id = ""
_tenant_id = None
# The same where several invocations run at the same time: what a thread or a task runs for.
_running = None


def keep_apart():
    """From now on several invocations run at the same time."""
    global _running
    from _contextvars import ContextVar

    _running = ContextVar("hearth_invocation", default=("", None))


def set_invocation(request_id, tenant_id):
    """Tells log records which invocation they belong to; whether it is the only one that runs."""
    global _request_id, _tenant_id
    if _running is not None:
        _running.set((request_id, tenant_id))
        return False
    _request_id = request_id
    _tenant_id = tenant_id
    return True


def current_request_id():
    """The id of the running invocation; empty during Init, and in threads of which it is not known."""
    return _request_id if _running is None else _running.get()[0]


def current_tenant_id():
    """The tenant of the running invocation, if it has one."""
    return _tenant_id if _running is None else _running.get()[1]


def watch():
    """Arranges for `logging` to be set up when it is imported."""
    if "logging" in sys.modules:  # something in the interpreter's site configuration was faster
        _set_up()
    else:
        sys.meta_path.insert(0, _Finder)


def _set_up():
    from . import log_format

    log_format.install()


class _Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(cls)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader:
    def __init__(self, real):
        self._real = real

    def __getattr__(self, name):
        return getattr(self._real, name)

    def create_module(self, spec):
        return self._real.create_module(spec)

    def exec_module(self, module):
        module.__loader__ = module.__spec__.loader = self._real
        self._real.exec_module(module)
        _set_up()
