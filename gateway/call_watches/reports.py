"""What is reported of a call of a watched deployment: never more of a key than its mask."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from gateway.auth.keys import PREFIX_LENGTH, SUFFIX_LENGTH, is_well_formed, mask
from gateway.auth.request_credentials import presented_key
from gateway.call_watches.client_names import client_name
from gateway.call_watches.hints import hint_for

_MASKED = re.compile(r"sk-[0-9A-Za-z]{5}\*{8}[0-9A-Za-z]{5}")
_MAX_TIMING_LENGTH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReport:
    """One answered call."""

    deployment_id: str
    at: datetime
    status: int
    code: str | None
    """Of the error, if it was refused or has failed."""
    hint: str | None
    client: str
    address: str
    key: str | None = field(repr=False)
    """The complete key, if it has the form of one: only to find out whose it is."""
    key_mask: str | None
    server_timing: str

    def shown(self, *, with_mask: bool) -> dict[str, str | int | None]:
        """Return what streams send of it."""
        return {
            "at": self.at.isoformat(),
            "status": self.status,
            "code": self.code,
            "hint": self.hint,
            "client": self.client,
            "address": self.address,
            "key_mask": self.key_mask if with_mask else None,
            "server_timing": self.server_timing,
        }


def build_report(
    deployment_id: str,
    headers: Mapping[bytes, bytes],
    *,
    at: datetime,
    status: int,
    code: str | None,
    message: str,
    address: str,
    server_timing: str,
) -> CallReport:
    """Return the report of a call with these headers, whose names are in lower case."""
    key = presented_key(headers)
    complete = key if key is not None and is_well_formed(key) else None
    return CallReport(
        deployment_id=deployment_id,
        at=at,
        status=status,
        code=code,
        hint=hint_for(status, code, message, headers),
        client=client_name(headers.get(b"user-agent")),
        address=address,
        key=complete,
        key_mask=_mask_of(key, complete),
        server_timing=server_timing[:_MAX_TIMING_LENGTH],
    )


def _mask_of(presented: str | None, complete: str | None) -> str | None:
    """Return the mask of a key; None for what has not the form of a key: it may be a password."""
    if complete is not None:
        return mask(complete[:PREFIX_LENGTH], complete[-SUFFIX_LENGTH:])
    if presented is not None and _MASKED.fullmatch(presented):
        return presented
    return None
