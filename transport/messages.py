"""gRPC messages: reassembled from the DATA of a stream, and decompressed."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from io import BytesIO
from struct import Struct

from transport.status import RpcError, StatusCode

PREFIX = Struct(">BI")
"""Precedes each message: whether it is compressed (0 or 1), and its length."""
PREFIX_BYTES = PREFIX.size

Decompress = Callable[[bytes, int], bytes]
"""Takes a compressed message and the largest size that it may decompress to."""

ACCEPT_ENCODING = b"identity, deflate, gzip"
"""The value of `grpc-accept-encoding`. We accept compressed messages and never send any."""

_GZIP_WINDOW_BITS = 31
_ZLIB_WINDOW_BITS = 15


def _decompressor(window_bits: int) -> Decompress:
    def decompress(message: bytes, limit: int) -> bytes:
        decompressor = zlib.decompressobj(window_bits)
        try:
            plain = decompressor.decompress(message, limit + 1)
        except zlib.error as error:
            raise RpcError(StatusCode.INTERNAL, f"invalid compressed message: {error}") from error
        if len(plain) > limit:
            text = f"a message of more than {limit} bytes when decompressed; the limit is {limit}"
            raise RpcError(StatusCode.RESOURCE_EXHAUSTED, text)
        if not decompressor.eof:
            raise RpcError(StatusCode.INTERNAL, "the compressed message is truncated")
        return plain

    return decompress


DECOMPRESSORS: Mapping[bytes, Decompress] = {
    b"gzip": _decompressor(_GZIP_WINDOW_BITS),
    b"deflate": _decompressor(_ZLIB_WINDOW_BITS),
}
"""By the value of `grpc-encoding`."""


class BufferBudget:
    """Bytes that the incomplete messages of one connection may take together."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def reserve(self, size: int) -> None:
        """Use `size` bytes more.

        Raises:
            RpcError: RESOURCE_EXHAUSTED, the budget is exceeded. The bytes count as used.
        """
        self.used += size
        if self.used > self.limit:
            text = f"incomplete messages of more than {self.limit} bytes on one connection"
            raise RpcError(StatusCode.RESOURCE_EXHAUSTED, text)


class MessageReader:
    """Reassembles the messages of one stream, in whatever portions its bytes arrive.

    A message that came in one piece is copied once. One that comes in several is written to a
    buffer as it arrives: to join the pieces of a large one would stop the event loop, for 80 ms
    where the system has to provide 34 MiB.

    Args:
        max_message_bytes: a larger message is refused as soon as its length is known.
        budget: of the connection.
    """

    __slots__ = (
        "_budget",
        "_buffer",
        "_compressed",
        "_max",
        "_missing",
        "_prefix",
        "decompress",
    )

    def __init__(self, max_message_bytes: int, budget: BufferBudget) -> None:
        self._max = max_message_bytes
        self._budget = budget
        self._prefix = b""
        self._missing = -1  # bytes of the incomplete message; -1: there is none
        self._buffer = BytesIO()
        self._compressed = False
        self.decompress: Decompress | None = None
        """Set if the peer announced a supported compression."""

    @property
    def between_messages(self) -> bool:
        """Whether everything that arrived belongs to a complete message."""
        return self._missing < 0 and not self._prefix

    def feed(self, data: bytes, start: int, end: int) -> list[bytes]:
        """Take `data[start:end]` and return the messages that it completes.

        Raises:
            RpcError: RESOURCE_EXHAUSTED, a message is too large; UNIMPLEMENTED, it is compressed in
                a way that was not announced or is not supported.
        """
        if self._missing < 0 and not self._prefix and end - start >= PREFIX_BYTES:
            compressed, size = PREFIX.unpack_from(data, start)
            body = start + PREFIX_BYTES
            if body + size == end and not compressed and size <= self._max:
                return [data[body:end]]  # one whole message: nearly always
        messages: list[bytes] = []
        if self._missing < 0 and not self._prefix:
            while end - start >= PREFIX_BYTES:
                compressed, size = PREFIX.unpack_from(data, start)
                stop = start + PREFIX_BYTES + size
                if stop > end or compressed or size > self._max:
                    break
                messages.append(data[start + PREFIX_BYTES : stop])
                start = stop
        while start < end:
            start = self._step(data, start, end, messages)
        return messages

    def discard(self) -> None:
        """Drop what has arrived of an incomplete message."""
        self._budget.used -= self._buffer.tell()
        self._buffer = BytesIO()

    def _step(self, data: bytes, start: int, end: int, messages: list[bytes]) -> int:
        if self._missing < 0:
            stop = min(start + PREFIX_BYTES - len(self._prefix), end)
            self._prefix += data[start:stop]
            if len(self._prefix) == PREFIX_BYTES:
                self._begin()
        else:
            stop = min(start + self._missing, end)
            self._collect(data, start, stop)
        if self._missing == 0:
            messages.append(self._finish())
        return stop

    def _begin(self) -> None:
        flag, size = PREFIX.unpack(self._prefix)
        self._prefix = b""
        if size > self._max:
            text = f"a message of {size} bytes; the limit is {self._max}"
            raise RpcError(StatusCode.RESOURCE_EXHAUSTED, text)
        if flag > 1:
            raise RpcError(StatusCode.INTERNAL, f"message flag {flag}: expected 0 or 1")
        if flag and self.decompress is None:
            text = "a compressed message: expected an encoding that grpc-accept-encoding lists"
            raise RpcError(StatusCode.UNIMPLEMENTED, text)
        self._compressed = flag == 1
        self._missing = size

    def _collect(self, data: bytes, start: int, stop: int) -> None:
        size = stop - start
        self._missing -= size
        self._buffer.write(memoryview(data)[start:stop])
        self._budget.reserve(size)  # behind the write: `discard` gives back what was written

    def _finish(self) -> bytes:
        message = self._buffer.getvalue()  # not a copy
        self.discard()
        self._missing = -1
        if self._compressed and self.decompress is not None:
            return self.decompress(message, self._max)
        return message
