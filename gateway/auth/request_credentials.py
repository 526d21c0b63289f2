"""The API key in a request's headers."""

from __future__ import annotations

from collections.abc import Mapping

_BEARER = b"bearer "


def presented_key(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the key in `X-API-Key` or `Authorization: Bearer`; names are in lower case."""
    key = headers.get(b"x-api-key")
    if key:
        return key.decode("latin-1").strip()
    authorization = headers.get(b"authorization", b"")
    if authorization[: len(_BEARER)].lower() == _BEARER:
        return authorization[len(_BEARER) :].decode("latin-1").strip()
    return None
