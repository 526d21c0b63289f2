"""The spans of calls of models, over REST and gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from time import time
from types import TracebackType

from gateway.auth.identity import Identity
from gateway.errors import GatewayError
from gateway.upstream.request_span import record_hop
from gateway.web.asgi import DisconnectedError
from protos.errors import ErrorCode, TensorError
from telemetry.trace_context import Attributes, TraceContext
from telemetry.traces import Tracer

_OK, _SERVER_ERROR = 200, 500


class CallTraces:
    """Traces the calls that are sampled, if there is a tracer."""

    def __init__(self, tracer: Tracer | None) -> None:
        self.tracer = tracer

    def rest(
        self, caller: Identity | None, headers: Mapping[bytes, bytes], route: str
    ) -> AbstractContextManager[CallTrace | None]:
        """Return the context of a call that begins; its spans are recorded at its end.

        Without a `caller`, chance alone decides whether it is sampled. `headers` are by lower-case
        name.
        """
        about = {"http.request.method": "POST", "http.route": route}
        return self._begin(caller, headers, f"POST {route}", about)

    def grpc(
        self, caller: Identity | None, headers: Mapping[bytes, bytes], method: str
    ) -> AbstractContextManager[CallTrace | None]:
        """Do the same for a call of gRPC."""
        about = {"rpc.system.name": "grpc", "rpc.method": method}
        return self._begin(caller, headers, method, about)

    def _begin(
        self, caller: Identity | None, headers: Mapping[bytes, bytes], name: str, about: Attributes
    ) -> AbstractContextManager[CallTrace | None]:
        if self.tracer is None:
            return nullcontext()
        context = self.tracer.begin({} if caller is None else headers)
        return CallTrace(self.tracer, context, name, about) if context.sampled else nullcontext()


class CallTrace(AbstractContextManager["CallTrace"]):
    """The spans of one call: its own, and one of each request to an inference server.

    It is the context of the call; `begin_hop` and `end_hop` are called within it.
    """

    def __init__(self, tracer: Tracer, context: TraceContext, name: str, about: Attributes) -> None:
        self._tracer = tracer
        self._context = context
        self._name = name
        self._about = about
        self._began = time()
        self._hop: tuple[TraceContext, float, str, int] | None = None

    def begin_hop(self, model: str, version: int) -> Mapping[str, str]:
        """Return the headers of a request to an inference server that begins."""
        self.end_hop(ErrorCode.INFERENCE_SERVER_UNAVAILABLE)  # one that was refused
        context = self._context.child()
        self._hop = context, time(), model, version
        return context.headers

    def end_hop(self, error: ErrorCode | None = None) -> None:
        """Note that the request has its answer, if there is one."""
        if self._hop is None:
            return
        context, began, model, version = self._hop
        self._hop = None
        code = None if error is None else error.value
        record_hop(self._tracer, context, began, time(), model=model, version=version, error=code)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        code = _code_of(error)
        self.end_hop(code)
        failed = code is not None and code.http_status >= _SERVER_ERROR
        if "http.route" in self._about:
            status: Attributes = {
                "http.response.status_code": _OK if code is None else code.v2_status
            }
        else:
            status = {"rpc.response.status_code": "OK" if code is None else code.grpc_status}
        self._tracer.record(
            self._context,
            self._name,
            self._began,
            time(),
            kind="server",
            attributes={**self._about, **status},
            error=code.value if code is not None and failed else None,
        )


def _code_of(error: BaseException | None) -> ErrorCode | None:
    if error is None:
        return None
    if isinstance(error, GatewayError | TensorError):
        return error.code
    left = isinstance(error, asyncio.CancelledError | DisconnectedError)
    return ErrorCode.CANCELLED if left else ErrorCode.INTERNAL
