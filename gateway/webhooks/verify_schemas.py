"""A look at a signed request over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr

from gateway.webhooks.findings import Diagnosis, Place, SignedRequest
from gateway.webhooks.signature import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER

_OTHER_NAMES = tuple(
    f"{prefix}-{what}"
    for prefix in ("svix", "x-webhook", "http-webhook")
    for what in ("id", "timestamp", "signature")
)

Secret = Annotated[SecretStr, Field(max_length=512)]


class VerifyIn(BaseModel):
    """A request as a receiver got it, and the secret that it should be signed with."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    secret: Secret
    """Used for the answer only: never kept, never written down."""
    previous_secret: Secret | None = None
    """One that was in force before: whether the signature is of that one."""
    headers: Annotated[dict[str, Annotated[str, Field(max_length=8192)]], Field(max_length=200)]
    """All headers, or the three."""
    body: Annotated[str, Field(max_length=300_000)]
    """As text; `webhook-signature` is about its UTF-8."""
    at: AwareDatetime | None = None
    """When to judge whether the timestamp is too old. Default: now."""


class FindingOut(BaseModel):
    """One thing about a request."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    code: str
    place: Place
    message: str
    fault: bool
    """Whether receivers refuse the request for it; the rest is worth knowing."""


class VerifyOut(BaseModel):
    """Whether the signature is good, and all reasons why it is not."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    good: bool
    findings: list[FindingOut]
    expected: str | None
    """The signature that the secret gives for what came."""

    @classmethod
    def of(cls, diagnosis: Diagnosis) -> Self:
        """Return the diagnosis as it is sent."""
        findings = [FindingOut.model_validate(finding) for finding in diagnosis.findings]
        return cls(good=diagnosis.good, findings=findings, expected=diagnosis.expected)


def signed_request(headers: Mapping[str, str], body: bytes) -> SignedRequest:
    """Return the request with these headers, by whatever case and with - or _ in their names."""
    named = {name.lower().replace("_", "-"): value for name, value in headers.items()}
    length = named.get("content-length", "")
    return SignedRequest(
        message_id=named.get(ID_HEADER),
        timestamp=named.get(TIMESTAMP_HEADER),
        signature=named.get(SIGNATURE_HEADER),
        body=body,
        content_length=int(length) if length.isascii() and length.isdigit() else None,
        other_names=tuple(name for name in _OTHER_NAMES if name in named),
    )
