"""gRPC on the process's own event loop: a client and a server without threads.

    connection = await connect("unix:/run/model.sock")
    answer = await connection.unary("/package.Service/Method", b"...", timeout=1.0)

    router = Router()
    router.unary("/package.Service/Method", lambda request, call: request)
    server = Server(router)
    await server.listen("unix:/run/model.sock")

Messages are bytes: what they mean is not known here. Imports nothing of ours.
"""

from __future__ import annotations

from transport.calls import ClientStream
from transport.client import Connection, connect
from transport.limits import Limits
from transport.router import Call, Router, StreamCall, StreamHandler, UnaryCall
from transport.server import Server
from transport.status import OK, Metadata, RpcError, Status, StatusCode

__all__ = [
    "OK",
    "Call",
    "ClientStream",
    "Connection",
    "Limits",
    "Metadata",
    "Router",
    "RpcError",
    "Server",
    "Status",
    "StatusCode",
    "StreamCall",
    "StreamHandler",
    "UnaryCall",
    "connect",
]
