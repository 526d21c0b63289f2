"""The URL of a call: which deployment, one call or a batch, which version and response format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qs

from gateway.deployments.settings import ResponseFormat
from gateway.errors import GatewayError
from protos.errors import ErrorCode

PREFIX = "/node/deployment-trigger/"
_BATCH = "/batch"
_MAX_DIGITS = 9


def deployment_in(path: str) -> str:
    """Return what `path`, which begins with PREFIX, names as a deployment, existing or not."""
    return path[len(PREFIX) :].rstrip("/").removesuffix(_BATCH)


def first_segment_in(path: str) -> str:
    """Return the first segment behind PREFIX: the deployment, even if a wrong one follows."""
    return path[len(PREFIX) :].partition("/")[0].lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerUrl:
    """A parsed URL under PREFIX."""

    deployment_id: str
    is_batch: bool
    version: int | None
    """A version other than the live one."""
    response_format: ResponseFormat | None
    """A format other than the deployment's."""

    @classmethod
    def parse(cls, path: str, query: bytes) -> Self:
        """Parse a path that begins with PREFIX, and its query.

        Raises:
            GatewayError: INVALID_REQUEST where a parameter has an invalid value.
        """
        params = parse_qs(query.decode("latin-1"), keep_blank_values=True) if query else {}
        return cls(
            deployment_id=deployment_in(path),
            is_batch=path.rstrip("/").endswith(_BATCH),
            version=_version(params.get("version")),
            response_format=_format(params.get("response_format")),
        )


def _version(values: list[str] | None) -> int | None:
    if values is None:
        return None
    text = values[-1]
    if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS and int(text) > 0:
        return int(text)
    raise _invalid("version", "the number of a version, such as 3", text)


def _format(values: list[str] | None) -> ResponseFormat | None:
    if values is None:
        return None
    try:
        return ResponseFormat(values[-1])
    except ValueError:
        raise _invalid("response_format", "'auto', 'flat' or 'envelope'", values[-1]) from None


def _invalid(name: str, expected: str, got: str) -> GatewayError:
    return GatewayError(
        ErrorCode.INVALID_REQUEST, f"?{name}: expected {expected}, got '{got[:40]}'"
    )
