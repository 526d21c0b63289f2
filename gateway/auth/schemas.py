"""API keys in requests and responses."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Self, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gateway.auth.identity import Scope
from gateway.auth.key_view import IssuedKey, KeyView
from gateway.auth.key_warnings import WarningCode
from gateway.auth.keys import mask
from gateway.auth.lifetime import KeyState
from gateway.auth.rotation import DEFAULT_GRACE_SECONDS, MAX_GRACE_SECONDS
from gateway.auth.service import KeyChange
from gateway.limits.call_limits import LimitsBody
from gateway.storage.clock import UtcDatetime
from gateway.storage.names import DisplayName
from gateway.storage.paging import Page

_RFC_3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")


def _check_rfc_3339(value: object) -> object:
    if isinstance(value, str) and not _RFC_3339.match(value):
        raise ValueError("expected a time with its zone, such as 2027-01-31T12:00:00Z")
    if not isinstance(value, str | datetime):
        raise ValueError("expected a time as text, such as 2027-01-31T12:00:00Z")  # noqa: TRY004
    return value


# Any: JSON Schema's own form
def patch_like(example: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """Return what completes the schema of a PATCH body: it has an example and no defaults.

    Omitted members stay unchanged.
    """

    def complete(schema: dict[str, Any]) -> None:
        for member in schema["properties"].values():
            member.pop("default", None)
        schema["examples"] = [example]

    return complete


Environment = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
Expiry = Annotated[UtcDatetime, BeforeValidator(_check_rfc_3339)]
DeploymentIds = Annotated[list[str], Field(min_length=1, max_length=1000)]


class LabelsIn(BaseModel):
    """Attributes of every new key."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    environment: Environment | None = None
    """A label for where it is used, such as `production`."""
    expires_at: Expiry | None = None
    """When it stops being valid, at most ten years ahead; omitted: never."""
    all_runs: bool = False
    """Whether a trigger key reads, cancels and retries all runs of its deployments, not only those
    that it starts. A manage key does anyway."""


class NewKey(LabelsIn):
    """A key to create."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "Mobile app", "scope": "trigger", "environment": "production"}]
        }
    )

    name: DisplayName
    """Its name in lists."""
    scope: Scope = Scope.TRIGGER
    """`trigger`: it calls deployments and reads their runs; `manage`: everything that its user may
    do; `serve`: it only registers inference servers."""
    deployments: DeploymentIds | None = None
    """Ids of the deployments it may trigger; omitted: all, including later ones."""
    limits: LimitsBody | None = None
    """How much may be used with it."""

    # Any: the columns have several types
    def columns(self) -> dict[str, Any]:
        """Return the service's arguments."""
        return {**dict(self), "limits": self.limits.stored() if self.limits else None}


class NewDeploymentKey(LabelsIn):
    """A key to create for one deployment."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Web shop", "environment": "production"}]}
    )

    name: DisplayName | None = None
    """Its name in lists; omitted: "Key for " and the deployment's name."""


class KeyPatch(BaseModel):
    """Changes to a key; omitted members stay as they are."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra=patch_like({"environment": "staging"}),
    )

    name: DisplayName = ""
    """Its name in lists."""
    environment: Environment | None = None
    """A label for where it is used, such as `production`; null: none."""
    expires_at: Expiry | None = None
    """null: never."""
    scope: Scope = Scope.TRIGGER
    """`trigger`: it calls deployments and reads their runs; `manage`: everything that its user may
    do; `serve`: it only registers inference servers."""
    deployments: DeploymentIds | None = None
    """null: all, including later ones."""
    all_runs: bool = False
    """Whether a trigger key reads, cancels and retries all runs of its deployments, not only those
    that it starts. A manage key does anyway."""
    limits: LimitsBody | None = None
    """Changes the limits that it contains; null removes all."""

    def change(self) -> KeyChange:
        """Return the members that the request contains, also within `limits`."""
        return cast(KeyChange, self.model_dump(exclude_unset=True))


class RotationIn(BaseModel):
    """Options of a rotation."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"grace_seconds": 3600}]},
    )

    grace_seconds: int = Field(default=DEFAULT_GRACE_SECONDS, ge=0, le=MAX_GRACE_SECONDS)
    """How long the old key stays valid."""
    force: bool = False
    """Rotate before the last rotation has ended; its new key is replaced as well."""


