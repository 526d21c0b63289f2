"""A trigger records each end of a run in its transaction, with the time.

This detects runs that ended twice, which responses to callers can hide.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass, field

import asyncpg

_TABLE = "runs"
_TERMINAL = "('completed', 'failed', 'cancelled')"
_INSTALL = f"""
CREATE TABLE chaos_run_ends (
    run_id text NOT NULL, status text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE FUNCTION chaos_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos_run_ends (run_id, status) VALUES (NEW.id, NEW.status);
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_inserted_ended AFTER INSERT ON {_TABLE} FOR EACH ROW
    WHEN (NEW.status IN {_TERMINAL}) EXECUTE FUNCTION chaos_note();
CREATE TRIGGER chaos_ended AFTER UPDATE ON {_TABLE} FOR EACH ROW
    WHEN (NEW.status IN {_TERMINAL}
          AND (OLD.status, OLD.finished_at) IS DISTINCT FROM (NEW.status, NEW.finished_at))
    EXECUTE FUNCTION chaos_note();
"""
_ENDED_TWICE = "SELECT run_id FROM chaos_run_ends GROUP BY run_id HAVING count(*) > 1"
_ENDED_AT = """
SELECT run_id, extract(epoch FROM max(at)) AS ended_at FROM chaos_run_ends GROUP BY run_id
"""
_ENDS = f"""
SELECT mode || ' ' || type AS pair, extract(epoch FROM at) AS ended_at
FROM chaos_run_ends JOIN {_TABLE} ON id = run_id WHERE deployment_id = ANY($1)
"""
_OPEN = f"""
SELECT id, status, attempt, error_code, extract(epoch FROM created_at) AS created,
    extract(epoch FROM started_at) AS started, extract(epoch FROM finished_at) AS finished
FROM {_TABLE} WHERE mode || ' ' || type = $1 AND created_at < to_timestamp($3)
    AND coalesce(finished_at, 'infinity') > to_timestamp($2) ORDER BY created_at LIMIT 20
"""
_ROWS = f"SELECT id, deployment_id, status, attempt, error_code FROM {_TABLE}"
_OVERDUE = f"""
SELECT coalesce(max(extract(epoch FROM now() - lease_until)), 0) FROM {_TABLE}
WHERE status = 'running' AND lease_until < now()
"""
_UNDELIVERED = "SELECT count(*) FROM webhook_deliveries WHERE status = 'pending'"
_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the runs table."""

    deployment_id: str
    status: str
    attempt: int
    error_code: str | None


@dataclass(slots=True)
class Audit:
    """Installs the trigger and queries the database.

    Attributes:
        max_overdue: the longest time in seconds that a run was seen `running` past its lease.
    """

    url: str
    max_overdue: float = 0.0
    _watching: asyncio.Task[None] | None = field(default=None, init=False)

    async def install(self) -> None:
        """Install the trigger; the tables must exist."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(_INSTALL)
        finally:
            await connection.close()

    async def rows(self) -> dict[str, Row]:
        """Return every run."""
        return {
            row["id"]: Row(
                deployment_id=row["deployment_id"],
                status=row["status"],
                attempt=row["attempt"],
                error_code=row["error_code"],
            )
            for row in await self._ask(_ROWS)
        }

    async def ended_twice(self) -> list[str]:
        """Return the runs that ended more than once."""
        return [row["run_id"] for row in await self._ask(_ENDED_TWICE)]

    async def ended_at(self) -> dict[str, float]:
        """Return when each run ended, in seconds since the epoch, by the clock of the database."""
        return {row["run_id"]: float(row["ended_at"]) for row in await self._ask(_ENDED_AT)}

    async def ends_of(self, deployments: Collection[str]) -> list[tuple[str, float]]:
        """Return the pair and the time, by `time.monotonic`, of each end of their runs."""
        offset = time.monotonic() - time.time()
        return [
            (row["pair"], float(row["ended_at"]) + offset)
            for row in await self._ask(_ENDS, list(deployments))
        ]

    async def open_between(self, pair: str, since: float, until: float, zero: float) -> list[str]:
        """Describe the runs of a pair that were open in a time, with times from `zero` on.

        All are those of `time.monotonic`.
        """
        offset = time.monotonic() - time.time()
        rows = await self._ask(_OPEN, pair, since - offset, until - offset)
        return [
            f"{row['id']}: {row['status']} {row['error_code'] or ''}, attempt {row['attempt']}, "
            + ", ".join(
                f"{name} {float(row[name]) + offset - zero:.1f} s"
                for name in ("created", "started", "finished")
                if row[name] is not None
            )
            for row in rows
        ]

    async def unfinished(self) -> int:
        """Return the number of runs that have not ended."""
        rows = await self.rows()
        return sum(row.status in {"queued", "running"} for row in rows.values())

    async def undelivered(self) -> int:
        """Return the number of webhooks that are still to be sent."""
        ((count,),) = await self._ask(_UNDELIVERED)
        return int(count)

    def watch(self) -> None:
        """Start watching for overdue runs."""
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop watching."""
        if self._watching:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            began = time.monotonic()
            try:
                ((overdue,),) = await self._ask(_OVERDUE)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                pass  # PostgreSQL is restarting, so no process could have acted
            else:
                self.max_overdue = max(self.max_overdue, float(overdue))
            await asyncio.sleep(max(0.0, began + _POLL_SECONDS - time.monotonic()))

    async def _ask(self, statement: str, *values: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.url, timeout=10)
        try:
            found: list[asyncpg.Record] = await connection.fetch(statement, *values)
            return found
        finally:
            await connection.close()
