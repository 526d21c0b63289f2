"""Response headers that limit what a browser may do with a response."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256

from gateway.web.problems import Headers

_DATA_ONLY = b"default-src 'none'; frame-ancestors 'none'"
_ALWAYS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
_DEFAULTS: Headers = [
    (b"content-security-policy", _DATA_ONLY),
    (b"cache-control", b"no-store"),  # keys and secrets among them
]
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def with_security_headers(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return the headers of a response with the security headers that it does not set itself."""
    given = list(headers)
    names = {name.lower() for name, _ in given}
    return [*given, *_ALWAYS, *(header for header in _DEFAULTS if header[0] not in names)]


def content_security_policy(html: str) -> str:
    """Return the Content-Security-Policy of a page of ours: the scripts within it, and our files.

    No other site may frame it, and it sends nothing anywhere else.
    """
    digests = [sha256(script.encode()).digest() for script in _INLINE.findall(html)]
    scripts = " ".join(f"'sha256-{b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
