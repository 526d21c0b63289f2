"""An installation on each combination of database and broker, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.backends import BACKENDS, Backend, running
from tests.system.runs import Runs


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
