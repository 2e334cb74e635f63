"""Hearth's Lambda runtime for Python 3.8 and later, standard library only.

Reading order: `loop` (the way of one invocation), `connection` (HTTP to the Runtime API), `handler` (finding the
function's code), `payload` (JSON in and out), `context` (the handler's second argument), `logs` (the format of the
`logging` module's lines), `failure` (errors as Lambda reports them), `lanes` (several invocations at the same time),
`tasks` (handlers that are coroutines).

Two rules keep the cold start short. A module is imported only when it is needed: nothing here imports `json`, `re`,
`logging`, `traceback`, `typing` or `socket` on the way to the first invocation. And lazily imported modules belong to
this package, so that a file of the same name in the function's folder cannot take their place.
"""
