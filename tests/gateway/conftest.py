"""Both databases, a model store with real models, and an application with the feature routers."""

from __future__ import annotations

import asyncio
import functools
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.migrate import migrate
from gateway.storage.tables import Profile
from model_store.folder_store import FolderStore
from model_store.verification import Verifier
from tests import onnx_models
from tests.gateway.databases import PostgresDatabase, empty
from tests.gateway.in_process_gateway import InProcessGateway
from tests.gateway.private_model import (
    PrivateModel,
    following_gateway,
    publish_private_model,
)
from tests.gateway.served_gateway import ServedGateway

DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresDatabase]:
    """A migrated PostgreSQL database for this session."""
    database = PostgresDatabase()
    database.create()
    try:
        asyncio.run(migrate(database.url))
        yield database
    finally:
        database.drop()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with a database on the kinds that its marker `databases` names, or on SQLite."""
    if "database_kind" in metafunc.fixturenames:
        usual = DATABASES if metafunc.config.option.all_databases else DATABASES[:1]
        marker = metafunc.definition.get_closest_marker("databases")
        metafunc.parametrize("database_kind", marker.args if marker else usual)


@pytest.fixture
def url(request: pytest.FixtureRequest, database_kind: str, tmp_path: Path) -> str:
    """The URL of a migrated database, which `database` empties."""
    if database_kind == "postgresql":
        found: PostgresDatabase = request.getfixturevalue("postgres")
        return found.url
    path = tmp_path / "slipstream.db"
    shutil.copy(request.getfixturevalue("sqlite_template"), path)
    return f"sqlite:///{path}"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """An empty database."""
    db = Database(url)
    if db.dialect == "postgresql":  # SQLite's file is new
        await empty(url)
    yield db
    await db.close()


@pytest.fixture
async def profile(database: Database) -> Profile:
    """A user."""
    row = Profile(email="ada@example.com", role="admin")
    async with database.write() as session:
        session.add(row)
    return row


@pytest.fixture(scope="session")
def verifier() -> Verifier:
    """The real one: it loads models in a child process."""
    return Verifier([sys.executable, "-m", "inference_server.runtime.verify"])


@pytest.fixture(scope="session")
def model_store_dir(tmp_path_factory: pytest.TempPathFactory, verifier: Verifier) -> Path:
    """A model store to copy: `mlp` 1 and 2, `scaled` (optional input)."""
    folder = tmp_path_factory.mktemp("shelf")
    store = FolderStore(folder / "store")
    mlp = onnx_models.mlp(folder / "mlp.onnx")
    for _ in range(2):
        store.publish(mlp, "mlp", verifier=verifier)
    store.set_label("mlp", "stable", 1)
    scaled = onnx_models.optional_input(folder / "scaled.onnx")
    store.publish(scaled, "scaled", verifier=verifier)
    return folder / "store"


@pytest.fixture
def settings(url: str, model_store_dir: Path, tmp_path: Path) -> Settings:
    """Settings of an installation of the test's own, with models in its store."""
    shutil.copytree(model_store_dir, tmp_path / "state" / "models")
    own = {"state": tmp_path / "state", "database_url": url}
    return _default_settings().model_copy(update=own)


@functools.cache
def _default_settings() -> Settings:
    """Settings, read once: reading them takes longer than many a test."""
    # all unauthenticated clients of a test share one address
    return Settings(failed_auth_per_minute=0)


@pytest.fixture
async def in_process_gateway(
    database: Database, settings: Settings
) -> AsyncIterator[InProcessGateway]:
    """Every feature, wired as a gateway wires it, behind HTTP; the database is empty."""
    opened = InProcessGateway(settings)
    yield opened
    await opened.close()


@pytest.fixture
async def served_gateway(database: Database, settings: Settings) -> AsyncIterator[ServedGateway]:
    """The same behind a socket, with triggers; the database is empty."""
    opened = ServedGateway(settings)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def private_model(
    database: Database, settings: Settings, tmp_path: Path
) -> AsyncIterator[PrivateModel]:
    """A served gateway with a private model; the database has nothing else."""
    async with following_gateway(settings) as gateway:
        yield await publish_private_model(gateway, tmp_path)
