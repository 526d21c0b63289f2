"""What holds for all tests: markers, what they allow, and cheap password hashes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from gateway.accounts import passwords
from telemetry import garbage_collection
from tests.services import declared

# until all tests are collected: that creates millions of objects that stay
garbage_collection.pause()

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
_PROCESS_FIXTURES = {"verifier", "start", "serve", "shared", "served", "stock"}
"""Fixtures that start a process, or stand on one that does (`verifier` loads models in one)."""
_PROCESS_FOLDERS = {"system", "chaos", "torture", "slipstream", "inference_server", "model_store"}
_PROCESS_EVENTS = {"subprocess.Popen", "os.fork", "os.posix_spawn"}
_INSTALLATIONS = ("installation", "backend")
"""Fixtures that run an installation; those with the scope of a package are shared by files."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import folders whose tests all start processes, where none of them is to run."""
    parts = collection_path.relative_to(_HERE).parts if _HERE in collection_path.parents else ()
    unwanted = "not processes" in config.option.markexpr and parts[:1]
    return True if unwanted and parts[0] in _PROCESS_FOLDERS else None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what uses a service by a parameter, or starts processes by a fixture or its folder.

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
    if any(isinstance(value, str) and value in _SERVICE_PARAMETERS for value in values):
        item.add_marker(pytest.mark.services)
    if path.parts[0] in _PROCESS_FOLDERS or _PROCESS_FIXTURES & fixtures.keys():
        item.add_marker(pytest.mark.processes)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: whole installations, then tests that start processes."""

    def place(item: pytest.Item) -> tuple[bool, bool]:
        starts_processes = item.get_closest_marker("processes") is not None
        return _HERE / "system" not in item.path.parents, not starts_processes

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """Collect garbage from here on, but rarely, and not what was collected as tests."""
    garbage_collection.resume(10_000, 10, 10)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let a test use only what its markers declare, wherever it is run."""
    declared.services = item.get_closest_marker("services") is not None
    declared.processes = declared.services or item.get_closest_marker("processes") is not None
    try:
        return (yield)
    finally:
        declared.services = declared.processes = True


def _refuse_undeclared_processes(event: str, _arguments: object) -> None:
    # At exit, the names of this module are None.
    if event in _PROCESS_EVENTS and declared and not declared.processes:
        pytest.fail("the test starts a process and is not marked `processes`")


sys.addaudithook(_refuse_undeclared_processes)


@pytest.fixture(autouse=True, scope="session")
def _cheap_password_hashes() -> Iterator[None]:
    """Hash passwords in a millisecond instead of 170; tests/system checks the real cost."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_MEMORY_KIB", 1024)
        patch.setattr(passwords, "_TIME_COST", 1)
        yield
