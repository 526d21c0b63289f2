"""gRPC on the process's own event loop: a client and a server without threads.

    connection = await connect("unix:/run/model.sock")
    answer = await connection.unary("/package.Service/Method", b"...", timeout=1.0)

    router = Router()
    router.unary("/package.Service/Method", lambda request, call: request)
    server = Server(router)
    await server.listen("unix:/run/model.sock")

TLS is `ServerTls` at `listen` and `ClientTls` at `connect`.

Messages are bytes: what they mean is not known here. Imports nothing of ours.
"""

from __future__ import annotations

from transport.calls import ClientStream
from transport.certificates import KeyPair, TlsError
from transport.client import Connection, connect
from transport.guarded_link import Guard
from transport.limits import Limits
from transport.router import Call, Router, StreamCall, StreamHandler, UnaryCall
from transport.server import Server
from transport.status import OK, Metadata, RpcError, Status, StatusCode
from transport.tls import ClientTls, ServerTls

__all__ = [
    "OK",
    "Call",
    "ClientStream",
    "ClientTls",
    "Connection",
    "Guard",
    "KeyPair",
    "Limits",
    "Metadata",
    "Router",
    "RpcError",
    "Server",
    "ServerTls",
    "Status",
    "StatusCode",
    "StreamCall",
    "StreamHandler",
    "TlsError",
    "UnaryCall",
    "connect",
]
