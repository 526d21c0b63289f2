"""`Slipstream-Metadata`: a caller's own labels of a run, such as `order=42, team=growth`. Pure.

The header is a dictionary of RFC 9651 whose values are tokens, strings or integers, without
parameters. Runs keep all values as texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from gateway.errors import GatewayError
from protos.errors import ErrorCode

HEADER = b"slipstream-metadata"
MAX_LABELS = 16
MAX_BYTES = 4096
"""Of the header."""
MAX_KEY_CHARACTERS = 40
MAX_VALUE_CHARACTERS = 500
FILTER_PREFIX = "metadata."
"""Of the parameters of a list that select runs by a label: `metadata.order=42`."""

Labels = Mapping[str, str]

_KEY = re.compile(r"[a-z][a-z0-9_.-]*")
_VALUE = re.compile(
    r'"((?:[ !#-\[\]-~]|\\["\\])*)"'  # a string
    r"|(-?[0-9]{1,15}|[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*)"  # an integer, a token
)
_COMMA = re.compile(r"[ \t]*,[ \t]*")
_ESCAPE = re.compile(r"\\(.)")
_PRINTABLE = re.compile(r"[ -~]*")
_SHOWN_CHARACTERS = 60


def read_labels(headers: Mapping[bytes, bytes]) -> Labels | None:
    """Return the labels in a request's headers, which have lower-case names; None: it has none.

    Raises:
        GatewayError: INVALID_REQUEST, with the key, what was expected and what came.
    """
    given = headers.get(HEADER)
    if given is None:
        return None
    if len(given) > MAX_BYTES:
        raise _malformed("", f"at most {MAX_BYTES} bytes", f"{len(given)}: send fewer or shorter")
    text = given.decode("latin-1").strip(" \t")
    labels: dict[str, str] = {}
    at = 0
    while at < len(text):
        key, at = _read_key(text, at)
        if key in labels:
            raise _malformed(key, "each key once", "a second one: leave it out")
        labels[key], at = _read_value(key, text, at)
        at = _next_member(key, text, at)
    if len(labels) > MAX_LABELS:
        raise _malformed("", f"at most {MAX_LABELS} labels", f"{len(labels)}: send fewer")
    return labels or None


def check_single_line(lines: Iterable[tuple[bytes, bytes]]) -> None:
    """Check that there is one line of the header at most: of several, one would be lost.

    Raises:
        GatewayError: INVALID_REQUEST.
    """
    number = sum(name == HEADER for name, _ in lines)
    if number > 1:
        raise _malformed("", "one header line", f"{number}: join them with commas")


def read_label_filter(parameters: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the labels that runs must have, from the parameters `metadata.KEY=VALUE` of a list.

    Other parameters are passed over.

    Raises:
        GatewayError: INVALID_REQUEST for what is not a label.
    """
    found = tuple(
        (name.removeprefix(FILTER_PREFIX), value)
        for name, value in parameters
        if name.startswith(FILTER_PREFIX)
    )
    if len(found) > MAX_LABELS:
        message = f"metadata: expected at most {MAX_LABELS} labels, got {len(found)}: send fewer"
        raise GatewayError(ErrorCode.INVALID_REQUEST, message)
    for key, value in found:
        check_label(key, value)
    return found


def check_label(key: str, value: str) -> None:
    """Check a label that runs are selected by.

    Raises:
        GatewayError: INVALID_REQUEST.
    """
    if not _KEY.fullmatch(key) or len(key) > MAX_KEY_CHARACTERS:
        message = f"metadata: expected {_EXPECTED_KEY}, got {_shown(key)}"
        raise GatewayError(ErrorCode.INVALID_REQUEST, message)
    if not _PRINTABLE.fullmatch(value) or len(value) > MAX_VALUE_CHARACTERS:
        expected = f"at most {MAX_VALUE_CHARACTERS} printable ASCII characters"
        message = f"metadata.{key}: expected {expected}, got {_shown(value)}"
        raise GatewayError(ErrorCode.INVALID_REQUEST, message)


_EXPECTED_KEY = (
    f"a key of at most {MAX_KEY_CHARACTERS} characters that begins with a to z, and has those, 0 "
    "to 9, `_`, `.` and `-`"
)


def _read_key(text: str, at: int) -> tuple[str, int]:
    found = _KEY.match(text, at)
    if found is None or len(found[0]) > MAX_KEY_CHARACTERS:
        raise _malformed("", _EXPECTED_KEY, _shown(text[at:]))
    return found[0], found.end()


def _read_value(key: str, text: str, at: int) -> tuple[str, int]:
    found = _VALUE.match(text, at + 1) if text.startswith("=", at) else None
    if found is None:
        expected = 'a value, as in `order=42`, `team=growth` or `note="two words"`'
        raise _malformed(key, expected, _shown(text[at:]))
    value = _ESCAPE.sub(r"\1", found[1]) if found[2] is None else found[2]
    if len(value) > MAX_VALUE_CHARACTERS:
        raise _malformed(key, f"at most {MAX_VALUE_CHARACTERS} characters", str(len(value)))
    return value, found.end()


def _next_member(key: str, text: str, at: int) -> int:
    """Return where the next label begins; the end of the text if there is none."""
    if at == len(text):
        return at
    found = _COMMA.match(text, at)
    if found is None or found.end() == len(text):
        expected = "the end or a comma and another label behind the value; quote other texts"
        raise _malformed(key, expected, _shown(text[at:]))
    return found.end()


def _malformed(key: str, expected: str, got: str) -> GatewayError:
    where = f", key '{key}'" if key else ""
    message = f"Slipstream-Metadata{where}: expected {expected}, got {got}"
    return GatewayError(ErrorCode.INVALID_REQUEST, message)


def _shown(text: str) -> str:
    return repr(text[:_SHOWN_CHARACTERS]) if text else "nothing"
