"""An installation on each combination of database and broker, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.slipstream.running import LOOPBACK
from tests.system.backends import BACKENDS, EMBEDDED, RABBITMQ, Backend, running
from tests.system.runs import Runs
from tests.trace_collector import TraceCollector, collecting

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


@pytest.fixture(scope="package")
def collector() -> Iterator[TraceCollector]:
    """A collector of traces, of all installations."""
    with collecting() as made:
        yield made


@pytest.fixture(scope="package", params=BACKENDS)
def backend(
    request: pytest.FixtureRequest,
    collector: TraceCollector,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Backend]:
    """An installation with workers on each kind of database and broker; `iris` is served.

    It may call this machine, and traces the calls that say so.
    """
    settings = {
        **LOOPBACK,
        "SLIPSTREAM_CALL_LOG": "all",
        "SLIPSTREAM_TRACE_ENDPOINT": collector.url,
        "SLIPSTREAM_TRACE_SAMPLE_RATE": "0",
    }
    with running(request.param, tmp_path_factory.mktemp(request.param), **settings) as found:
        yield found


@pytest.fixture
def runs(backend: Backend) -> Runs:
    """A client of that installation."""
    return Runs(backend.installation)
