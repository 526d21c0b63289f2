"""gRPC on the process's own event loop: a client and a server without threads.

    connection = await connect("unix:/run/model.sock")
    answer = await connection.unary("/package.Service/Method", b"...", timeout=1.0)

    router = Router()
    router.unary("/package.Service/Method", lambda request, call: request)
    server = GrpcServer(router)
    await server.listen("unix:/run/model.sock")

TLS is `ServerTls` at `listen` and `ClientTls` at `connect`.

Messages are bytes; their encoding is the caller's. Imports none of our other packages.
"""

from __future__ import annotations

from transport.certificates import KeyPair, TlsError
from transport.client import GrpcConnection, connect
from transport.client_stream import ClientStream
from transport.limits import GrpcLimits
from transport.router import Router
from transport.server import GrpcServer
from transport.server_connection import Guard
from transport.server_streams import ServerStream, StreamCall, StreamHandler, UnaryCall
from transport.status import OK, Metadata, RpcError, Status, StatusCode
from transport.tls import ClientTls, ServerTls

__all__ = [
    "OK",
    "ClientStream",
    "ClientTls",
    "GrpcConnection",
    "GrpcLimits",
    "GrpcServer",
    "Guard",
    "KeyPair",
    "Metadata",
    "Router",
    "RpcError",
    "ServerStream",
    "ServerTls",
    "Status",
    "StatusCode",
    "StreamCall",
    "StreamHandler",
    "TlsError",
    "UnaryCall",
    "connect",
]
