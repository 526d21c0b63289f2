"""What a look at a signed request finds. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Place(StrEnum):
    """Where something is wrong."""

    SECRET = "secret"  # noqa: S105 - the word
    ID = "webhook-id"
    TIMESTAMP = "webhook-timestamp"
    SIGNATURE = "webhook-signature"
    BODY = "body"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing about a request that somebody should know."""

    code: str
    """A stable word."""
    place: Place
    message: str
    """What was expected, what came, what to do; never a secret."""
    fault: bool = True
    """Whether receivers refuse the request for it; the rest is worth knowing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """A request as it came; None is a header that was not there."""

    message_id: str | None
    timestamp: str | None
    signature: str | None
    body: bytes
    content_length: int | None = None
    """What the sender said of the body's length."""
    other_names: Sequence[str] = ()
    """Headers that were there under other names, such as `svix-id`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Whether a receiver takes the request, and everything that was found."""

    findings: Sequence[Finding]
    expected: str | None
    """The signature that the secret gives for what came; None where there can be none."""

    @property
    def good(self) -> bool:
        """Whether nothing is wrong with it."""
        return not any(finding.fault for finding in self.findings)

    @property
    def reason(self) -> str:
        """The first fault's message; empty where it is good."""
        return next((finding.message for finding in self.findings if finding.fault), "")