class KeyWarningOut(BaseModel):
    """A warning about a key."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    code: WarningCode
    """`shared`: it covers several deployments; `old`: it was created long ago; `expires_soon`: it
    expires within seven days."""
    message: str
    """The warning as a sentence for people."""


class KeyOut(BaseModel):
    """A key without its secret."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """Id of the key, as its routes take it."""
    name: str
    """Its name in lists."""
    environment: str | None
    """A label for where it is used, such as `production`; null: none."""
    scope: Scope
    """`trigger`: it calls deployments and reads their runs; `manage`: everything that its user may
    do; `serve`: it only registers inference servers."""
    deployments: list[str] | None
    """Ids of the deployments it may trigger; null: all, including later ones."""
    all_runs: bool
    """Whether a trigger key reads all runs of its deployments, not only those that it starts."""
    masked: str
    """Its first eight and last five characters, with `********` between them."""
    state: KeyState
    """`active` and `rotating` keys are valid; the others answer 401."""
    created_at: datetime
    """When it was created (UTC)."""
    expires_at: datetime | None
    """When it stops being valid (UTC); null: never."""
    last_used_at: datetime | None
    """Accurate to a few seconds, as are the counts."""
    last_address: str | None
    """The client address of one of its last calls; null: unknown."""
    total_uses: int
    """Requests made with it."""
    refused_uses: int
    """Requests that were refused because it, or its user, was not valid at the time."""
    last_refused_at: datetime | None
    """When a request was last refused because it, or its user, was not valid (UTC); null: never."""
    rotated_at: datetime | None
    """When it was replaced."""
    grace_ends_at: datetime | None
    """Until when it stays valid beside its replacement."""
    calls_since_rotation: int | None
    """Requests made with it since it was rotated; null: not rotated."""
    last_call_since_rotation: datetime | None
    """When it was last used since it was rotated (UTC); null: it was not."""
    replaces: str | None
    """Id of the key that it replaced, which may have been deleted."""
    replaced_by: str | None
    """Id of its replacement, which may have been deleted."""
    warnings: list[KeyWarningOut]
    """What its owner should change; none for a key that is not valid."""
    limits: LimitsBody
    """How much may be used with it."""

    @classmethod
    def of(cls, key: KeyView) -> Self:
        """Return the key's public fields."""
        return cls.model_validate(_public_fields(key))


class IssuedKeyOut(KeyOut):
    """A key that was just created. `key` is not shown again."""

    key: str
    """The key itself, shown this once: send it as `X-API-Key`, or as a bearer token."""

    @classmethod
    def of_issued(cls, issued: IssuedKey) -> Self:
        """Return the key with its secret."""
        return cls.model_validate({**_public_fields(issued), "key": issued.plain})


class KeyAddressOut(BaseModel):
    """Uses of a key from one client address, also those that were refused."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    address: str
    """The client address, IPv4 or IPv6."""
    first_at: datetime
    """When the first request came from this address (UTC)."""
    last_at: datetime
    """Accurate to a few seconds, as is the count."""
    calls: int
    """Requests made with the key from this address, while it was among the 50 that are kept."""
    refused: int
    """Requests from this address that were refused, as the key was not valid."""


class KeyPage(BaseModel):
    """A page of keys."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[KeyOut]
    """The keys of this page, the newest first."""
    next_cursor: str | None
    """Send it as `cursor` to get the next page; null: this is the last one."""

    @classmethod
    def of(cls, page: Page[KeyView]) -> Self:
        """Return the response body."""
        return cls(items=[KeyOut.of(key) for key in page.items], next_cursor=page.next_cursor)


def _public_fields(key: KeyView) -> dict[str, object]:
    row = key.row
    columns = {name: getattr(row, name) for name in KeyOut.model_fields if hasattr(row, name)}
    since = None if row.rotated_at is None else row.uses_since_rotation
    return {
        **columns,
        "masked": mask(row.display_prefix, row.display_suffix),
        "state": key.state,
        "calls_since_rotation": since,
        "last_call_since_rotation": row.last_used_at if since else None,
        "warnings": key.warnings,
        "limits": LimitsBody.of(row.limits),
    }
