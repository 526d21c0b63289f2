"""How keys are shown to people."""

from __future__ import annotations

from rich.table import Table

from gateway.auth.identity import Scope
from gateway.auth.lifetime import KeyState
from gateway.auth.schemas import KeyOut
from slipstream.options import limits_text
from slipstream.terminal import facts

COLUMNS = (
    *("id", "name", "key", "environment", "good for"),
    *("last used", "from", "uses", "expires", "warnings"),
)


def key_row(key: KeyOut) -> tuple[object, ...]:
    """Return the cells under COLUMNS."""
    return (
        key.id,
        key.name,
        key.masked,
        key.environment,
        good_for(key),
        key.last_used_at,
        key.last_address,
        key.total_uses,
        key.grace_ends_at if key.state is KeyState.ROTATING else key.expires_at,
        [warning.code for warning in key.warnings],
    )


def key_facts(key: KeyOut) -> Table:
    """Return all that is known of a key."""
    rotation: dict[str, object] = {}
    if key.rotated_at is not None:
        rotation = {
            "rotated": key.rotated_at,
            "replaced_by": key.replaced_by,
            "grace_ends": key.grace_ends_at,
            "calls_since_rotation": key.calls_since_rotation,
            "last_of_them": key.last_call_since_rotation,
        }
    return facts(
        id=key.id,
        name=key.name,
        key=key.masked,
        environment=key.environment,
        state=key.state,
        good_for=good_for(key),
        deployments=key.deployments,
        created=key.created_at,
        expires=key.expires_at,
        last_used=key.last_used_at,
        last_address=key.last_address,
        uses=key.total_uses,
        limits=limits_text(key.limits),
        replaces=key.replaces,
        **rotation,
        warnings="\n".join(warning.message for warning in key.warnings),
    )


def good_for(key: KeyOut) -> str:
    """Return in a few words what the key opens."""
    if key.state in {KeyState.DEACTIVATED, KeyState.EXPIRED}:
        return f"nothing: {key.state}"
    if key.deployments is None:
        opens = "everything" if key.scope is Scope.MANAGE else "all deployments"
    else:
        opens = f"{len(key.deployments)} deployments"
    return f"{opens}, for a while: rotated" if key.state is KeyState.ROTATING else opens
