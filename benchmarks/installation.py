"""An installation of Slipstream for the benchmark, made by its own command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from benchmarks.forms import FLOW
from benchmarks.model import Model
from benchmarks.servers import Server, slipstream

_FLOW = {
    "name": "tiny",
    "nodes": [
        {"id": "input", "type": "api_input", "config": {}},
        {"id": "model", "type": "inference", "config": {"model": "tiny"}},
        {"id": "output", "type": "api_output", "config": {}},
    ],
    "edges": [
        {"source": "input", "target": "model"},
        {"source": "model", "target": "output"},
    ],
}


class SetUpError(Exception):
    """A command of the set-up failed; the message is what it printed."""


def install(folder: Path, model: Model) -> Server:
    """Publish the model, save a flow, deploy it in fast mode, all in a new state in `folder`."""
    state = _state(folder)
    flow = folder / "flow.json"
    flow.write_bytes(orjson.dumps(_FLOW))

    def run(*command: str) -> dict[str, Any]:  # Any: JSON
        return _slipstream(*command, "--state", str(state), "--json")

    run("models", "add", str(model.path), "--name", "tiny", "--serve")
    flow_id = run("flows", "create", str(flow))["id"]
    deployment = run("deployments", "create", "--flow", flow_id, "--mode", "fast")
    key = deployment["api_key"]["key"]
    return slipstream(state=str(state), path=deployment["trigger_path"], key=key, form=FLOW)


def manage_key(folder: Path, settings: Mapping[str, str] | None = None) -> str:
    """Return a new key for everything in the state in `folder`; the deployment's is not for /v2."""
    words = ("keys", "create", "--name", "benchmark", "--manage")
    created = _slipstream(*words, "--state", str(_state(folder)), "--json", settings=settings)
    key: str = created["key"]
    return key


def model_store(folder: Path) -> Path:
    """Return where the state in `folder` has its models."""
    return _state(folder) / "models"


def _state(folder: Path) -> Path:
    return folder / "state"


def _slipstream(*arguments: str, settings: Mapping[str, str] | None = None) -> dict[str, Any]:
    command = [sys.executable, "-m", "slipstream", *arguments]
    environment = {**os.environ, **(settings or {})}
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        raise SetUpError(f"slipstream {' '.join(arguments[:2])}: {said}")
    document: dict[str, Any] = orjson.loads(done.stdout)
    return document
