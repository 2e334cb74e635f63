"""The `context` argument of a handler, attribute by attribute as on Lambda."""

import os
import time

# Fields of the W3C trace context that a client context may carry.
_W3C_FIELDS = ("traceparent", "tracestate", "baggage")


class _Record:
    """A fixed set of fields filled from a JSON object; absent ones are `None`."""

    __slots__ = ()

    def __init__(self, fields):
        for name in self.__slots__:
            setattr(self, name, fields.get(name))

    def __repr__(self):
        fields = ",".join("%s=%s" % (name, getattr(self, name)) for name in self.__slots__)
        return "%s([%s])" % (type(self).__name__, fields)


class CognitoIdentity(_Record):
    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")


class Client(_Record):
    __slots__ = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")


class ClientContext(_Record):
    __slots__ = ("custom", "env", "client")

    def __init__(self, fields):
        super().__init__(fields)
        if isinstance(self.client, dict):
            self.client = Client(self.client)


class LambdaContext:
    """What a handler knows about its invocation. `client_context` and `identity` are parsed JSON objects or `None`."""

    def __init__(self, request_id, arn, deadline_ms, client_context, identity, tenant_id, xray_trace_id):
        environ = os.environ
        self.aws_request_id = request_id
        self.log_group_name = environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = arn
        self.tenant_id = tenant_id
        # On Lambda only a variable of the process has it, of which there is one for all that run at the same time.
        self.xray_trace_id = xray_trace_id
        self._deadline_ms = deadline_ms
        self._w3c = {}
        self.client_context = None
        if client_context is not None:
            w3c = client_context.pop("w3c", None)
            if isinstance(w3c, dict):
                self._w3c = {name: w3c[name] for name in _W3C_FIELDS if isinstance(w3c.get(name), str)}
            self.client_context = ClientContext(client_context)
        identity = identity or {}
        self.identity = CognitoIdentity(
            {
                "cognito_identity_id": identity.get("cognitoIdentityId"),
                "cognito_identity_pool_id": identity.get("cognitoIdentityPoolId"),
            }
        )

    def get_remaining_time_in_millis(self):
        """Milliseconds until the invocation times out, never negative."""
        return max(0, self._deadline_ms - int(time.time() * 1000))

    def w3c(self):
        """The W3C trace context that came with the invocation."""
        return dict(self._w3c)

    def log(self, message):
        """Writes `message` to the function's log as it is, without adding a line end."""
        import sys

        sys.stdout.write(str(message))

    def __repr__(self):
        names = (
            "aws_request_id", "log_group_name", "log_stream_name", "function_name", "memory_limit_in_mb",
            "function_version", "invoked_function_arn", "client_context", "identity", "tenant_id",
        )  # fmt: skip
        return "LambdaContext([%s])" % ",".join("%s=%s" % (name, getattr(self, name)) for name in names)
