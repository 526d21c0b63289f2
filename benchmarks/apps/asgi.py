"""ASGI without a framework: orjson and ONNX Runtime on the event loop.

/bytes takes and returns the bytes of an FP32 tensor, in the shape of the model's input and output.
"""

from __future__ import annotations

import numpy as np
import orjson

from benchmarks.apps.echo import Message, Receive, Send, whole_body
from benchmarks.apps.session import open_session

SESSION = open_session()


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Answer one request."""
    content = await whole_body(receive)
    if scope["path"] == "/bytes":
        rows = np.frombuffer(content, np.float32).reshape(SESSION.shape)
        kind, body = b"application/octet-stream", SESSION.run(rows).tobytes()
    else:
        outputs = SESSION.run(orjson.loads(content)["inputs"])
        kind = b"application/json"
        body = orjson.dumps({"outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    length = str(len(body)).encode()
    headers = [(b"content-type", kind), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
