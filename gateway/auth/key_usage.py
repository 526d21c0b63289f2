"""Counts uses of API keys, also refused ones, in memory and writes them in batches."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from datetime import datetime
from itertools import islice

from gateway.auth import store
from gateway.auth.identity import Identity
from gateway.auth.key_addresses import KeyUsage, add_addresses
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.failures import log_failure
from telemetry.logs import logger

_WRITE_INTERVAL_SECONDS = 2.0
"""Between two writes, so the shown counts are at most this late."""
_MAX_BATCH = 500
"""Keys in one statement: each needs 13 of SQLite's 32,766 parameters."""
_MAX_COUNTERS = 1_000
"""Addresses of a key that are counted without a new object for each request."""
_CLOSE_SECONDS = 5.0

log = logger("gateway.auth.key_usage")


class KeyUses:
    """Requests with a key from one address since the last write."""

    __slots__ = ("address", "count", "key")

    def __init__(self, key: CountedKey, address: str) -> None:
        self.key = key
        self.address = address
        """Empty for a Unix socket."""
        self.count = 0


class CountedKey:
    """A key whose requests are counted by their addresses."""

    __slots__ = ("_uses", "key_id", "refused", "rotated")

    def __init__(self, key_id: str, *, rotated: bool = False, refused: bool = False) -> None:
        self.key_id = key_id
        self.rotated = rotated
        self.refused = refused
        """Whether its requests are refused: it was deactivated, or has ended."""
        self._uses: dict[str, KeyUses] = {}

    def uses_from(self, address: str) -> KeyUses:
        """Return the counter of requests from `address`; empty for a Unix socket."""
        uses = self._uses.get(address)
        if uses is None:
            if len(self._uses) >= _MAX_COUNTERS:
                self._uses.clear()  # the recorder has those that have counted something
            uses = self._uses[address] = KeyUses(self, address)
        return uses


class CachedKey(CountedKey):
    """A validated key in memory."""

    __slots__ = ("ends_at", "identity")

    def __init__(
        self, identity: Identity, *, key_id: str, ends_at: datetime | None, rotated: bool
    ) -> None:
        super().__init__(key_id, rotated=rotated)
        self.identity = identity
        self.ends_at = math.inf if ends_at is None else ends_at.timestamp()
        """Unix time at which it stops being valid."""


class KeyUsageRecorder:
    """Collects the keys that were used, and adds their counts to the rows."""

    def __init__(self, db: Database, *, interval: float = _WRITE_INTERVAL_SECONDS) -> None:
        self._db = db
        self._interval = interval
        self._used: list[KeyUses] = []
        self._pending: dict[str, KeyUsage] = {}
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def count(self, uses: KeyUses) -> None:
        """Count one request; about 0.1 µs."""
        if not uses.count:
            self._used.append(uses)
        uses.count += 1

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
        for uses in self._used:
            key = uses.key
            pending = self._pending.setdefault(key.key_id, KeyUsage())
            if key.refused:
                pending.add_refused(uses.count, uses.address, moment)
            else:
                pending.add(uses.count, uses.address, moment, rotated=key.rotated)
            uses.count = 0
        self._used.clear()

    async def _write_batch(self) -> bool:
        batch = dict(islice(self._pending.items(), _MAX_BATCH))
        try:
            async with self._db.write() as session:
                known = await store.add_usage(session, batch)
                await add_addresses(session, self._db.dialect, known)
        except Exception as error:  # noqa: BLE001 - see `log_failure`
            log_failure(log, "key_usage_write_failed", error)
            return False
        for key_id in batch:
            del self._pending[key_id]
        return True
