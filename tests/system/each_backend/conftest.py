"""An installation on each combination of database and broker, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.backends import BACKENDS, EMBEDDED, RABBITMQ, Backend, running
from tests.system.runs import Runs

_BY_BROKER = {"test_kills.py", "test_without_workers.py"}
"""Files about what each broker does in its own way: runs of type api use it."""
_BY_DATABASE = {"test_run_lifecycle.py", "test_idempotency.py", "test_usage.py"}
"""Files about what each database does in its own way: on PostgreSQL any broker will do."""

_BOTH_KINDS = "test_modes.py"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Leave the rest to `make test-long`.

    On the embedded installation all runs of type api, which pass the queue, and modes of both.
    """
    chosen, file = item.callspec.params, item.path.name
    embedded, on_server = chosen["backend"] == EMBEDDED, chosen.get("kind") == "server"
    differs = file in _BY_BROKER or (file in _BY_DATABASE and chosen["backend"] == RABBITMQ)
    if (on_server and file != _BOTH_KINDS) or (not embedded and (on_server or not differs)):
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
