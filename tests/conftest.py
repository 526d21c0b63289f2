"""What holds for all tests: markers, what they allow, and cheap password hashes."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import httpx
import pytest
import structlog
import trustme
from hypothesis import HealthCheck, settings
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import LRUCache

from gateway.accounts import passwords
from gateway.storage import database
from telemetry import garbage_collection
from tests.gateway.databases import migrated_sqlite
from tests.services import declared
from tests.timing import TIMEOUT_SECONDS

for _what in ("connect", "read", "write", "pool"):  # what a client waits for by default: 5 s
    setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, _what, TIMEOUT_SECONDS)

P = ParamSpec("P")
R = TypeVar("R")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without job control starts `make test &` so: what tests interrupt would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# until all tests are collected: that creates millions of objects that stay
garbage_collection.pause()

# httpcore tries to import it for each request: a search of all folders, as it is not installed.
sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]

# What an example takes says nothing on a busy machine: tests have their own time limit.
_ANY_TIME = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same few examples in each run, so that none of them depends on luck; `make test-long` draws
# many others.
settings.register_profile("few", _ANY_TIME, max_examples=20, derandomize=True)
settings.register_profile("many", _ANY_TIME, max_examples=500)
settings.load_profile("few")

# structlog's own traceback shows the values of all variables, which takes seconds of ours
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

_HERE = Path(__file__).parent
_SERVICE_PARAMETERS = {"postgresql", "redis", "amqp", "rabbitmq"}
"""Parameters of fixtures and tests that choose an external service."""
_SERVICE_FIXTURES = {"postgres"}
"""Fixtures that use one, whatever the parameters."""
_PROCESS_FIXTURES = {"verifier", "start", "serve", "shared", "served", "stock"}
"""Fixtures that start a process, or stand on one that does (`verifier` loads models in one)."""
_PROCESS_FOLDERS = {
    "system",
    "console",
    "chaos",
    "torture",
    "slipstream",
    "inference_server",
    "model_store",
}
_FOLDERS = {"console", "tools"}
"""Folders whose tests, and no others, have the marker of the folder's name."""
_INSTALLATIONS = ("installation", "backend", "slow")
"""Fixtures that run an installation; those with the scope of a package are shared by files."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option with which tests/gateway/conftest.py lets all tests run on each database."""
    parser.addoption(
        "--all-databases",
        action="store_true",
        help="run tests that need a database on SQLite and PostgreSQL",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import folders of which no test is to run, as far as markers tell."""
    if collection_path.parent != _HERE or not collection_path.is_dir():
        return None
    folder, markers = collection_path.name, set(config.option.markexpr.split(" and "))
    excluded = {name for name in _FOLDERS if f"not {name}" in markers}
    if "not processes" in markers:
        excluded |= _PROCESS_FOLDERS
    chosen = _FOLDERS & markers
    return True if folder in excluded or (chosen and folder not in chosen) else None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what uses services or processes (by parameters, fixtures and folders), and what draws.

    Tests of a file run in one process of pytest-xdist, and so do all tests that share an
    installation: one that idles in each process would take the cores from the tests. Not
    `pytest_collection_modifyitems`: pytest-xdist reads the groups there, before us.
    """
    parameters = getattr(item, "callspec", None)
    values = parameters.params.values() if parameters else ()
    fixtures = item._fixtureinfo.name2fixturedefs
    path = item.path.relative_to(_HERE)
    shared = [
        name
        for name in _INSTALLATIONS
        if name in fixtures and fixtures[name][-1].scope == "package"
    ]
    chosen = parameters.params.get("backend", "") if parameters else ""
    item.add_marker(pytest.mark.xdist_group(f"{shared[0]} {chosen}" if shared else str(path)))
    chooses = any(isinstance(value, str) and value in _SERVICE_PARAMETERS for value in values)
    if chooses or _SERVICE_FIXTURES & fixtures.keys():
        item.add_marker(pytest.mark.services)
    if path.parts[0] in _FOLDERS:
        item.add_marker(path.parts[0])
    if getattr(item.obj, "is_hypothesis_test", False):
        item.add_marker(pytest.mark.search)
    if path.parts[0] in _PROCESS_FOLDERS or _PROCESS_FIXTURES & fixtures.keys():
        item.add_marker(pytest.mark.processes)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: whole installations, then tests that start processes.

    Files of a package, which often wait for the same, are spread over the run.
    """

    def place(item: pytest.Item) -> tuple[bool, bool, int]:
        if item.nodeid.startswith("tests/system/"):
            return False, False, 0
        starts_processes = item.get_closest_marker("processes") is not None
        return True, not starts_processes, zlib.crc32(item.path.name.encode())

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """Collect garbage from here on, but rarely, and not what was collected as tests."""
    garbage_collection.resume(50_000, 10, 10)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests have measured with `record_property("figure", …)`."""
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
    ]
    lines = [
        value for report in reports for name, value in report.user_properties if name == "figure"
    ]
    if lines:
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let a test use only what its markers declare, wherever it is run."""
    declared.services = item.get_closest_marker("services") is not None
    declared.processes = declared.services or item.get_closest_marker("processes") is not None
    try:
        return (yield)
    finally:
        declared.services = declared.processes = True


def _refuse_undeclared(start_process: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(start_process)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if not declared.processes:
            pytest.fail("the test starts a process and is not marked `processes`")
        return start_process(*args, **kwargs)

    return checked


if sys.platform == "linux":
    from inotify_simple import INotify

    INotify().close()  # the first one of a process runs ldconfig, to find the C library

# Not by an audit hook, which would run at every import, file and object: 1.5 % of all tests' time.
for _owner, _name in (
    (subprocess.Popen, "__init__"),
    (os, "fork"),
    (os, "posix_spawn"),
    (os, "posix_spawnp"),
):
    setattr(_owner, _name, _refuse_undeclared(getattr(_owner, _name)))


@pytest.fixture(autouse=True, scope="session")
def _cheap_password_hashes() -> Iterator[None]:
    """Hash passwords in a millisecond instead of 170; tests/system checks the real cost."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_MEMORY_KIB", 1024)
        patch.setattr(passwords, "_TIME_COST", 1)
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_public_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let one authority be all that clients trust by default: loading the usual ones takes 20 ms.

    A client of httpx does so when it is made, whatever it calls, and tests make thousands.
    """
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(path))
        yield


@pytest.fixture(autouse=True, scope="session")
def _statements_are_compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let all SQLite databases of this process share what SQLAlchemy has compiled.

    Each engine compiles every statement for itself: a seventh of the time of tests that have a
    database of their own.
    """
    url = database.parse_url(f"sqlite:///{tmp_path_factory.mktemp('dialect') / 'empty.db'}")
    create, first = database.create_engine, database.create_engine(url)

    async def connect() -> None:
        async with first.connect():
            pass  # a dialect is complete after its first connection
        await first.dispose()

    asyncio.run(connect())
    dialect, compiled = first.sync_engine.dialect, LRUCache[Any, Any](5_000)

    def create_sharing(url: URL, **options: Any) -> AsyncEngine:  # Any: what create_engine takes
        engine = create(url, **options)
        if url.get_backend_name() == "sqlite":
            engine.sync_engine.dialect = dialect
            engine.sync_engine._compiled_cache = compiled
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "create_engine", create_sharing)
        yield


@pytest.fixture(scope="session")
def sqlite_template() -> Path:
    """A migrated SQLite file to copy."""
    return migrated_sqlite()
