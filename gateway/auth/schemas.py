"""API keys over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from gateway.auth.identity import Scope
from gateway.auth.keys import mask
from gateway.auth.service import IssuedKey
from gateway.limits.schemas import LimitsBody
from gateway.storage.paging import Page
from gateway.storage.tables import ApiKey


class NewKey(BaseModel):
    """A key to make."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
    """What to call it in lists."""
    scope: Scope = Scope.TRIGGER
    deployments: list[str] | None = Field(default=None, min_length=1, max_length=1000)
    """Ids of the deployments that it may trigger; left out: all, later ones included."""
    limits: LimitsBody | None = None


class KeyOut(BaseModel):
    """A key, without the key."""

    id: str
    name: str
    scope: Scope
    deployments: list[str] | None
    masked: str
    state: Literal["active", "deactivated"]
    created_at: datetime
    last_used_at: datetime | None
    limits: LimitsBody

    @classmethod
    def of(cls, row: ApiKey) -> Self:
        """Return what may be shown of `row`."""
        return cls.model_validate(_shown(row))


class IssuedKeyOut(KeyOut):
    """A key just made. `key` is never shown again."""

    key: str

    @classmethod
    def of_issued(cls, issued: IssuedKey) -> Self:
        """Return the key in plain, with what is stored about it."""
        return cls.model_validate({**_shown(issued.row), "key": issued.plain})


class KeyPage(BaseModel):
    """A page of keys."""

    items: list[KeyOut]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[ApiKey]) -> Self:
        """Return the page as it is sent."""
        return cls(items=[KeyOut.of(row) for row in page.items], next_cursor=page.next_cursor)


def _shown(row: ApiKey) -> dict[str, object]:
    return {
        "id": row.id,
        "name": row.name,
        "scope": row.scope,
        "deployments": row.deployments,
        "masked": mask(row.display_prefix, row.display_suffix),
        "state": row.state,
        "created_at": row.created_at,
        "last_used_at": row.last_used_at,
        "limits": LimitsBody.of(row.limits),
    }
