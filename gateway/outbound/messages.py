"""Requests to URLs that users choose, and the responses. Imports no HTTP client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class NotSentError(Exception):
    """Nothing of a request was sent before its time was over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundRequest:
    """One request."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    max_bytes: int
    """Maximum size of the response body, decompressed."""
    node_id: str | None = None
    """The node that asks; None: it is no request of a flow."""
    truncate: bool = False
    """Return the first `max_bytes` of a longer body instead of failing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundResponse:
    """The response to a request."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name; several of one name are joined by a comma."""
    body: bytes
    public: bool = False
    """Whether it came from the public internet, not from a network of the operator's."""
