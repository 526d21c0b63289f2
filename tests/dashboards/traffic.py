"""Calls and runs of every kind, so that each panel has something to show."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests import onnx_models
from tests.gateway.webhooks.receiver import Receiver
from tests.slipstream.running import environment, free_port
from tests.system.flow_documents import callback_flow, transform_flow, waiting_flow
from tests.system.installation import Installation, Json, chain
from tests.timing import TIMEOUT_SECONDS

_ROW: Json = {"x": [[5.1, 3.5, 1.4, 0.2]]}
_ALL_EVENTS = ["run.completed", "run.failed"]
_RUN_SECONDS = 0.02


class Traffic:
    """What calls an installation until it is stopped."""

    def __init__(self, installation: Installation, receiver: Receiver, folder: Path) -> None:
        """Add models and deployments, and start a worker beside the installation."""
        self._installation = installation
        self._receiver, self._folder = receiver, folder
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._add_models(folder)
        self.fraud = installation.deploy(chain("fraud"), name="Fraud score")
        self._vision = installation.deploy(chain("vision"), name="Image tags")
        self.address = self._run("Address lookup", transform_flow(), "sync", "server")
        self._report = self._run("Nightly report", waiting_flow(0.8), "async", "api")
        self._import = self._run("Import", self._unreliable(0.2), "async", "server")
        self._score = self._run("Credit check", self._unreliable(0.05), "sync", "server")
        self._orders = self._run("Orders", transform_flow(), "async", "server", "ok")
        self._returns = self._run("Returns", transform_flow(), "async", "server", "status/503")
        self._rare = self._run("Rarely used", chain("rare"), "sync", "server")
        self._keys = {name: self._key(name) for name in ("shop", "app", "partner")}
        self._keys["trial"] = self._key("trial", calls_per_minute=30)
        command = [sys.executable, "-m", "slipstream", "worker", "--concurrency", "2"]
        command += ["--state", str(installation.up.state)]
        command += ["--metrics", f"127.0.0.1:{free_port()}"]
        self._worker = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)

    def _add_models(self, folder: Path) -> None:
        builders: dict[str, Callable[[Path], Path]] = {
            "fraud": onnx_models.mlp,
            "rare": onnx_models.mlp,
            "vision": lambda path: onnx_models.slow_to_run(path, _RUN_SECONDS),
        }
        for name, build in builders.items():
            self._installation.add_model(name, build(folder / f"{name}.onnx"))
        self._installation.serve("fraud", replicas=2)
        self._installation.serve("vision")
        self._installation.serve("rare", idle_timeout_seconds=2)

    def _unreliable(self, share: float) -> Json:
        """Return a flow of which this share of runs fails."""
        return callback_flow(self._receiver.url(f"sometimes/{share:g}"), 0.0)

    def _run(self, name: str, flow: Json, mode: str, kind: str, hook: str = "") -> str:
        settings: Json = {"name": name, "execution_mode": mode, "deployment_type": kind}
        if hook:
            settings["notification_method"] = "webhook"
            settings["callback_url"] = self._receiver.url(hook)
            settings["webhook_events"] = _ALL_EVENTS
        return self._installation.deploy(flow, **settings)

    def _key(self, name: str, **limits: int) -> str:
        made = self._installation.post("/node/api-keys/", {"name": name, "limits": limits})
        key: str = made["key"]
        return key

    def start(self) -> None:
        """Call from now on."""
        self._installation.add_model("fraud", onnx_models.mlp(self._folder / "second.onnx"))
        self._installation.post(
            f"/node/deployments/{self.fraud}/rollout/", {"strategy": "canary", "weight": 20}
        )
        vector = {"x": [1.0, 2.0, 3.0]}
        for seconds, deployment, body, key in (
            (0.02, self.fraud, _ROW, "shop"),
            (0.05, self.fraud, _ROW, "app"),
            (0.4, self.fraud, _ROW, "trial"),
            (0.5, self.fraud, {}, "partner"),
            (0.04, self._vision, vector, "app"),
            (0.06, self._vision, vector, "partner"),
            (0.2, self.address, {"x": 21}, "shop"),
            (0.5, self._report, {"x": 1}, "shop"),
            (0.7, self._import, {"x": 1}, "partner"),
            (0.5, self._score, {"x": 1}, "partner"),
            (0.4, self._orders, {"x": 1}, "shop"),
            (1.5, self._returns, {"x": 1}, "shop"),
            (9.0, self._rare, _ROW, "app"),
        ):
            self._repeat(seconds, deployment, body, key)

    def _repeat(self, seconds: float, deployment: str, body: Json, key: str) -> None:
        """Call again and again from a thread: every `seconds`, less and more in turns."""

        def call() -> None:
            headers = {"X-API-Key": self._keys[key]}
            url = f"{self._installation.up.url}/node/deployment-trigger/{deployment}/"
            with httpx.Client(headers=headers, timeout=TIMEOUT_SECONDS) as client:
                while not self._over.wait(seconds * (1.3 + math.sin(time.monotonic() / 12))):
                    client.post(url, json={"input_data": body})

        thread = threading.Thread(target=call)
        thread.start()
        self._threads.append(thread)

    def stop(self) -> None:
        """End all calls, and the worker."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._worker.send_signal(signal.SIGTERM)
        self._worker.wait(TIMEOUT_SECONDS)
