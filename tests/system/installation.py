"""A running installation with its administrator's client."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.slipstream.cli import invoke
from tests.slipstream.running import Up
from tests.timing import TIMEOUT_SECONDS, eventually

# Any, here and below: JSON
Json = dict[str, Any]


def chain(model: str, version: str = "latest", **nodes: Json) -> Json:
    """Return a flow of one model between input and output; `nodes` adds to their configs."""
    configs = {"input": {}, "model": {"model": model, "version": version}, "output": {}}
    types = {"input": "api_input", "model": "inference", "output": "api_output"}
    return {
        "name": f"{model} flow",
        "nodes": [
            {"id": name, "type": types[name], "config": {**config, **nodes.get(name, {})}}
            for name, config in configs.items()
        ],
        "edges": [
            {"source": "input", "target": "model"},
            {"source": "model", "target": "output"},
        ],
    }


class Installation:
    """`slipstream up` and a `manage` key: the given one, or a new one of the first owner."""

    def __init__(self, up: Up, key: str = "") -> None:
        self.up = up
        self.key = key or self.command("keys", "create", "--name", "tests", "--manage")["key"]
        self.http = httpx.Client(
            base_url=up.url, headers={"X-API-Key": self.key}, timeout=TIMEOUT_SECONDS
        )
        # A test that fails in the middle leaves no connection, which would fail a later one.
        weakref.finalize(self, self.http.close)

    def command(self, *words: str) -> Any:
        """Run `slipstream … --json` on the installation's state folder; return what it printed.

        It runs in this process: a process of its own takes a second to import.
        """
        unset = {name: None for name in os.environ if name.startswith("SLIPSTREAM_")}
        result = invoke(
            [*words, "--json", "--state", str(self.up.state)],
            env={**unset, **self.up.extra},
        )
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def post(self, path: str, body: Mapping[str, Any]) -> Json:
        """POST, expecting success."""
        answer = self.http.post(path, json=body)
        assert answer.is_success, answer.text
        result: Json = answer.json()
        return result

    def add_model(self, name: str, path: Path) -> None:
        """Upload a model that all users share."""
        answer = self.http.post(
            "/node/models/",
            params={"name": name, "visibility": "shared"},
            content=path.read_bytes(),
            headers={"Content-Type": "application/octet-stream"},
        )
        assert answer.status_code == 201, answer.text

    def serve(self, name: str, *, wait: bool = True, **settings: object) -> Json:
        """Serve a model; by default wait until it is ready."""
        server = self.post("/node/inference-servers/", {"model": name, **settings})
        return self.until_ready(server["id"]) if wait else server

    def until_ready(self, server_id: str) -> Json:
        """Wait until an inference server is ready; return it."""

        def look() -> tuple[Json, int]:
            server = self.http.get(f"/node/inference-servers/{server_id}/").json()
            return server, self.http.get(f"/v2/models/{server['model']}/ready").status_code

        server, _ = eventually(look, lambda now: now[0]["state"] == "ready" and now[1] == 200)
        return server

    def deploy(self, flow: Json, **settings: object) -> str:
        """Deploy a flow as fast; return the deployment's id."""
        flow_id = self.post("/node/flows/", flow)["id"]
        body = {"flow_id": flow_id, "execution_mode": "fast", **settings}
        deployment_id: str = self.post("/node/deployments/", body)["id"]
        return deployment_id

    def trigger(self, deployment_id: str, **arguments: Any) -> httpx.Response:
        """Call a deployment."""
        return self.http.post(f"/node/deployment-trigger/{deployment_id}/", **arguments)

    def stop(self) -> None:
        """Stop it; assert that no process is left and no traceback was logged."""
        self.http.close()
        errors = self.up.errors
        assert self.up.stop() == 0
        assert "Traceback" not in errors, errors
        assert self.key not in errors
