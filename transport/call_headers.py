"""The header lists that open and close a call: requests, responses and trailers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from transport.header_blocks import HeaderList
from transport.header_compression import encode_block
from transport.messages import ACCEPT_ENCODING, DECOMPRESSORS, Decompress
from transport.metadata import (
    decode_message,
    decode_metadata,
    decode_timeout,
    encode_message,
    encode_metadata,
    encode_timeout,
)
from transport.status import Metadata, Status, StatusCode, status_of_http

_CONTENT_TYPE = b"application/grpc"
_USER_AGENT = b"slipstream-transport/1"
_REQUIRED_PSEUDO_HEADERS = frozenset({b":method", b":scheme", b":path"})
_REQUEST_PSEUDO_HEADERS = _REQUIRED_PSEUDO_HEADERS | {b":authority"}
_CONNECTION_HEADERS = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
"""Of HTTP/1.1's connections; HTTP/2 has no such fields (RFC 9113, 8.2.2)."""
_NAME = re.compile(rb":?[!#$%&'*+.^_`|~0-9a-z-]+")
_FORBIDDEN = re.compile(rb"[\0\r\n]")
"""In values, which other programs may write as lines of HTTP/1.1 (RFC 9113, 8.2.1)."""
_CONTENT_LENGTH = re.compile(rb"[0-9]{1,18}")
_HTTP_OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHeaders:
    """What a client sends before its messages."""

    path: str = ""
    metadata: Metadata = ()
    timeout: float | None = None
    """Seconds."""
    decompress: Decompress | None = None
    is_request: bool = True
    """False: these are trailers."""
    malformed: bool = False
    """Not a valid HTTP/2 request, or not valid trailers."""
    content_length: int | None = None
    """Bytes of DATA that the client announces; gRPC clients announce none."""
    oversized: bool = False
    """The list is larger than allowed, and was not read further."""
    http_refusal: int | None = None
    """The HTTP status for a valid HTTP/2 request that is not gRPC."""
    error: str = ""
    """Why it is not a valid gRPC request."""


def parse_request(headers: HeaderList) -> RequestHeaders:
    """Parse a client's header list; never fails."""
    fields = dict(headers)
    pseudo = [name for name, _ in headers if name.startswith(b":")]
    if not pseudo and b"content-type" not in fields:
        return RequestHeaders(is_request=False, malformed=not _has_valid_fields(headers))
    if not _is_well_formed(headers, pseudo):
        return RequestHeaders(malformed=True)
    refusal = None
    if fields[b":method"] != b"POST":
        refusal = 405
    elif not _is_grpc(fields):
        refusal = 415
    timeout, error = None, ""
    if b"grpc-timeout" in fields:
        try:
            timeout = decode_timeout(fields[b"grpc-timeout"])
        except ValueError as wrong:
            error = str(wrong)
    return RequestHeaders(
        path=fields[b":path"].decode("ascii", "replace"),
        metadata=decode_metadata(headers),
        content_length=int(fields[b"content-length"]) if b"content-length" in fields else None,
        timeout=timeout,
        decompress=DECOMPRESSORS.get(fields.get(b"grpc-encoding", b"")),
        http_refusal=refusal,
        error=error,
    )


def oversized_request(headers: HeaderList) -> RequestHeaders:
    """Return what stands for a client's header list that is larger than allowed."""
    is_request = any(name.startswith(b":") for name, _ in headers)
    return RequestHeaders(oversized=True, is_request=is_request)


def _is_well_formed(headers: HeaderList, pseudo: list[bytes]) -> bool:
    leading = [name for name, _ in headers[: len(pseudo)]]
    return (
        leading == pseudo
        and len(set(pseudo)) == len(pseudo)
        and _REQUIRED_PSEUDO_HEADERS <= set(pseudo) <= _REQUEST_PSEUDO_HEADERS
        and (b":path", b"") not in headers
        and _has_valid_fields(headers)
    )


def _has_valid_fields(headers: HeaderList) -> bool:
    lengths: set[bytes] = set()
    if _FORBIDDEN.search(b"".join([value for _, value in headers])):
        return False
    for name, value in headers:
        if not _is_valid_name(name):
            return False
        if name == b"te" and value.lower() != b"trailers":
            return False
        if name == b"content-length":
            lengths.add(value)
    return not lengths or (
        len(lengths) == 1 and _CONTENT_LENGTH.fullmatch(lengths.pop()) is not None
    )


