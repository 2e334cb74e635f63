"""Greets whoever a request names: POST {"name": "Ada"}, or GET /Ada."""

import json

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports.streams import StreamError_Closed
from wit_world.imports.types import Fields, Method_Post, OutgoingBody, OutgoingResponse, ResponseOutparam


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request, response_out):
        if isinstance(request.method(), Method_Post):
            name = json.loads(read(request)).get("name")
        else:
            name = (request.path_with_query() or "/").partition("?")[0][1:]
        print("greeting", name or "the world")
        answer = json.dumps({"message": f"Hello, {name or 'World'}!", "from": "Python"})
        response = OutgoingResponse(Fields.from_list([("content-type", b"application/json")]))
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            stream.blocking_write_and_flush(answer.encode())
        OutgoingBody.finish(body, None)


def read(request):
    """The whole body of a request."""
    content = b""
    with request.consume() as body, body.stream() as stream:
        try:
            while True:
                content += stream.blocking_read(65536)
        except Err as end:
            if not isinstance(end.value, StreamError_Closed):
                raise
    return content
