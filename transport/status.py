"""How a call ended: gRPC status codes, and the equivalents of HTTP statuses and resets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from transport.http2 import Http2ErrorCode, error_name

Metadata = tuple[tuple[str, str | bytes], ...]
"""Key and value pairs, decoded; values of keys ending in `-bin` are bytes."""


class StatusCode(IntEnum):
    """The status codes of gRPC."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True)
class Status:
    """How a call ended: by its trailers, or because of the connection."""

    code: StatusCode
    message: str = ""
    trailers: Metadata = ()

    @property
    def ok(self) -> bool:
        """Whether the call succeeded."""
        return self.code is StatusCode.OK

    def error(self) -> RpcError:
        """Return the equivalent error."""
        return RpcError(self.code, self.message, self.trailers)


OK = Status(StatusCode.OK)


class RpcError(Exception):
    """A call failed. Raised by the client, and by a server's handler to fail its call.

    Args:
        code: any but OK.
        message: for people.
        trailers: details for programs.
    """

    def __init__(self, code: StatusCode, message: str = "", trailers: Metadata = ()) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.trailers = trailers

    @property
    def status(self) -> Status:
        """The equivalent status."""
        return Status(self.code, self.message, self.trailers)


_CODE_OF_RESET: Mapping[int, StatusCode] = {
    Http2ErrorCode.REFUSED_STREAM: StatusCode.UNAVAILABLE,
    Http2ErrorCode.CANCEL: StatusCode.CANCELLED,
    Http2ErrorCode.ENHANCE_YOUR_CALM: StatusCode.RESOURCE_EXHAUSTED,
    Http2ErrorCode.INADEQUATE_SECURITY: StatusCode.PERMISSION_DENIED,
}

_CODE_OF_HTTP: Mapping[int, StatusCode] = {
    400: StatusCode.INTERNAL,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.UNIMPLEMENTED,
    429: StatusCode.UNAVAILABLE,
    502: StatusCode.UNAVAILABLE,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.UNAVAILABLE,
}


def status_of_reset(code: int) -> Status:
    """Return the status of a call without trailers that was reset with an HTTP/2 error code."""
    meaning = _CODE_OF_RESET.get(code, StatusCode.INTERNAL)
    return Status(meaning, f"the peer reset the stream: {error_name(code)}")


def status_of_http(http_status: int) -> Status:
    """Return the status of a call that was answered with an HTTP status other than 200."""
    meaning = _CODE_OF_HTTP.get(http_status, StatusCode.UNKNOWN)
    return Status(meaning, f"the peer answered HTTP {http_status}")
