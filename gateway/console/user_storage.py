"""What is stored of a user, beside the limits of the installation."""

from __future__ import annotations

from gateway.storage.database import Database
from gateway.storage.user_storage import StoredOfUser, read_stored


class UserStorageService:
    """What is stored of each user."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of(self, profile_id: str) -> StoredOfUser:
        """Return what is stored of a user, by kind."""
        async with self._db.read() as session:
            return await read_stored(session, profile_id)
