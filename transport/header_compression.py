"""HPACK header blocks: decoded with a cache, encoded without state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from hpack import Encoder, HPACKError, OversizedHeaderListError
from hpack.table import HeaderTable

from transport.header_blocks import BlockDecoder, HeaderList
from transport.http2 import Http2ErrorCode, PeerError
from transport.limits import GrpcLimits

T = TypeVar("T")
Parse = Callable[[HeaderList], T]

_MAX_CACHED_BLOCKS = 64
_MAX_CACHED_LENGTH = 1024
_ENTRY_BYTES = 32

ZERO_TABLE_SIZE = b"\x20"
"""A dynamic table size update to 0, sent before our first block on a connection.

We never index, so an encoded block depends on no state: it can be kept as bytes and sent again on
any connection, whatever table size the peer announces.
"""


class _ChangeCountingTable(HeaderTable):
    """A dynamic table that counts its changes."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = 0

    def add(self, name: bytes, value: bytes) -> None:
        self.changes += 1
        super().add(name, value)


class HeaderDecoder(Generic[T]):
    """Decodes the header blocks of one connection, in the order in which they arrive.

    A block that leaves the dynamic table unchanged has the same meaning until another block changes
    the table. A client's calls look alike, so nearly every block is found in a dictionary, which
    takes a hundredth of the time of decoding it.

    Args:
        parse: converts a header list; its result must depend on nothing else.
        parse_oversized: converts a list that is larger than allowed. It was decoded all the same,
            because it may change the table that later blocks refer to.
        limits: of one list and of one block, as HTTP/2 counts them.
    """

    def __init__(self, parse: Parse[T], parse_oversized: Parse[T], limits: GrpcLimits) -> None:
        self._parse = parse
        self._parse_oversized = parse_oversized
        self._max_header_bytes = limits.max_header_bytes
        self._table = _ChangeCountingTable()
        self._decoder = BlockDecoder(
            self._table, limits.max_header_block_bytes, limits.max_header_bytes
        )
        self._cache: dict[bytes, T] = {}

    def decode(self, block: bytes) -> T:
        """Return the parsed list of `block`; the same object for a cached block.

        Raises:
            PeerError: the block is invalid, or its list exceeds `max_header_block_bytes`.
        """
        cached = self._cache.get(block)
        if cached is not None:
            return cached
        changes, size = self._table.changes, self._table.maxsize
        headers = self._decode(block)
        if _list_size(headers) > self._max_header_bytes:
            parsed = self._parse_oversized(headers)
        else:
            parsed = self._parse(headers)
        if changes != self._table.changes or size != self._table.maxsize:
            self._cache.clear()
        elif len(block) <= _MAX_CACHED_LENGTH:
            if len(self._cache) >= _MAX_CACHED_BLOCKS:
                self._cache.clear()
            self._cache[block] = parsed
        return parsed

    def _decode(self, block: bytes) -> HeaderList:
        try:
            return self._decoder.decode(block)
        except OversizedHeaderListError as error:
            raise PeerError(Http2ErrorCode.ENHANCE_YOUR_CALM, str(error)) from error
        except (HPACKError, IndexError) as error:
            text = f"an invalid header block: {error}"
            raise PeerError(Http2ErrorCode.COMPRESSION_ERROR, text) from error


def _list_size(headers: HeaderList) -> int:
    """Return the size of a header list, with 32 bytes for each entry (RFC 9113, 6.5.2)."""
    return sum([len(name) + len(value) + _ENTRY_BYTES for name, value in headers])


def encode_block(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a header block that neither uses nor changes the dynamic table."""
    return Encoder().encode([(name, value, True) for name, value in headers], huffman=False)
