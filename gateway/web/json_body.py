"""What JSON bodies must not contain: many levels, which are later walked recursively, and bad text.

Python's parser accepts more than JSON (RFC 8259): UTF-16, and halves of surrogate pairs, which no
database stores.
"""

from __future__ import annotations

import json
import re

import orjson

from gateway.errors import GatewayError
from protos.errors import ErrorCode

MAX_DEPTH = 64

MAX_VALUES = 100_000
"""Of the body of a management request, which the event loop walks several times, in about 0.5 µs
per value."""

_COUNTED_BYTES = 16 * 1024
"""Up to that size, counting the brackets is quicker than taking them out."""

_MARKS = b'[]{}"'
_OTHERS = bytes(byte for byte in range(256) if byte not in _MARKS)
_AS_ARRAYS = bytes.maketrans(b"{}", b"[]")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_PLAIN_STRING = re.compile(rb'"[^"]*"')
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def check_depth(body: bytes) -> None:
    """Raise INVALID_JSON where arrays and objects are nested deeper than MAX_DEPTH.

    Invalid JSON may pass. A small body with few brackets takes a hundred nanoseconds.
    """
    if len(body) <= _COUNTED_BYTES and body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    if _is_deep(body):
        message = f"the body: expected at most {MAX_DEPTH} levels of arrays and objects, got more"
        raise GatewayError(ErrorCode.INVALID_JSON, message)


def check_unicode(body: bytes) -> None:
    """Raise INVALID_JSON where the body is not UTF-8, or escapes half of a surrogate pair."""
    if b"\0" in body:  # how UTF-16 and UTF-32 encode ASCII; JSON contains none
        message = "the body is not JSON: expected UTF-8, got a zero byte"
        raise GatewayError(ErrorCode.INVALID_JSON, message)
    try:
        if not body.isascii():
            body.decode()
        if _ESCAPED_SURROGATE.search(body):
            orjson.loads(body)
    except ValueError as error:
        raise GatewayError(ErrorCode.INVALID_JSON, f"the body is not JSON: {error}") from None


def may_have_many_values(body: bytes) -> bool:
    """Whether the body may have more than MAX_VALUES; commas and brackets in strings count."""
    return body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_VALUES


def check_value_count(body: bytes) -> None:
    """Check a body in every respect, which may take seconds.

    Raises:
        GatewayError: INVALID_JSON; PAYLOAD_TOO_LARGE where it has more than MAX_VALUES.
    """
    check_depth(body)
    check_unicode(body)
    try:
        count = count_values(json.loads(body))
    except ValueError as error:
        raise GatewayError(ErrorCode.INVALID_JSON, f"the body is not JSON: {error}") from None
    if count > MAX_VALUES:
        message = (
            f"the body: expected at most {MAX_VALUES} values (numbers, strings, objects, arrays), "
            f"got {count}: send less per request"
        )
        raise GatewayError(ErrorCode.PAYLOAD_TOO_LARGE, message)


def count_values(document: object) -> int:
    """Return how many numbers, strings, objects, arrays and so on a JSON document consists of."""
    waiting, count = [document], 0
    while waiting:
        value = waiting.pop()
        count += 1
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return count


def _is_deep(body: bytes) -> bool:
    marks = body.translate(_AS_ARRAYS, _OTHERS)
    if marks.count(b"[") <= MAX_DEPTH:
        return False
    if b"\\" in body:  # skip strings: their brackets do not nest, and an escaped quote ends none
        marks = _STRING.sub(b"", body).translate(_AS_ARRAYS, _OTHERS)
    marks = marks.replace(b'""', b"")
    if b'"' in marks:
        marks = _PLAIN_STRING.sub(b"", marks)
    if b"[" * (MAX_DEPTH + 1) in marks:
        return True
    for _ in range(MAX_DEPTH):  # each time, the innermost level is removed
        rest = marks.replace(b"[]", b"")
        if len(rest) == len(marks):
            return False
        marks = rest
    return bool(marks)
