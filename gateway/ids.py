"""Ids of rows and runs."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID

NIL_ID = "00000000-0000-0000-0000-000000000000"
"""The id of nothing."""
_BYTES = 16
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_POOL_IDS = 256
_VARIANT = "89ab"
_TIME_ORDERED = 7
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _RandomPool:
    """Random digits in bulk: a system call costs ten times an id."""

    def __init__(self) -> None:
        self._digits: list[str] = []
        self.run_id_ends: list[str] = []
        """What follows the time in a UUID of version 7."""

    def take(self) -> str:
        """Return 32 random hexadecimal digits."""
        if not self._digits:
            digits = os.urandom(_BYTES * _POOL_IDS).hex()
            self._digits = [digits[at : at + 32] for at in range(0, len(digits), 32)]
        return self._digits.pop()

    def refill_run_id_ends(self) -> None:
        """Make the ends of many run ids."""
        for _ in range(_POOL_IDS):
            h = self.take()
            variant = _VARIANT[int(h[16], 16) & 3]
            self.run_id_ends.append(f"-7{h[13:16]}-{variant}{h[17:20]}-{h[20:]}")


_pool = _RandomPool()
os.register_at_fork(after_in_child=_pool.__init__)  # type: ignore[misc]  # a child must not repeat ids


def new_id() -> str:
    """Return a new id for a row or a run: a random UUID in its 36-character form (RFC 9562)."""
    h = _pool.take()
    variant = _VARIANT[int(h[16], 16) & 3]
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{variant}{h[17:20]}-{h[20:]}"


def new_run_id() -> str:
    """Return a new id for a run: a UUID that begins with the time (version 7, RFC 9562).

    Consecutive runs are neighbours in every index, and a period is a range of ids.
    """
    if not _pool.run_id_ends:
        _pool.refill_run_id_ends()
    return _time_digits(time.time_ns() // 1_000_000) + _pool.run_id_ends.pop()


def min_run_id(moment: datetime) -> str:
    """Return the lower bound of the ids of runs created at or after `moment`."""
    return f"{_time_digits(int(moment.timestamp() * 1000))}-7000-8000-000000000000"


def run_id_time(run_id: str) -> datetime | None:
    """Return when a run id was created, to the millisecond; None: not a run id."""
    try:
        number = UUID(run_id)
        if number.version != _TIME_ORDERED:
            return None
        return _EPOCH + timedelta(milliseconds=number.int >> 80)
    except (ValueError, OverflowError):
        return None


@lru_cache(maxsize=1)  # many runs start within a millisecond
def _time_digits(milliseconds: int) -> str:
    digits = f"{milliseconds:012x}"
    return f"{digits[:8]}-{digits[8:]}"


def is_id(text: str) -> bool:
    """Whether `text` has the form of an id."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def normalize_id(text: str) -> str:
    """Return the id in lower case; for anything else, a text that matches no row."""
    return text.lower() if is_id(text) else "none"


def request_id_of(headers: Mapping[bytes, bytes], fallback: str) -> bytes:
    """Return a request's id, for its response and log lines.

    It is `X-Request-ID` where that is 1 to 128 visible characters, else `req_{fallback}`.
    """
    given = headers.get(b"x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return b"req_" + fallback.encode()


def own_request_id(fallback: str) -> str:
    """Return the id that `request_id_of` gives a request whose client gave none."""
    return f"req_{fallback}"


def run_of_request_id(request_id: str) -> str | None:
    """Return the run's id in an id of `own_request_id`; None: it has another form."""
    prefix, _, run_id = request_id.partition("_")
    return run_id if prefix == "req" and run_id_time(run_id) is not None else None


def given_request_id(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the id that the client gave its request, or None."""
    given = headers.get(b"x-request-id")
    return given.decode() if given is not None and _REQUEST_ID.fullmatch(given) else None
