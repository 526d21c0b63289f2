"""An installation on each combination of database and broker, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.backends import BACKENDS, EMBEDDED, Backend, running
from tests.system.runs import Runs

_DIFFERS = {
    "test_run_lifecycle.py",
    "test_kills.py",
    "test_idempotency.py",
    "test_usage.py",
    "test_without_workers.py",
}
"""Files about what databases and brokers do in ways of their own; runs of type api use both."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Leave the rest to `make test-long`, but for the embedded installation."""
    chosen = item.callspec.params
    differs = item.path.name in _DIFFERS and chosen.get("kind") != "server"
    if chosen["backend"] != EMBEDDED and not differs:
        item.add_marker(pytest.mark.long)


@pytest.fixture(scope="package", params=BACKENDS)
def backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    """An installation with workers on each kind of database and broker; `iris` is served."""
    with running(request.param, tmp_path_factory.mktemp(request.param)) as found:
        yield found


@pytest.fixture
def runs(backend: Backend) -> Runs:
    """A client of that installation."""
    return Runs(backend.installation)
