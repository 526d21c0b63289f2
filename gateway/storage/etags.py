"""Entity tags of rows, and conditions on them (RFC 9110, sections 8.8.3 and 13.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gateway.errors import GatewayError
from gateway.storage.audit_events import row_snapshot
from gateway.storage.masking import digest
from gateway.storage.tables import Owned
from protos.errors import ErrorCode

_ANY = "*"
_WEAK = "W/"
_TAG = re.compile(r'(?:W/)?"[^"]*"')  # a tag may contain a comma


def row_etag(row: Owned) -> str:
    """Return the strong entity tag of a row's editable state; flush a new row first.

    It changes with every column that a user can change, and returns when they do. Bookkeeping,
    such as when a key was last used, and what is computed from other rows do not change it.
    """
    return f'"{digest(row_snapshot(row))["sha256"]}"'


def require_if_match(row: Owned, if_match: Sequence[str]) -> None:
    """Raise PRECONDITION_REQUIRED without values of the header If-Match."""
    if not if_match:
        etag = row_etag(row)
        message = (
            f"If-Match: expected the ETag of the {row.noun} that was read, got none: read the "
            f"{row.noun}, and repeat the change with its ETag"
        )
        raise GatewayError(ErrorCode.PRECONDITION_REQUIRED, message, details={"etag": etag})


def check_if_match(row: Owned, if_match: Sequence[str]) -> None:
    """Check the values of the header If-Match; without any, everything matches.

    The row must be locked, so that it cannot change between the check and the caller's write.

    Raises:
        GatewayError: PRECONDITION_FAILED if the row has none of the tags; weak ones never match.
    """
    if not if_match or _is_any(if_match):
        return
    etag = row_etag(row)
    if etag not in _tags(if_match):
        message = (
            f"If-Match: expected {etag}, the ETag of the current {row.noun}, got another one: "
            f"read the {row.noun} again, and repeat the change with its new ETag"
        )
        raise GatewayError(ErrorCode.PRECONDITION_FAILED, message, details={"etag": etag})


def matches_none(etag: str, if_none_match: Sequence[str]) -> bool:
    """Whether no value of the header If-None-Match has the tag; weak ones count as well."""
    if _is_any(if_none_match):
        return False
    return etag not in (tag.removeprefix(_WEAK) for tag in _tags(if_none_match))


def _is_any(values: Sequence[str]) -> bool:
    return [value.strip() for value in values] == [_ANY]


def _tags(values: Sequence[str]) -> Iterator[str]:
    for value in values:
        yield from _TAG.findall(value)
