"""API keys over HTTP."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Self, cast

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from gateway.auth.identity import Scope
from gateway.auth.key_view import IssuedKey, KeyView
from gateway.auth.key_warnings import WarningCode
from gateway.auth.keys import mask
from gateway.auth.lifetime import KeyState
from gateway.auth.rotation import DEFAULT_GRACE_SECONDS, MAX_GRACE_SECONDS
from gateway.auth.service import KeyChange
from gateway.limits.call_limits import LimitsBody
from gateway.storage.names import DisplayName
from gateway.storage.paging import Page

_RFC_3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")


def _written_out(value: object) -> object:
    if isinstance(value, str) and not _RFC_3339.match(value):
        raise ValueError("expected a time with its zone, such as 2027-01-31T12:00:00Z")
    if not isinstance(value, str | datetime):
        raise ValueError("expected a time as text, such as 2027-01-31T12:00:00Z")  # noqa: TRY004
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("expected a time that exists in UTC, too") from None


# Any: JSON Schema's own form
def without_defaults(schema: dict[str, Any]) -> None:
    """Have the document of a PATCH name no defaults: what is left out stays."""
    for member in schema["properties"].values():
        member.pop("default", None)


Environment = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
Expiry = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_in_utc)]
DeploymentIds = Annotated[list[str], Field(min_length=1, max_length=1000)]


class LabelsIn(BaseModel):
    """What every new key can be given."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    environment: Environment | None = None
    """Where it is used, such as `production`; only a label."""
    expires_at: Expiry | None = None
    """From when on it answers 401, at most ten years ahead; left out: never."""


class NewKey(LabelsIn):
    """A key to make."""

    name: DisplayName
    """What to call it in lists."""
    scope: Scope = Scope.TRIGGER
    deployments: DeploymentIds | None = None
    """Ids of the deployments that it may trigger; left out: all, later ones included."""
    limits: LimitsBody | None = None

    # Any: the columns have several types
    def columns(self) -> dict[str, Any]:
        """Return what the service makes a key of."""
        return {**dict(self), "limits": self.limits.stored() if self.limits else None}


class NewDeploymentKey(LabelsIn):
    """A key to make for one deployment."""

    name: DisplayName | None = None
    """What to call it in lists; left out: "Key for " and the deployment's name."""


class KeyPatch(BaseModel):
    """What to change of a key; members left out stay as they are."""

    model_config = ConfigDict(
        extra="forbid", use_attribute_docstrings=True, json_schema_extra=without_defaults
    )

    name: DisplayName = ""
    environment: Environment | None = None
    expires_at: Expiry | None = None
    """null: never."""
    scope: Scope = Scope.TRIGGER
    deployments: DeploymentIds | None = None
    """null: all, later ones included."""
    limits: LimitsBody | None = None
    """What it names changes; null: none of its own."""

    def change(self) -> KeyChange:
        """Return the members that were sent, and of `limits` those that were."""
        return cast(KeyChange, self.model_dump(exclude_unset=True))


class RotationIn(BaseModel):
    """How a key is to be rotated."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    grace_seconds: int = Field(default=DEFAULT_GRACE_SECONDS, ge=0, le=MAX_GRACE_SECONDS)
    """How long the old key works beside the new one."""
    force: bool = False
    """Rotate although the last rotation is not over; the key that it made is replaced as well."""


class KeyWarningOut(BaseModel):
    """Something that the owner of a key should know."""

    model_config = ConfigDict(from_attributes=True)

    code: WarningCode
    message: str


class KeyOut(BaseModel):
    """A key, without the key."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    name: str
    environment: str | None
    scope: Scope
    deployments: list[str] | None
    masked: str
    state: KeyState
    """`active` and `rotating` keys open something; the others answer 401."""
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    """To within some seconds; so are the counts."""
    last_address: str | None
    """Where one of its calls came from, of about two seconds until then; null: nobody knows."""
    total_uses: int
    """Requests that came with it."""
    rotated_at: datetime | None
    """When another key took its place."""
    grace_ends_at: datetime | None
    """Until when it works beside the key that took its place."""
    calls_since_rotation: int | None
    """Requests that still came with it since then; null while it was not rotated."""
    last_call_since_rotation: datetime | None
    replaces: str | None
    """Id of the key whose place it took, which may be deleted since."""
    replaced_by: str | None
    """Id of the key that took its place, which may be deleted since."""
    warnings: list[KeyWarningOut]
    limits: LimitsBody

    @classmethod
    def of(cls, key: KeyView) -> Self:
        """Return what may be shown of `key`."""
        return cls.model_validate(_shown(key))


class IssuedKeyOut(KeyOut):
    """A key just made. `key` is never shown again."""

    key: str

    @classmethod
    def of_issued(cls, issued: IssuedKey) -> Self:
        """Return the key in plain, with what is stored about it."""
        return cls.model_validate({**_shown(issued), "key": issued.plain})


class KeyPage(BaseModel):
    """A page of keys."""

    items: list[KeyOut]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[KeyView]) -> Self:
        """Return the page as it is sent."""
        return cls(items=[KeyOut.of(key) for key in page.items], next_cursor=page.next_cursor)


def _shown(key: KeyView) -> dict[str, object]:
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
