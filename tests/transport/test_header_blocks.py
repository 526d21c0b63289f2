"""Our decoder of header blocks and hpack's agree, on blocks of encoders and on any bytes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hpack import Decoder, Encoder, HPACKError, OversizedHeaderListError
from hpack.table import HeaderTable
from hypothesis import given
from hypothesis import strategies as st

from transport.header_blocks import BlockDecoder, HeaderList

MAX_LIST_BYTES, MAX_STRING_BYTES = 2**17, 2**14

texts = st.binary(max_size=60)
fields = st.lists(st.tuples(texts.filter(bool), texts, st.booleans()), max_size=12)
"""Names, values and whether they are sensitive, which are never put into the table."""


def decoder() -> BlockDecoder:
    return BlockDecoder(HeaderTable(), MAX_LIST_BYTES, MAX_STRING_BYTES)


def outcomes(blocks: Sequence[bytes]) -> tuple[list[HeaderList | str], list[HeaderList | str]]:
    """Return what both decoders make of blocks of one connection, up to the first error."""
    theirs, ours = Decoder(max_header_list_size=MAX_LIST_BYTES), decoder()
    expected: list[HeaderList | str] = []
    found: list[HeaderList | str] = []
    for block in blocks:
        try:
            pairs = theirs.decode(block, raw=True)
            expected.append([(bytes(name), bytes(value)) for name, value in pairs])
        except HPACKError:
            expected.append("malformed")
        try:
            found.append(ours.decode(block))
        except (HPACKError, IndexError):
            found.append("malformed")
        if "malformed" in (expected[-1], found[-1]):
            break
    return expected, found


@given(st.lists(fields, max_size=4), st.booleans())
def test_blocks_of_an_encoder_are_decoded(
    lists: list[list[tuple[bytes, bytes, bool]]], huffman: bool
) -> None:
    encoder, ours = Encoder(), decoder()
    for headers in lists:
        block = encoder.encode(headers, huffman=huffman)
        assert ours.decode(block) == [(name, value) for name, value, _ in headers]


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_any_bytes_mean_the_same(blocks: list[bytes]) -> None:
    expected, found = outcomes(blocks)
    assert found == expected


@given(st.binary(max_size=30))
def test_any_huffman_code_means_the_same(code: bytes) -> None:
    expected, found = outcomes([b"\x10\x01a" + bytes([0x80 | len(code)]) + code])
    assert found == expected


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",  # index 0
        b"\xff\xff\xff\xff\xff\x0f",  # an index beyond the table
        b"\x7f",  # an integer without its end
        b"\x7f\x80\x80\x80\x80\x80\x01",  # an integer that is too long
        b"\x10\x05abc",  # a string without its end
        b"\x10\x01a\x81\x00",  # a code without its end
        b"\x82\x20",  # a table size after a field
        b"\x3f\xe2\x1f",  # a table size of 4,097
    ],
)
def test_malformed_blocks_are_refused(block: bytes) -> None:
    with pytest.raises((HPACKError, IndexError)):
        decoder().decode(block)
    assert outcomes([block])[0] == ["malformed"]


def test_the_size_of_a_list_is_limited_also_where_a_block_is_small() -> None:
    ours = decoder()
    ours.decode(b"\x40\x01a\x7f\xa1\x1e" + bytes(4000))  # enters the table
    with pytest.raises(OversizedHeaderListError):
        ours.decode(b"\xbe" * 40)


def test_a_smaller_table_evicts() -> None:
    ours = decoder()
    ours.decode(b"\x40\x01a\x01b")
    assert ours.decode(b"\xbe") == [(b"a", b"b")]
    ours.decode(b"\x20")
    with pytest.raises(HPACKError):
        ours.decode(b"\xbe")


@pytest.mark.parametrize("sensitive", [True, False])
def test_a_string_that_is_too_long_for_any_list_is_not_decoded(sensitive: bool) -> None:
    encoder, ours = Encoder(), decoder()
    ours.decode(encoder.encode([(b"before", b"a value", False)]))
    ((name, value),) = ours.decode(encoder.encode([(b"long", b"a" * 30_000, sensitive)]))
    assert name == b"long"
    assert len(value) == 30_000 * 5 / 8
    for _ in range(2):  # the tables of both sides are still the same
        again = encoder.encode([(b"before", b"a value", False), (b"after", b"another", False)])
        assert ours.decode(again) == [(b"before", b"a value"), (b"after", b"another")]
