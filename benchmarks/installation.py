"""Slipstream under test: set up by its command line, or running and set up over REST."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import orjson

from benchmarks.models import OnnxModel
from benchmarks.processes import RunningServer, ServerFailedError
from benchmarks.servers import HttpServer, slipstream

ONE_THREAD = {"SLIPSTREAM_INFERENCE_THREADS": "1"}
"""A run gets one thread, as in the baselines."""

_TIMEOUT_SECONDS = 120.0
_POLL_SECONDS = 0.02
_PAGE_SIZE = 200

Json = dict[str, Any]


class SetupError(Exception):
    """A command or a request of the set-up failed; the message is its output."""


def install(folder: Path, model: OnnxModel) -> HttpServer:
    """Publish and deploy the model in fast mode, in a new state folder; nothing is started yet."""
    state = ("--state", str(folder / "state"), "--json")
    flow = folder / "flow.json"
    flow.write_bytes(orjson.dumps(inference_flow("tiny")))
    run_command("models", "add", str(model.path), "--name", "tiny", "--serve", *state)
    flow_id = run_command("flows", "create", str(flow), *state)["id"]
    deployment = run_command("deployments", "create", "--flow", flow_id, "--mode", "fast", *state)
    return slipstream(
        state=str(folder / "state"),
        path=deployment["trigger_path"],
        key=deployment["api_key"]["key"],
    )


def create_manage_key(folder: Path, settings: Mapping[str, str] | None = None) -> str:
    """Return a new `manage` key, which is also good for /v2, unlike a deployment's own."""
    words = ("keys", "create", "--name", "benchmark", "--manage")
    state = ("--state", str(folder / "state"), "--json")
    key: str = run_command(*words, *state, settings=settings)["key"]
    return key


def run_command(*arguments: str, settings: Mapping[str, str] | None = None) -> Json:
    """Run a `slipstream` command; return its JSON document."""
    command = [sys.executable, "-m", "slipstream", *arguments]
    environment = {**os.environ, **(settings or {})}
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    if done.returncode:
        output = (done.stdout + done.stderr).decode(errors="replace").strip()
        raise SetupError(f"slipstream {' '.join(arguments[:2])}: {output}")
    document: Json = orjson.loads(done.stdout)
    return document


def inference_flow(model: str) -> Json:
    """Return a flow with a model between input and output."""
    return {
        "name": model,
        "nodes": [
            {"id": "input", "type": "api_input", "config": {}},
            {"id": "model", "type": "inference", "config": {"model": model}},
            {"id": "output", "type": "api_output", "config": {}},
        ],
        "edges": [
            {"source": "input", "target": "model"},
            {"source": "model", "target": "output"},
        ],
    }


class Installation:
    """A running `slipstream up` with one gateway and a `manage` key.

    Attributes:
        server: its processes, and the port of REST.
        headers: what a caller has to send.
    """

    def __init__(
        self, folder: Path, model: OnnxModel, settings: Mapping[str, str] | None = None
    ) -> None:
        """Start with a new state in `folder`; `settings` are environment variables.

        Raises:
            SetupError: the key could not be created.
            ServerFailedError: it does not become ready.
        """
        folder.mkdir(exist_ok=True)
        key = create_manage_key(folder, settings)
        self.headers = {"X-API-Key": key}
        program = slipstream(state=str(folder / "state"), path="", key=key, settings=settings)
        self.server = RunningServer(program, model, Path(sys.executable), folder / "up")
        self.port = self.server.port
        self._http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers=self.headers,
            timeout=_TIMEOUT_SECONDS,
        )
        try:
            self.server.wait_for(self._check_ready)
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stop()

    def get(self, path: str, **query: str | int) -> Json:
        """Return the document at a path."""
        return _document(self._http.get(path, params=query))

    def post(self, path: str, body: Json) -> Json:
        """Post a document; return the answer."""
        return _document(self._http.post(path, json=body))

    def publish(self, name: str, path: Path) -> None:
        """Upload a model."""
        headers = {"Content-Type": "application/octet-stream"}
        content = path.read_bytes()
        _document(
            self._http.post(
                "/node/models/", params={"name": name}, content=content, headers=headers
            )
        )

    def serve(self, name: str, *, replicas: int = 1) -> None:
        """Start an inference server for the model, and wait until all replicas are ready."""
        server = self.post("/node/inference-servers/", {"model": name, "replicas": replicas})
        end = time.monotonic() + _TIMEOUT_SECONDS
        while time.monotonic() < end:
            server = self.get(f"/node/inference-servers/{server['id']}/")
            if server["state"] == "failed":
                raise SetupError(f"{name} is not served: {server['reason']}")
            if server["ready_replicas"] == replicas and self.is_ready(name):
                return
            time.sleep(_POLL_SECONDS)
        raise SetupError(f"{name} is not ready after {_TIMEOUT_SECONDS:.0f} s: {server}")

    def is_ready(self, name: str) -> bool:
        """Return whether a model answers calls."""
        return self._http.get(f"/v2/models/{name}/ready").status_code == httpx.codes.OK

    def deploy(self, flow: Json, **settings: object) -> str:
        """Save a flow and deploy it; return the path that triggers it."""
        return self.deploy_saved(self.post("/node/flows/", flow)["id"], **settings)

    def deploy_saved(self, flow_id: str, **settings: object) -> str:
        """Deploy a flow, in fast mode by default; return the path that triggers it."""
        body = {"flow_id": flow_id, "execution_mode": "fast", **settings}
        path: str = self.post("/node/deployments/", body)["trigger_path"]
        return path

    def deploy_model(self, name: str, path: Path, **settings: object) -> str:
        """Publish, serve and deploy a model; return the path that triggers it."""
        self.publish(name, path)
        self.serve(name)
        return self.deploy(inference_flow(name), **settings)

    def servers(self) -> list[Json]:
        """Return every inference server."""
        found: list[Json] = []
        query: dict[str, str | int] = {"limit": _PAGE_SIZE}
        while True:
            page = self.get("/node/inference-servers/", **query)
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            query["cursor"] = page["next_cursor"]

    def _check_ready(self) -> None:
        try:
            response = self._http.get("/readyz")
        except httpx.TransportError as error:
            raise ServerFailedError(str(error)) from error
        if not response.is_success:
            raise ServerFailedError(response.text[:300])

    def _stop(self) -> None:
        self._http.close()
        self.server.stop()


def _document(response: httpx.Response) -> Json:
    if not response.is_success:
        request = response.request
        raise SetupError(f"{request.method} {request.url.path}: {response.text[:500]}")
    document: Json = response.json()
    return document
