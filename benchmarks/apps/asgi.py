"""ASGI without a framework: orjson and ONNX Runtime on the event loop."""

from __future__ import annotations

import orjson

from benchmarks.apps.echo import Message, Receive, Send, whole_body
from benchmarks.apps.session import open_session

SESSION = open_session()


async def app(scope: Message, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's
    """Answer one request."""
    outputs = SESSION.run(orjson.loads(await whole_body(receive))["inputs"])
    body = orjson.dumps({"outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    length = str(len(body)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
