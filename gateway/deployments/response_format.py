"""Which format an answer has, and why: its header `Response-Format` says both. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.deployments.settings import ResponseFormat

FETCH_MODE = "sec-fetch-mode"
"""A header that browsers and Node send with each `fetch`, and that scripts cannot set."""
HEADER = "response-format"


class ChosenBy(StrEnum):
    """What has decided the format of an answer."""

    PARAMETER = "parameter"
    """`response_format` in the URL."""
    DEPLOYMENT = "deployment"
    """The deployment's setting."""
    CALLER = "caller"
    """`auto`: whether the caller uses JavaScript's `fetch`."""


@dataclass(frozen=True, slots=True)
class ChosenFormat:
    """The format of one answer."""

    form: ResponseFormat
    """FLAT or ENVELOPE."""
    value: str
    """Of HEADER, such as `flat; by=caller`, an item of RFC 9651 with a parameter."""
    line: bytes
    """The same as a line of a response head."""


def choose_format(
    parameter: ResponseFormat | None, setting: ResponseFormat, fetch_mode: str | bytes | None
) -> ChosenFormat:
    """Return what a caller gets that sends this `response_format` and this header FETCH_MODE."""
    chosen, by = setting, ChosenBy.DEPLOYMENT
    if parameter is not None:
        chosen, by = parameter, ChosenBy.PARAMETER
    if chosen is ResponseFormat.AUTO:
        by = ChosenBy.CALLER
        uses_fetch = fetch_mode in {"cors", b"cors"}
        chosen = ResponseFormat.ENVELOPE if uses_fetch else ResponseFormat.FLAT
    return _CHOSEN[chosen, by]


def _chosen(form: ResponseFormat, by: ChosenBy) -> ChosenFormat:
    value = f"{form}; by={by}"
    return ChosenFormat(form, value, f"{HEADER}: {value}\r\n".encode())


_CHOSEN = {
    (form, by): _chosen(form, by)
    for form in (ResponseFormat.FLAT, ResponseFormat.ENVELOPE)
    for by in ChosenBy
}
