"""The URL of a call: which deployment, one call or a batch, which version and response format."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qs

from gateway.deployments.settings import ResponseFormat
from gateway.errors import GatewayError
from protos.errors import ErrorCode

PREFIX = "/node/deployment-trigger/"
"""Of a URL with the deployment's id."""
NAMED_PREFIX = "/v1/"
"""Of a readable URL, with its owner's handle and its slug."""
PREFIXES = (PREFIX, NAMED_PREFIX)
NAMED_RUN = re.compile(rf"{NAMED_PREFIX}(?P<deployment>[^/]+/[^/]+)/runs/[^/]+/?")
"""The path of a run, at the readable URL of its deployment."""
_BATCH = "/batch"
_NAMES = 2
_MAX_DIGITS = 9


def deployment_in(path: str) -> str:
    """Return what `path`, which begins with one of PREFIXES, names as a deployment.

    That is an id, or a handle and a slug as `handle/slug`; it may exist or not.
    """
    return split_path(path)[0]


def leading_deployment_in(path: str) -> str:
    """Return the same of a path with the right beginning, even if something wrong follows."""
    if path.startswith(PREFIX):
        return path[len(PREFIX) :].partition("/")[0].lower()
    return "/".join(path[len(NAMED_PREFIX) :].split("/", _NAMES)[:_NAMES]).lower()


def route_of(path: str) -> str:
    """Return the path template for spans: it names the parameters, so that there are few."""
    is_by_id = path.startswith(PREFIX)
    return f"{PREFIX}{{deployment_id}}/" if is_by_id else f"{NAMED_PREFIX}{{owner}}/{{slug}}"


def split_path(path: str) -> tuple[str, bool]:
    """Return what `deployment_in` does, and whether `path` is that of a batch."""
    if path.startswith(PREFIX):
        rest, is_batch = path[len(PREFIX) :].rstrip("/"), path.rstrip("/").endswith(_BATCH)
    else:  # a slug may be `batch`
        rest = path[len(NAMED_PREFIX) :].rstrip("/")
        is_batch = rest.endswith(_BATCH) and rest.count("/") == _NAMES
    return (rest.removesuffix(_BATCH) if is_batch else rest), is_batch


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerUrl:
    """A parsed URL under one of PREFIXES."""

    deployment: str
    """As `deployment_in` returns it."""
    is_batch: bool
    version: int | None
    """A version other than the live one."""
    response_format: ResponseFormat | None
    """A format other than the deployment's."""

    @classmethod
    def parse(cls, path: str, query: bytes) -> Self:
        """Parse a path that begins with one of PREFIXES, and its query.

        Raises:
            GatewayError: INVALID_REQUEST where a parameter has an invalid value.
        """
        params = parse_qs(query.decode("latin-1"), keep_blank_values=True) if query else {}
        deployment, is_batch = split_path(path)
        return cls(
            deployment=deployment,
            is_batch=is_batch,
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
