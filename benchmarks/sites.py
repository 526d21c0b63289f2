"""A running installation of Slipstream, and what its administrator does with it over REST."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from benchmarks.forms import FLOW
from benchmarks.installation import SetUpError, manage_key
from benchmarks.model import Model
from benchmarks.processes import ServerFailedError, Started
from benchmarks.servers import slipstream

_PATIENCE_SECONDS = 120.0
_PAUSE_SECONDS = 0.02
_PAGE = 200

ONE_THREAD = {"SLIPSTREAM_INFERENCE_THREADS": "1"}
"""What the baselines in `benchmarks.apps` give a run."""

Json = dict[str, Any]


class Site:
    """`slipstream up` without a demo, one gateway, and a `manage` key.

    Attributes:
        started: its processes, and the port of REST.
        key: the key, good for management, triggers and /v2.
    """

    def __init__(
        self, folder: Path, model: Model, settings: Mapping[str, str] | None = None
    ) -> None:
        """Start with a new state in `folder`; `settings` are environment variables.

        Raises:
            SetUpError: the key could not be made.
            ServerFailedError: it does not become ready.
        """
        self.key: str = manage_key(folder, settings)
        server = replace(
            slipstream(state=str(folder / "state"), path="", key=self.key, form=FLOW),
            environment=settings or {},
        )
        self.started = Started(server, model, Path(sys.executable), folder / "up")
        self._http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.started.port}",
            headers=self.headers,
            timeout=_PATIENCE_SECONDS,
        )
        try:
            self.started.until(self._ask_whether_up)
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

    @property
    def port(self) -> int:
        """Return the port of REST."""
        return self.started.port

    @property
    def headers(self) -> dict[str, str]:
        """Return what a caller has to send."""
        return {"X-API-Key": self.key}

    def publish(self, name: str, path: Path) -> None:
        """Upload a model."""
        self._done(
            self._http.post(
                "/node/models/",
                params={"name": name},
                content=path.read_bytes(),
                headers={"Content-Type": "application/octet-stream"},
            )
        )

    def serve(self, name: str) -> Json:
        """Have the model served; return its inference server when it is ready."""
        answer = self._http.post("/node/inference-servers/", json={"model": name})
        server = self._done(answer)
        end = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < end:
            server = self._done(self._http.get(f"/node/inference-servers/{server['id']}/"))
            if server["state"] == "failed":
                raise SetUpError(f"{name} is not served: {server['reason']}")
            ready = self._http.get(f"/v2/models/{name}/ready").status_code == httpx.codes.OK
            if server["state"] == "ready" and ready:
                return server
            time.sleep(_PAUSE_SECONDS)
        raise SetUpError(f"{name} is not ready after {_PATIENCE_SECONDS:.0f} s: {server}")

    def save_flow(self, model: str) -> str:
        """Save a flow of one model between input and output; return its id."""
        configs: Json = {"api_input": {}, "inference": {"model": model}, "api_output": {}}
        nodes = [{"id": kind, "type": kind, "config": config} for kind, config in configs.items()]
        names = list(configs)
        edges = [{"source": source, "target": target} for source, target in pairwise(names)]
        return self.save({"name": model, "nodes": nodes, "edges": edges})

    def save(self, flow: Json) -> str:
        """Save a flow; return its id."""
        flow_id: str = self._done(self._http.post("/node/flows/", json=flow))["id"]
        return flow_id

    def deploy(self, flow_id: str, **settings: object) -> str:
        """Deploy a flow in fast mode; return the path that triggers it."""
        body = {"flow_id": flow_id, "execution_mode": "fast", **settings}
        path: str = self._done(self._http.post("/node/deployments/", json=body))["trigger_path"]
        return path

    def offer_model(self, name: str, path: Path, **settings: object) -> str:
        """Publish, serve and deploy a model; return the path that triggers it."""
        self.publish(name, path)
        self.serve(name)
        return self.deploy(self.save_flow(name), **settings)

    def make_key(self, **settings: object) -> str:
        """Make an API key; return it."""
        key: str = self._done(self._http.post("/node/api-keys/", json=settings))["key"]
        return key

    def get(self, path: str, **query: str | int) -> Json:
        """Return what is to be seen at a path."""
        return self._done(self._http.get(path, params=query))

    def servers(self) -> list[Json]:
        """Return every inference server as the fleet shows it."""
        found: list[Json] = []
        query: dict[str, str | int] = {"limit": _PAGE}
        while True:
            page = self._done(self._http.get("/node/inference-servers/", params=query))
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            query["cursor"] = page["next_cursor"]

    def _ask_whether_up(self) -> None:
        try:
            answer = self._http.get("/readyz")
        except httpx.TransportError as error:
            raise ServerFailedError(str(error)) from error
        if not answer.is_success:
            raise ServerFailedError(answer.text[:300])

    def _stop(self) -> None:
        self._http.close()
        self.started.stop()

    @staticmethod
    def _done(answer: httpx.Response) -> Json:
        if not answer.is_success:
            request = answer.request
            raise SetUpError(f"{request.method} {request.url.path}: {answer.text[:500]}")
        document: Json = answer.json()
        return document
