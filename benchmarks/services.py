"""PostgreSQL and Redis of this machine, for the scenarios that need them."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import asyncpg

from benchmarks.installation import SetupError

OPTIONS: dict[str, dict[str, Any]] = {  # Any: as argparse takes them
    "--redis": {
        "default": "redis://127.0.0.1:6379/15",
        "metavar": "URL",
        "help": "(%(default)s)",
    },
    "--postgresql": {
        "default": "postgresql://postgres@127.0.0.1:5432",
        "metavar": "URL",
        "help": "server (%(default)s)",
    },
}
"""Of a scenario that uses them, by flag."""


@contextmanager
def new_database(options: argparse.Namespace) -> Iterator[Mapping[str, str]]:
    """Create a database, and yield the settings of an installation that uses it and Redis.

    It is dropped at the end. Raises SetupError if PostgreSQL does not answer.
    """
    server, database = options.postgresql, f"slipstream_bench_{uuid4().hex[:12]}"
    execute(server, "postgres", f"CREATE DATABASE {database}")
    try:
        yield {
            "SLIPSTREAM_DATABASE_URL": f"{server}/{database}",
            "SLIPSTREAM_BROKER_URL": options.redis,
            "SLIPSTREAM_QUEUE_PREFIX": database,
        }
    finally:
        execute(server, "postgres", f"DROP DATABASE {database} WITH (FORCE)")


def execute(server: str, database: str, statement: str) -> Any:
    """Run a statement; return the first value of its result, of any type. Raises SetupError."""

    async def run() -> Any:
        connection = await asyncpg.connect(f"{server}/{database}")
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    try:
        return asyncio.run(run())
    except (OSError, asyncpg.PostgresError) as error:
        raise SetupError(f"PostgreSQL at {server}: {error}") from error
