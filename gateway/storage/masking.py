"""Masks secrets in values that are stored, and replaces large values by a digest.

No single rule finds every secret, so there are three: names of fields, the formats of Slipstream's
own secrets anywhere in a text, and the parts of URLs that carry credentials.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import orjson

MASK = "********"

_SECRET = re.compile(
    r"secret|passw|passphrase|token|authorization|cookie|credential|pepper|api[-_ ]?key"
    r"|(?:^|[-_ ])(?:key|keys|hash)$",
    re.IGNORECASE,
)
"""Names whose values are secrets: `API-Key` is one, `key_id` is not."""
_OWN_SECRETS = re.compile(r"\b(?:sk-|whsec_)[0-9A-Za-z+/=_-]{8,}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_MAX_TEXT_LENGTH = 2000
_MAX_JSON_LENGTH = 4000
_ELLIPSIS = "…"


# Any, throughout: JSON, and times
def mask_secrets(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` as JSON without secrets, at most a few kilobytes per field."""
    return {name: _truncate(_mask(value, name)) for name, value in values.items()}


def mask_text(text: str) -> str:
    """Return `text` with everything that looks like a secret masked."""
    return _OWN_SECRETS.sub(MASK, _URL.sub(_mask_url, text))


def digest(value: Any) -> dict[str, Any]:
    """Return size and SHA-256 of a JSON value, which identify it without its content."""
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # has integers of more than 64 bits, for one
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()
    return {"bytes": len(text), "sha256": sha256(text).hexdigest()}


def _mask(value: Any, name: str) -> Any:
    if _SECRET.search(name) and not (value is None or isinstance(value, bool)):
        return MASK
    if isinstance(value, Mapping):
        return {mask_text(str(key)): _mask(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_mask(item, "") for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return mask_text(value) if isinstance(value, str) else value


def _truncate(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _MAX_TEXT_LENGTH else value[:_MAX_TEXT_LENGTH] + _ELLIPSIS
    if isinstance(value, list | dict) and len(json.dumps(value)) > _MAX_JSON_LENGTH:
        return digest(value)
    return value


def _mask_url(found: re.Match[str]) -> str:
    """Return a URL with user, password, query values and fragment masked."""
    try:
        parts = urlsplit(found[0])
    except ValueError:
        return MASK
    _, at, host = parts.netloc.rpartition("@")
    query = "&".join(map(_mask_parameter, parts.query.split("&"))) if parts.query else ""
    return parts._replace(
        netloc=f"{MASK}@{host}" if at else host,
        query=query,
        fragment=MASK if parts.fragment else "",
    ).geturl()


def _mask_parameter(text: str) -> str:
    name, equals, _ = text.partition("=")
    return f"{name}={MASK}" if equals else MASK
