"""Counts uses of API keys in memory and writes them in batches."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from datetime import datetime
from itertools import islice

from gateway.auth import store
from gateway.auth.identity import Identity
from gateway.auth.store import KeyUsage
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.failures import log_failure
from telemetry.logs import logger

_WRITE_INTERVAL_SECONDS = 2.0
"""Between two writes, so the shown counts are at most this late."""
_MAX_BATCH = 500
"""Keys in one statement: each needs nine of SQLite's 32,766 parameters."""
_CLOSE_SECONDS = 5.0

log = logger("gateway.auth.key_usage")


class CachedKey:
    """A validated key in memory.

    `uses` counts requests since the last write; the first of them came from `address`.
    """

    __slots__ = ("address", "ends_at", "identity", "key_id", "rotated", "uses")

    def __init__(
        self, identity: Identity, *, key_id: str, ends_at: datetime | None, rotated: bool
    ) -> None:
        self.identity = identity
        self.key_id = key_id
        self.ends_at = math.inf if ends_at is None else ends_at.timestamp()
        """Unix time at which it stops being valid."""
        self.rotated = rotated
        self.uses = 0
        self.address = ""


class KeyUsageRecorder:
    """Collects the keys that were used, and adds their counts to the rows."""

    def __init__(self, db: Database, *, interval: float = _WRITE_INTERVAL_SECONDS) -> None:
        self._db = db
        self._interval = interval
        self._used: list[CachedKey] = []
        self._pending: dict[str, KeyUsage] = {}
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def count(self, credential: CachedKey, address: str) -> None:
        """Count one request that comes from `address`; about 0.1 µs."""
        if not credential.uses:
            self._used.append(credential)
            credential.address = address
        credential.uses += 1

    def start(self) -> None:
        """Start to write periodically."""
        self._task = asyncio.create_task(self._run(), name="key usage")

    async def close(self) -> None:
        """Write the remaining counts and stop."""
        self._closing.set()
        if self._task is not None:
            # A cancelled write may have been committed, and would then be counted twice.
            await asyncio.wait({self._task}, timeout=_CLOSE_SECONDS)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.flush()

    async def flush(self) -> None:
        """Write the counts; keep them if the database is unavailable."""
        self._collect()
        while self._pending and await self._write_batch():
            pass

    async def _run(self) -> None:
        while not self._closing.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._closing.wait()
            await self.flush()

    def _collect(self) -> None:
        moment = now()
        for credential in self._used:
            uses = self._pending.setdefault(credential.key_id, KeyUsage(last_at=moment))
            uses.total += credential.uses
            uses.since_rotation += credential.uses if credential.rotated else 0
            uses.last_at, uses.last_address = moment, credential.address
            credential.uses = 0
        self._used.clear()

    async def _write_batch(self) -> bool:
        batch = dict(islice(self._pending.items(), _MAX_BATCH))
        try:
            async with self._db.write() as session:
                await store.add_usage(session, batch)
        except Exception as error:  # noqa: BLE001 - see `log_failure`
            log_failure(log, "key_usage_write_failed", error)
            return False
        for key_id in batch:
            del self._pending[key_id]
        return True