@lru_cache(maxsize=256)
def _is_valid_name(name: bytes) -> bool:
    return _NAME.fullmatch(name) is not None and name not in _CONNECTION_HEADERS


def _is_grpc(fields: dict[bytes, bytes]) -> bool:
    kind = fields.get(b"content-type", b"")
    return kind == _CONTENT_TYPE or kind.startswith((_CONTENT_TYPE + b"+", _CONTENT_TYPE + b";"))


def request_block(path: str, authority: str) -> bytes:
    """Return the block that opens calls of a method; `options_block` may follow it."""
    return encode_block(
        [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", path.encode()),
            (b":authority", authority.encode()),
            (b"te", b"trailers"),
            (b"content-type", _CONTENT_TYPE),
            (b"user-agent", _USER_AGENT),
            (b"grpc-accept-encoding", ACCEPT_ENCODING),
        ]
    )


def options_block(timeout: float | None, metadata: Iterable[tuple[str, str | bytes]]) -> bytes:
    """Return the headers that differ from call to call.

    Raises:
        ValueError: gRPC does not allow the metadata.
    """
    headers = encode_metadata(metadata)
    if timeout is not None:
        headers.append((b"grpc-timeout", encode_timeout(timeout)))
    return encode_block(headers) if headers else b""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseHeaders:
    """What a server sends before its messages, or after them."""

    refusal: Status | None
    """The call's status if this is not a gRPC response."""
    status: Status | None
    """Set in trailers."""
    informational: bool
    """HTTP status 1xx: the response is still to come."""
    metadata: Metadata
    decompress: Decompress | None


def parse_response(headers: HeaderList) -> ResponseHeaders:
    """Parse a server's header list; never fails."""
    fields = dict(headers)
    metadata = decode_metadata(headers)
    http = fields.get(b":status", b"")
    http_status = int(http) if http.isdigit() else None
    refusal = None
    if b"grpc-status" not in fields and http:
        if http_status != _HTTP_OK:
            refusal = status_of_http(http_status or 0)
        elif not _is_grpc(fields):
            kind = fields.get(b"content-type", b"")[:80].decode("ascii", "replace")
            refusal = Status(StatusCode.UNKNOWN, f"content-type {kind!r}: expected a gRPC answer")
    return ResponseHeaders(
        refusal=refusal,
        status=_parse_status(fields, metadata),
        informational=http_status is not None and http_status < _HTTP_OK,
        metadata=metadata,
        decompress=DECOMPRESSORS.get(fields.get(b"grpc-encoding", b"")),
    )


def oversized_response(headers: HeaderList) -> ResponseHeaders:  # noqa: ARG001
    """Return what stands for a server's header list that is larger than allowed."""
    text = "the server's headers are larger than this client accepts"
    return ResponseHeaders(
        refusal=Status(StatusCode.RESOURCE_EXHAUSTED, text),
        status=None,
        informational=False,
        metadata=(),
        decompress=None,
    )


def _parse_status(fields: dict[bytes, bytes], metadata: Metadata) -> Status | None:
    value = fields.get(b"grpc-status")
    if value is None:
        return None
    message = decode_message(fields.get(b"grpc-message", b""))
    try:
        return Status(StatusCode(int(value)), message, metadata)
    except ValueError:
        text = f"grpc-status {value[:20].decode('ascii', 'replace')!r}: expected 0 to 16. {message}"
        return Status(StatusCode.UNKNOWN, text, metadata)


RESPONSE_BLOCK = encode_block(
    [
        (b":status", b"200"),
        (b"content-type", _CONTENT_TYPE),
        (b"grpc-accept-encoding", ACCEPT_ENCODING),
    ]
)
"""Opens every answer."""

OK_BLOCK = encode_block([(b"grpc-status", b"0")])
"""Closes most answers."""


def trailers_block(status: Status) -> bytes:
    """Return the block that closes an answer.

    Raises:
        ValueError: gRPC does not allow the trailers.
    """
    headers = [(b"grpc-status", b"%d" % status.code)]
    if status.message:
        headers.append((b"grpc-message", encode_message(status.message)))
    return encode_block(headers + encode_metadata(status.trailers))


def http_refusal_block(http_status: int) -> bytes:
    """Return the block that answers a request that is not gRPC."""
    text = f"HTTP {http_status}: expected POST with content-type application/grpc"
    return encode_block(
        [
            (b":status", b"%d" % http_status),
            (b"grpc-status", b"%d" % StatusCode.UNKNOWN),
            (b"grpc-message", encode_message(text)),
        ]
    )
