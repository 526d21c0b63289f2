"""Opening a workspace on a database that goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from gateway.errors import StorageError
from slipstream.workspace import open_workspace, read_settings
from tests.gateway.databases import PostgresDatabase


@pytest.fixture
def postgres() -> Iterator[PostgresDatabase]:
    """A database without tables."""
    database = PostgresDatabase()
    database.create()
    yield database
    database.drop()


@asynccontextmanager
async def going_away(url: str, after: int) -> AsyncIterator[str]:
    """Yield the URL of a database that takes so many connections, and breaks all later ones."""
    target = make_url(url)
    count = 0

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def accept(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        if count > after:
            back.close()
            return
        far, forth = await asyncio.open_connection(target.host, target.port)
        await asyncio.gather(carry(near, forth), carry(far, back))

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield target.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)


@pytest.mark.services
async def test_a_database_that_goes_away_after_its_migration_is_no_traceback(
    postgres: PostgresDatabase, tmp_path: Path
) -> None:
    async with going_away(postgres.url, after=1) as url:
        settings = read_settings(state=tmp_path, database_url=url)
        with pytest.raises(StorageError, match="the database does not answer"):
            async with open_workspace(settings):
                pass
