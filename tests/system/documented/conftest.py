"""An installation with what the documentation's commands name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import onnx_models
from tests.slipstream.running import Up
from tests.system.documented.shell import Shell
from tests.system.flow_documents import transform_flow
from tests.system.installation import Installation
from tests.system.runs import Runs

MODELS = {"churn": 1, "encoder": 1, "resnet": 3}
"""How many versions there are of each."""


@pytest.fixture(scope="package")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """The demo, some models, and the user Ada."""
    folder = tmp_path_factory.mktemp("documented")
    up = Up(folder / "state")
    up.until("ready for")
    installation = Installation(up)
    model = onnx_models.mlp(folder / "model.onnx")
    for name, versions in MODELS.items():
        for _ in range(versions):
            installation.add_model(name, model)
    installation.command("users", "create", "ada@example.com", "--no-password")
    yield Runs(installation)
    installation.stop()


@pytest.fixture
def deployment(runs: Runs) -> str:
    """A deployment with two finished runs and a draft that differs: `y` is three times `x`."""
    made = runs.deploy(transform_flow(), "sync", "server")
    for x in (1, 2):
        assert runs.call(made, {"x": x}).status_code == 200
    draft = runs.http.get(f"/node/flows/{runs.flow_of(made)}/").json()
    changed = {**transform_flow("input.x * 3"), "name": draft["name"]}
    assert runs.http.put(f"/node/flows/{draft['id']}/", json=changed).is_success
    return made


@pytest.fixture
def shell(runs: Runs, deployment: str, tmp_path: Path) -> Iterator[Shell]:
    """A terminal on the installation, with the variables that pages use."""
    up, key = runs.installation.up, runs.installation.key
    shell = Shell(
        tmp_path,
        SLIPSTREAM_STATE=str(up.state),
        URL=up.url,
        KEY=key,
        MANAGE=key,
        ID=deployment,
        DEPLOYMENT=deployment,
    )
    yield shell
    shell.close()
