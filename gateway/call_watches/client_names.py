"""The name of the program that sent a request, from its User-Agent."""

from __future__ import annotations

import re

_PRODUCT = re.compile(r"([A-Za-z][A-Za-z0-9_.-]{0,39})(?:[/ ;]|$)")
_NAMES = {"Mozilla": "browser", "node": "Node.js", "undici": "Node.js"}
_UNKNOWN = "unknown"


def client_name(user_agent: bytes | None) -> str:
    """Return the first product without its version, such as `curl` or `python-requests`."""
    found = _PRODUCT.match((user_agent or b"").decode("latin-1"))
    return _UNKNOWN if found is None else _NAMES.get(found[1], found[1])
