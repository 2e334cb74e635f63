"""Finding the function's code: the handler string and the module search path."""

import os
import sys


class HandlerError(Exception):
    """The handler cannot be had; `kind` is Lambda's name for the reason, `trace` its stack trace if it has one."""

    def __init__(self, kind, message, trace=()):
        super().__init__(message)
        self.kind = kind
        self.trace = list(trace)


def extend_search_path(task_root):
    """Puts the function's folder and the layers' folders in front of everything else."""
    version = "python%d.%d" % sys.version_info[:2]
    sys.path[0:0] = [task_root, "/opt/python/lib/%s/site-packages" % version, "/opt/python"]


def load(handler):
    """The callable that `handler` names: `module.fn`, `folder/module.fn`, `package.module.fn` or a method of a class
    in a module, `module.Class.method`. Raises `HandlerError`, or whatever the function's own code raises.
    """
    module_name, dot, attribute = handler.rpartition(".")
    if not dot:
        raise HandlerError(
            "Runtime.MalformedHandlerName",
            "Bad handler '%s': not enough values to unpack (expected 2, got 1)" % handler,
        )
    dotted = module_name.replace("/", ".")
    if dotted.partition(".")[0] in sys.builtin_module_names:
        raise HandlerError(
            "Runtime.BuiltInModuleConflict", "Cannot use built-in module %s as a handler module" % module_name
        )
    try:
        owner = _import(dotted)
    except ImportError as error:
        raise HandlerError(
            "Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module_name, error)
        ) from None
    except SyntaxError as error:
        raise HandlerError(
            "Runtime.UserCodeSyntaxError",
            "Syntax error in module '%s': %s" % (module_name, error),
            ['  File "%s" Line %s\n    %s' % (error.filename, error.lineno, error.text)],
        ) from None
    try:
        return getattr(owner, attribute)
    except AttributeError:
        raise HandlerError(
            "Runtime.HandlerNotFound", "Handler '%s' missing on module '%s'" % (attribute, module_name)
        ) from None


def _import(name):
    try:
        __import__(name)
        return sys.modules[name]
    except ModuleNotFoundError as error:
        parent, dot, class_name = name.rpartition(".")
        # Only "the module itself is missing" may mean a class; a missing import inside it is reported as it is.
        if not dot or error.name != name or parent not in sys.modules:
            raise
        owner = getattr(sys.modules[parent], class_name, None)
        if not isinstance(owner, type):
            raise
        return owner


def task_root():
    """The folder of the function's code."""
    return os.environ.get("LAMBDA_TASK_ROOT") or os.getcwd()
