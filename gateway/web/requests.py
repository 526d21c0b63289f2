"""A request's id: the client's own, or one of ours; in every answer and every log line about it."""

from __future__ import annotations

import re
from collections.abc import Mapping

_FORM = re.compile(rb"[\x21-\x7e]{1,128}")


def request_id_of(headers: Mapping[bytes, bytes], fallback: str) -> bytes:
    """Return `X-Request-ID` where it is 1 to 128 visible characters, else `req_{fallback}`."""
    given = headers.get(b"x-request-id")
    if given is not None and _FORM.fullmatch(given):
        return given
    return b"req_" + fallback.encode()
