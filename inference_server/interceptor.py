"""Errors to gRPC statuses, in the one place, for every method of the protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from inference_server.errors import InferenceError, translated
from protos.errors import ErrorCode
from protos.service import SERVICE, Context
from protos.status import CODE_KEY, GRPC_STATUS


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Gives each error of a method as its status, with its code in the trailing metadata.

    The methods of other services (health, reflection) are left alone: they set statuses themselves.
    Any stands for messages and for handlers, which differ by method.
    """

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the method's handler, wrapped."""
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith(f"/{SERVICE}/"):
            return handler
        if handler.request_streaming:
            make, method = grpc.stream_stream_rpc_method_handler, handler.stream_stream
        else:
            make, method = grpc.unary_unary_rpc_method_handler, handler.unary_unary
        return make(
            _with_status(method),
            request_deserializer=_parser(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )


def _with_status(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def answered(request: Any, context: Context) -> Any:
        refusal = request
        if not isinstance(request, InferenceError):
            try:
                return await method(request, context)
            except Exception as error:  # noqa: BLE001 - `translated` knows which are ours
                refusal = translated(error)
        trailing = ((CODE_KEY, refusal.code),)
        return await context.abort(GRPC_STATUS[refusal.code], refusal.message, trailing)

    return answered


def _parser(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Have bytes that are no message become an InferenceError, instead of raising it.

    What a parser raises ends a call with a status of grpc's, and a stream with all its calls.
    """

    def parsed(raw: bytes) -> Any:
        try:
            return parse(raw)
        except DecodeError:
            message = f"the {len(raw)} bytes of the request are no message of this method"
            return InferenceError(ErrorCode.INVALID_REQUEST, message)

    return parsed
