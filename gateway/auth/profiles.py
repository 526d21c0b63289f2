"""The first user of an installation."""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError

from gateway.auth import store
from gateway.auth.handles import assign_handle
from gateway.auth.identity import Role
from gateway.storage.database import Database
from gateway.storage.tables import Profile

_EMAIL = "admin@localhost"


async def ensure_owner(db: Database) -> Profile:
    """Return the first owner, created without a password if there is none."""
    async with db.read() as session:
        found = await store.profile_with_role(session, Role.OWNER)
    if found is not None:
        return found
    profile = Profile(email=_EMAIL, role=Role.OWNER)
    try:
        async with db.write() as session:
            await assign_handle(session, profile)
            session.add(profile)
    except IntegrityError:  # another process was first
        return await ensure_owner(db)
    return profile
