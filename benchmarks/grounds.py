"""What an installation stands on: the embedded default, or Redis and a PostgreSQL database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import asyncpg

from benchmarks.installation import SetUpError

EMBEDDED, GROWN_UP = "embedded", "redis+postgresql"
GROUNDS = (EMBEDDED, GROWN_UP)

REDIS = "redis://127.0.0.1:6379/15"
POSTGRESQL = "postgresql://postgres@127.0.0.1:5432"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A kind of ground, and the settings for it."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def ground(name: str, *, redis: str = REDIS, postgresql: str = POSTGRESQL) -> Iterator[Ground]:
    """Yield one of GROUNDS; its database is new, and dropped afterwards.

    Raises:
        SetUpError: PostgreSQL cannot be reached.
    """
    if name == EMBEDDED:
        yield Ground(name=name)
        return
    database = f"slipstream_bench_{uuid4().hex[:12]}"
    _execute(postgresql, f"CREATE DATABASE {database}")
    try:
        settings = {
            "SLIPSTREAM_DATABASE_URL": f"{postgresql}/{database}",
            "SLIPSTREAM_BROKER_URL": redis,
            "SLIPSTREAM_QUEUE_PREFIX": database,
        }
        yield Ground(name=name, settings=settings)
    finally:
        _execute(postgresql, f"DROP DATABASE {database} WITH (FORCE)")


def _execute(server: str, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(f"{server}/postgres")
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    try:
        asyncio.run(run())
    except (OSError, asyncpg.PostgresError) as error:
        raise SetUpError(f"PostgreSQL at {server}: {error}") from error
