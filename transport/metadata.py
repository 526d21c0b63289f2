"""Metadata, status messages and timeouts, encoded as HTTP/2 headers."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

from transport.status import Metadata

Headers = Iterable[tuple[bytes, bytes]]

_KEY = re.compile(r"[0-9a-z_.\-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
# Printable ASCII without the percent sign; quote() keeps letters, digits and "_.-~" anyway
_UNESCAPED = " !\"#$&'()*+,/:;<=>?@[\\]^`{|}"
_PUSHBACK = "grpc-retry-pushback-ms"
"""The only `grpc-` key that an application may set (gRFC A6): when to retry."""
_PUSHBACK_HEADER = _PUSHBACK.encode()
_PROTOCOL_HEADERS = frozenset({b"te", b"content-type"})
_MAX_MESSAGE_BYTES = 2048
"""With longer ones grpcio refuses the trailers (8 KiB), and loses the status with them."""

_UNIT_SECONDS: Mapping[int, float] = {
    ord("H"): 3600.0,
    ord("M"): 60.0,
    ord("S"): 1.0,
    ord("m"): 1e-3,
    ord("u"): 1e-6,
    ord("n"): 1e-9,
}
_TIMEOUT_DIGITS = 8


def encode_metadata(metadata: Iterable[tuple[str, str | bytes]]) -> list[tuple[bytes, bytes]]:
    """Return application metadata as headers.

    Raises:
        ValueError: gRPC does not allow a key or value.
    """
    return [(key.encode(), _encode_value(key, value)) for key, value in metadata]


def _encode_value(key: str, value: str | bytes) -> bytes:
    if not _KEY.fullmatch(key) or (key.startswith("grpc-") and key != _PUSHBACK):
        text = f"metadata key {key!r}: expected lower-case letters, digits, '_', '.', '-'"
        raise ValueError(f"{text}, and not the prefix 'grpc-'")
    if key.endswith("-bin"):
        raw = value if isinstance(value, bytes) else value.encode()
        return b64encode(raw).rstrip(b"=")
    if isinstance(value, bytes) or not _VALUE.fullmatch(value):
        raise ValueError(f"metadata {key!r}: expected printable ASCII, or a key ending in -bin")
    return value.encode()


def decode_metadata(headers: Headers) -> Metadata:
    """Return the headers that are application metadata."""
    metadata: list[tuple[str, str | bytes]] = []
    for name, value in headers:
        if name in _PROTOCOL_HEADERS:
            continue
        if name.startswith((b":", b"grpc-")) and name != _PUSHBACK_HEADER:
            continue
        key = name.decode("ascii", "replace")
        if key.endswith("-bin"):
            metadata += [(key, _decode_binary(part)) for part in value.split(b",")]
        else:
            metadata.append((key, value.decode("ascii", "replace")))
    return tuple(metadata)


def _decode_binary(text: bytes) -> bytes:
    text = text.strip()
    try:
        return b64decode(text + b"=" * (-len(text) % 4))
    except Base64Error:
        return text


def encode_message(message: str) -> bytes:
    """Return a status message percent-encoded, truncated if it is very long."""
    cut = message.encode("utf-8", "replace")[:_MAX_MESSAGE_BYTES].decode("utf-8", "ignore")
    return quote(cut, safe=_UNESCAPED).encode()


def decode_message(value: bytes) -> str:
    """Return the status message in `grpc-message`; never fails."""
    return unquote(value.decode("ascii", "replace"), errors="replace")


def encode_timeout(seconds: float) -> bytes:
    """Return seconds as `grpc-timeout`, rounded up to a unit that needs at most eight digits."""
    micros = max(int(seconds * 1e6 + 0.999), 0)
    for unit, size in ((b"u", 1), (b"m", 1000), (b"S", 1_000_000)):
        amount = -(-micros // size)
        if amount < 10**_TIMEOUT_DIGITS:
            return b"%d%s" % (amount, unit)
    return b"%dH" % min(-(-micros // 3_600_000_000), 10**_TIMEOUT_DIGITS - 1)


def decode_timeout(value: bytes) -> float:
    """Return the seconds in `grpc-timeout`.

    Raises:
        ValueError: it is not one to eight digits and a unit.
    """
    amount, unit = value[:-1], value[-1:]
    if not amount.isdigit() or len(amount) > _TIMEOUT_DIGITS or unit[0] not in _UNIT_SECONDS:
        shown = value[:40].decode("ascii", "replace")
        raise ValueError(f"grpc-timeout {shown!r}: expected up to 8 digits and one of H M S m u n")
    return int(amount) * _UNIT_SECONDS[unit[0]]
