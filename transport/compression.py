"""Compressed messages: understood where a peer sends them, never sent."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

from transport.status import RpcError, StatusCode

Inflate = Callable[[bytes, int], bytes]
"""Takes a compressed message and the most bytes that it may become."""

ACCEPTED = b"identity, deflate, gzip"
"""What `grpc-accept-encoding` says."""

_GZIP = 31
_ZLIB = 15


def _inflater(window_bits: int) -> Inflate:
    def inflate(message: bytes, limit: int) -> bytes:
        worker = zlib.decompressobj(window_bits)
        try:
            plain = worker.decompress(message, limit + 1)
        except zlib.error as error:
            raise RpcError(StatusCode.INTERNAL, f"a broken compressed message: {error}") from error
        if len(plain) > limit:
            text = f"a message of more than {limit} bytes when unpacked; at most that is taken"
            raise RpcError(StatusCode.RESOURCE_EXHAUSTED, text)
        if not worker.eof:
            raise RpcError(StatusCode.INTERNAL, "a compressed message that ends too early")
        return plain

    return inflate


INFLATE: Mapping[bytes, Inflate] = {b"gzip": _inflater(_GZIP), b"deflate": _inflater(_ZLIB)}
"""By the value of `grpc-encoding`."""
