"""gRPC messages: cut out of the DATA of a stream, each behind a flag and its length."""

from __future__ import annotations

from struct import Struct

from transport.compression import Inflate
from transport.status import RpcError, StatusCode

PREFIX = Struct(">BI")
"""What stands before each message: whether it is compressed, and its length."""
PREFIX_BYTES = PREFIX.size

_SMALL = 16 * 2**10


class Budget:
    """Bytes that the unfinished messages of one connection may hold together."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, size: int) -> None:
        """Use `size` bytes more.

        Raises:
            RpcError: RESOURCE_EXHAUSTED, there are not as many left. They count as taken.
        """
        self.used += size
        if self.used > self.limit:
            text = f"unfinished messages of more than {self.limit} bytes on one connection"
            raise RpcError(StatusCode.RESOURCE_EXHAUSTED, text)


class MessageReader:
    """Puts the messages of one stream together, however its bytes arrive.

    A message that came in one piece is copied once; a large one is collected in pieces, which are
    joined when the last has come.

    Args:
        max_message_bytes: a larger message is refused when its length is seen.
        budget: of the connection.
    """

    __slots__ = (
        "_budget",
        "_compressed",
        "_have",
        "_max",
        "_missing",
        "_pieces",
        "_prefix",
        "inflate",
    )

    def __init__(self, max_message_bytes: int, budget: Budget) -> None:
        self._max = max_message_bytes
        self._budget = budget
        self._prefix = b""
        self._missing = -1  # of the message that has begun; -1: none has
        self._pieces: list[bytearray | memoryview] = []
        self._have = 0
        self._compressed = False
        self.inflate: Inflate | None = None
        """Set where the peer announced a compression that we know."""

    @property
    def between_messages(self) -> bool:
        """Whether everything that arrived belongs to a message that was handed out."""
        return self._missing < 0 and not self._prefix

    def feed(self, data: bytes, start: int, end: int) -> list[bytes]:
        """Take `data[start:end]` and return the messages that are complete now.

        Raises:
            RpcError: RESOURCE_EXHAUSTED where a message is too large, UNIMPLEMENTED where it is
                compressed in a way that was not announced or is not known.
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
        """Forget what has arrived of an unfinished message."""
        self._budget.used -= self._have
        self._pieces = []
        self._have = 0

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
            text = f"a message of {size} bytes; at most {self._max} are taken"
            raise RpcError(StatusCode.RESOURCE_EXHAUSTED, text)
        if flag > 1:
            raise RpcError(StatusCode.INTERNAL, f"message flag {flag}: expected 0 or 1")
        if flag and self.inflate is None:
            text = "a compressed message; expected identity or what grpc-accept-encoding lists"
            raise RpcError(StatusCode.UNIMPLEMENTED, text)
        self._compressed = flag == 1
        self._missing = size

    def _collect(self, data: bytes, start: int, stop: int) -> None:
        size = stop - start
        self._missing -= size
        self._have += size
        self._budget.take(size)
        view = memoryview(data)[start:stop]
        if size > _SMALL and 2 * size >= len(data):
            # The piece keeps the whole read alive, which is mostly this piece
            self._pieces.append(view)
        elif self._pieces and isinstance(self._pieces[-1], bytearray):
            self._pieces[-1] += view
        else:
            self._pieces.append(bytearray(view))

    def _finish(self) -> bytes:
        message = b"".join(self._pieces)
        self.discard()
        self._missing = -1
        if self._compressed and self.inflate is not None:
            return self.inflate(message, self._max)
        return message
