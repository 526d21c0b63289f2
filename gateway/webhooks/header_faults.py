"""What is wrong with the three headers, apart from whether the signature fits. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.webhooks.findings import Finding, Place, SignedRequest

TOLERANCE_SECONDS = 300
"""How far a timestamp may be off, either way."""

_SECONDS = re.compile(r"[0-9]{1,11}")
_FINER = {13: ("milliseconds", 10**3), 16: ("microseconds", 10**6), 19: ("nanoseconds", 10**9)}
_HOUR = 3600
_ZONES = 14
"""Hours that a time zone is off at most."""


def header_faults(request: SignedRequest, *, at: float) -> Iterator[Finding]:
    """Yield what is wrong with id and timestamp, judged at a time in Unix seconds."""
    yield from _missing(request)
    if request.message_id is not None:
        yield from _id_faults(request.message_id)
    if request.timestamp is not None:
        yield from _timestamp_faults(request.timestamp, at)


def body_faults(request: SignedRequest) -> Iterator[Finding]:
    """Yield what can be seen of a body without its signature."""
    length, said = len(request.body), request.content_length
    if said is not None and said != length:
        how = "it was cut" if length < said else "it was changed, or decoded and encoded again"
        yield Finding(
            code="body_length",
            place=Place.BODY,
            message=f"content-length says {said} bytes and the body has {length}: {how} on its way",
            # Compression on the way changes the length, too; the signature decides.
            fault=False,
        )
    if not length:
        yield Finding(
            code="body_empty",
            place=Place.BODY,
            message="the body is empty: something, such as a framework's JSON parser, has read it "
            "already; take the raw bytes before that",
        )


def whole_seconds(text: str) -> int | None:
    """Return a timestamp in Unix seconds; None where it is written in any other way."""
    return int(text) if _SECONDS.fullmatch(text) else None


def _missing(request: SignedRequest) -> Iterator[Finding]:
    values = {
        Place.ID: request.message_id,
        Place.TIMESTAMP: request.timestamp,
        Place.SIGNATURE: request.signature,
    }
    others = ", ".join(request.other_names)
    instead = f"; there is {others} instead, which are other names for it" if others else ""
    for place, value in values.items():
        if not (value or "").strip():
            yield Finding(
                code="header_missing",
                place=place,
                message=f"the header {place} is missing{instead}: a proxy that drops headers, or a "
                "request that is no webhook",
            )


def _id_faults(text: str) -> Iterator[Finding]:
    if "." in text:
        message = "the id has a '.', which separates what is signed: expected none"
        yield Finding(code="id_with_dot", place=Place.ID, message=message)
    if text != text.strip():
        message = "the id has white space around it, which is not part of what is signed"
        yield Finding(code="id_white_space", place=Place.ID, message=message)


def _timestamp_faults(text: str, at: float) -> Iterator[Finding]:
    if not text.strip():
        return
    seconds, digits = whole_seconds(text), text.strip()
    if seconds is not None:
        yield from _distance(seconds, at)
    elif digits.isascii() and digits.isdigit() and len(digits) in _FINER:
        unit, each = _FINER[len(digits)]
        yield _timestamp(
            f"timestamp_{unit}", f"{digits} is {unit}: expected seconds, {int(digits) // each}"
        )
    elif "." in text:
        yield _timestamp(
            "timestamp_with_dot",
            f"'{text}' has a '.', which separates what is signed: expected whole seconds",
        )
    elif digits != text and whole_seconds(digits) is not None:
        yield _timestamp("timestamp_white_space", "the timestamp has white space around it")
        yield from _distance(int(digits), at)
    else:
        yield _timestamp(
            "timestamp_not_integer",
            f"'{text[:40]}' is no whole number: expected seconds since 1970-01-01 UTC",
        )


def _distance(seconds: int, at: float) -> Iterator[Finding]:
    off = round(at) - seconds
    if abs(off) <= TOLERANCE_SECONDS:
        return
    old, beyond = off > 0, abs(off) - TOLERANCE_SECONDS
    hours = round(off / _HOUR)
    zone = 0 < abs(hours) <= _ZONES and abs(off - hours * _HOUR) <= TOLERANCE_SECONDS
    hint = (
        "whole hours: was a time read in the wrong time zone?"
        if zone
        else "look at the clocks, or judge an old request by another time"
    )
    yield _timestamp(
        "timestamp_too_old" if old else "timestamp_in_future",
        f"the timestamp is {'too old' if old else 'in the future'}: {_took(abs(off))} "
        f"{'before' if old else 'after'} the time of judging, {_took(beyond)} "
        f"beyond the five minutes allowed; {hint}",
    )


def _took(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    shown = [f"{value} {unit}" for value, unit in parts if value]
    return " ".join(shown[:2]) or "0 s"


def _timestamp(code: str, message: str) -> Finding:
    return Finding(code=code, place=Place.TIMESTAMP, message=message)
