"""The profile that a fresh installation starts with."""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError

from gateway.auth import store
from gateway.auth.identity import Role
from gateway.storage.database import Database
from gateway.storage.tables import Profile

_EMAIL = "admin@localhost"


async def ensure_owner(db: Database) -> Profile:
    """Return the first owner, made on the first call; one made here has no password."""
    async with db.read() as session:
        found = await store.profile_with_role(session, Role.OWNER)
    if found is not None:
        return found
    profile = Profile(email=_EMAIL, role=Role.OWNER)
    try:
        async with db.write() as session:
            session.add(profile)
    except IntegrityError:  # another process was first
        return await ensure_owner(db)
    return profile
