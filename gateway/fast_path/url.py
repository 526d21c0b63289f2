"""What the URL of a call says: which deployment, one call or a batch, which version and format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qs

from gateway.deployments.settings import ResponseFormat
from gateway.errors import GatewayError
from protos.errors import ErrorCode

PREFIX = "/node/deployment-trigger/"
_BATCH = "/batch"
_MOST_DIGITS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerUrl:
    """A URL under PREFIX, read."""

    deployment_id: str
    batch: bool
    version: int | None
    """A version other than the live one."""
    response_format: ResponseFormat | None
    """A format other than the deployment's."""

    @classmethod
    def of(cls, path: str, query: bytes) -> Self:
        """Return what `path`, which begins with PREFIX, and `query` mean.

        Raises:
            GatewayError: INVALID_REQUEST where a parameter has no such value.
        """
        rest = path[len(PREFIX) :].rstrip("/")
        batch = rest.endswith(_BATCH)
        given = parse_qs(query.decode("latin-1"), keep_blank_values=True) if query else {}
        return cls(
            deployment_id=rest.removesuffix(_BATCH),
            batch=batch,
            version=_version(given.get("version")),
            response_format=_format(given.get("response_format")),
        )


def _version(values: list[str] | None) -> int | None:
    if values is None:
        return None
    text = values[-1]
    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and int(text) > 0:
        return int(text)
    raise _no_such("version", "the number of a version, such as 3", text)


def _format(values: list[str] | None) -> ResponseFormat | None:
    if values is None:
        return None
    try:
        return ResponseFormat(values[-1])
    except ValueError:
        raise _no_such("response_format", "'flat' or 'envelope'", values[-1]) from None


def _no_such(name: str, expected: str, got: str) -> GatewayError:
    return GatewayError(
        ErrorCode.INVALID_REQUEST, f"?{name}: expected {expected}, got '{got[:40]}'"
    )
