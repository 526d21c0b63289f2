"""Errors to gRPC statuses, in one place for every method of the protocol at the front door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from grpc import StatusCode

from protos.errors import ErrorCode
from protos.methods import SERVICE
from protos.service import Context
from protos.status import CODE_KEY, GRPC_STATUS

_MESSAGE_LENGTH = 1000
"""Messages travel in HTTP/2 trailers, which peers limit to about 8 KiB."""

Refuse = Callable[[Exception], tuple[ErrorCode, str]]
"""What a caller is told of an exception; called for every one, so that none leaves the process."""
Admit = Callable[[str, Context], Awaitable[None]]
"""Raises where the call of a method (its bare name) may not be answered."""


class ServiceInterceptor(grpc.aio.ServerInterceptor):
    """Admits calls, and gives each error of a method as its status, with its code in the trailers.

    The methods of other services (health, reflection) are left alone: they set statuses themselves.
    Any, here and below, stands for messages and for handlers, which differ by method.
    """

    def __init__(self, refuse: Refuse, admit: Admit | None = None) -> None:
        self._refuse = refuse
        self._admit = admit

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the method's handler, wrapped."""
        handler = await continuation(handler_call_details)
        service, _, name = handler_call_details.method.lstrip("/").partition("/")
        if handler is None or service != SERVICE:
            return handler
        make: Any
        if handler.request_streaming:
            make, method = grpc.stream_stream_rpc_method_handler, handler.stream_stream
        else:
            make, method = grpc.unary_unary_rpc_method_handler, handler.unary_unary
        return make(
            self._answering(name, method),
            request_deserializer=_parser(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )

    def _answering(
        self, name: str, method: Callable[..., Awaitable[Any]]
    ) -> Callable[..., Awaitable[Any]]:
        async def answer(request: Any, context: Context) -> Any:
            try:
                if self._admit is not None:
                    await self._admit(name, context)
                return await method(_readable(request), context)
            except Exception as error:  # noqa: BLE001 - `refuse` knows which are foreseen
                code, message = self._told(error)
            trailers = ((CODE_KEY, str(code)),)
            return await context.abort(
                StatusCode[GRPC_STATUS[code]], message[:_MESSAGE_LENGTH], trailers
            )

        return answer

    def _told(self, error: Exception) -> tuple[ErrorCode, str]:
        if isinstance(error, UnreadableError):
            return ErrorCode.INVALID_REQUEST, str(error)
        return self._refuse(error)


class UnreadableError(Exception):
    """Bytes that are no message of the method.

    Handed on in the message's place: what a parser raises ends the call without a word.
    """


def _readable(request: Any) -> Any:
    if isinstance(request, UnreadableError):
        raise request
    return request


def _parser(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def parsed(raw: bytes) -> Any:
        try:
            return parse(raw)
        except DecodeError:
            return UnreadableError(f"the {len(raw)} bytes of the request are no message")

    return parsed
