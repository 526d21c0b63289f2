"""How a call ended: status codes, the error that carries them, and what HTTP says instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from transport.http2 import ErrorCode, error_name

Metadata = tuple[tuple[str, str | bytes], ...]
"""Key and value pairs as the application sees them; values of keys in `-bin` are bytes."""


class StatusCode(IntEnum):
    """gRPC's status codes, with gRPC's names and numbers."""

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
    """How a call ended, as its last word said or as the connection made it end."""

    code: StatusCode
    message: str = ""
    trailers: Metadata = ()

    @property
    def ok(self) -> bool:
        """Whether the call succeeded."""
        return self.code is StatusCode.OK

    def error(self) -> RpcError:
        """Return the error that says the same."""
        return RpcError(self.code, self.message, self.trailers)


OK = Status(StatusCode.OK)


class RpcError(Exception):
    """A call failed. The client raises it; a server's handler raises it to say so.

    Args:
        code: not OK.
        message: for people.
        trailers: more, for programs.
    """

    def __init__(self, code: StatusCode, message: str = "", trailers: Metadata = ()) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.trailers = trailers

    @property
    def status(self) -> Status:
        """The same as a value."""
        return Status(self.code, self.message, self.trailers)


_CODE_OF_RESET: Mapping[int, StatusCode] = {
    ErrorCode.REFUSED_STREAM: StatusCode.UNAVAILABLE,
    ErrorCode.CANCEL: StatusCode.CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: StatusCode.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: StatusCode.PERMISSION_DENIED,
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
    """Return what RST_STREAM with an HTTP/2 error code means to a call without trailers."""
    meaning = _CODE_OF_RESET.get(code, StatusCode.INTERNAL)
    return Status(meaning, f"the peer reset the stream: {error_name(code)}")


def status_of_http(http_status: int) -> Status:
    """Return what an answer with an HTTP status other than 200 means to a call."""
    meaning = _CODE_OF_HTTP.get(http_status, StatusCode.UNKNOWN)
    return Status(meaning, f"the peer answered HTTP {http_status}")
