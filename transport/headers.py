"""Header lists: HPACK blocks read with a memory for those seen before, and written stateless."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from hpack import Decoder, Encoder, HPACKError, OversizedHeaderListError
from hpack.table import HeaderTable

from transport.http2 import ErrorCode, PeerError

T = TypeVar("T")

_REMEMBERED_BLOCKS = 64
_LONGEST_REMEMBERED = 1024

NO_TABLE = b"\x20"
"""Sets the size of the dynamic table to nothing.

Stands before our first block on a connection: we never index, so that a block may be kept as bytes
and sent again on any connection, whatever the peer wants its table to be.
"""


class _Table(HeaderTable):
    """A header table that tells when it was changed."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = 0

    def add(self, name: bytes, value: bytes) -> None:
        self.changes += 1
        super().add(name, value)


class HeaderReader(Generic[T]):
    """Decodes the header blocks of one connection, in the order in which they came.

    A block that leaves the dynamic table as it is means the same until another one changes it. The
    calls of one client look alike, so almost every block is found in a dictionary: that takes a
    hundredth of the time that decoding takes.

    Args:
        parse: makes of a header list what the caller works with; must depend on nothing else.
        max_header_bytes: of one list, as HTTP/2 counts them.
    """

    def __init__(
        self, parse: Callable[[list[tuple[bytes, bytes]]], T], *, max_header_bytes: int
    ) -> None:
        self._parse = parse
        self._table = _Table()
        self._decoder = Decoder(max_header_list_size=max_header_bytes)
        self._decoder.header_table = self._table
        self._known: dict[bytes, T] = {}

    def read(self, block: bytes) -> T:
        """Return what `parse` makes of the list in `block`; the same object for the same list.

        Raises:
            PeerError: the block cannot be decoded, or is a bomb.
        """
        known = self._known.get(block)
        if known is not None:
            return known
        changes, size = self._table.changes, self._table.maxsize
        parsed = self._parse(self._decode(block))
        if changes != self._table.changes or size != self._table.maxsize:
            self._known.clear()
        elif len(block) <= _LONGEST_REMEMBERED:
            if len(self._known) >= _REMEMBERED_BLOCKS:
                self._known.clear()
            self._known[block] = parsed
        return parsed

    def _decode(self, block: bytes) -> list[tuple[bytes, bytes]]:
        try:
            return [
                (bytes(name), bytes(value)) for name, value in self._decoder.decode(block, True)
            ]
        except OversizedHeaderListError as error:
            raise PeerError(ErrorCode.ENHANCE_YOUR_CALM, str(error)) from error
        except (HPACKError, IndexError, ValueError) as error:
            text = f"a header block that cannot be decoded: {error}"
            raise PeerError(ErrorCode.COMPRESSION_ERROR, text) from error


def encode_block(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a header block that neither reads nor changes the dynamic table."""
    return Encoder().encode([(name, value, True) for name, value in headers], huffman=False)
