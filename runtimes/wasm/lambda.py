"""Makes a command of a Lambda handler: the event comes on standard input, its result goes to standard output.

`hearth deploy --runtime wasm` puts the handler's module and name in.
"""

import json
import sys
import traceback

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import environment

from handler_module import handler_function as handler


class Context:
    """What a handler is told besides its event: what a command can know."""

    aws_request_id = None
    invoked_function_arn = None

    def __init__(self, variables):
        self.function_name = variables.get("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = variables.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.memory_limit_in_mb = variables.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")


class Run(exports.Run):
    def run(self):
        # Standard output is the result alone: what the handler prints is log.
        output, sys.stdout = sys.stdout, sys.stderr
        try:
            result = handler(json.load(sys.stdin), Context(dict(environment.get_environment())))
            json.dump(result, output)
        except Exception as error:
            traceback.print_exc()
            raise Err(None) from error
        finally:
            sys.stdout = output
            output.flush()
