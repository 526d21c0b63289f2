"""The profile that a fresh installation starts with."""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError

from gateway.auth import store
from gateway.storage.database import Database
from gateway.storage.tables import Profile

ADMINISTRATOR = "admin"
_EMAIL = "admin@localhost"


async def administrator(db: Database) -> Profile:
    """Return the first administrator, made on the first call."""
    async with db.read() as session:
        found = await store.profile_with_role(session, ADMINISTRATOR)
    if found is not None:
        return found
    profile = Profile(email=_EMAIL, role=ADMINISTRATOR)
    try:
        async with db.write() as session:
            session.add(profile)
    except IntegrityError:  # another process was first
        return await administrator(db)
    return profile
