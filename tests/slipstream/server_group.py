"""A group of inference servers of one model, run by a process manager."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import psutil

from model_store.folder_store import FolderStore
from model_store.verification import Verifier
from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.process import ChildProcess
from slipstream.supervisor.process_manager import ProcessManager
from slipstream.supervisor.spawner import ServerSpawner
from tests import onnx_models
from tests.inference_server.requests import arrays, fp32, infer_request
from tests.slipstream.event_log import EventLog
from tests.stub import InferenceStub


def publish(folder: Path) -> Path:
    """Return a store with one model, `mlp`."""
    verifier = Verifier((sys.executable, "-m", "inference_server.runtime.verify"))
    FolderStore(folder / "store").publish(
        onnx_models.mlp(folder / "m.onnx"), "mlp", verifier=verifier
    )
    return folder / "store"


def status_printer() -> StatusPrinter:
    """Return one that prints steps."""
    return StatusPrinter(as_json=False, started_at=time.monotonic())


class ServerGroup:
    """Servers of `mlp` by key.

    Attributes:
        models: by key, the name of another model that its server has.
    """

    def __init__(self, store: Path, sockets: Path, source: ServerSpawner) -> None:
        self.source = source
        self.events = EventLog()
        self.models: dict[str, str] = {}
        self.manager = ProcessManager(self._spawn, self.events)
        self._store = store
        self._sockets = sockets

    def process(self, key: str) -> psutil.Process:
        """The process of a key's server."""
        return psutil.Process(self.manager.pids[key])

    async def until_ready(self, *keys: str, times: int = 1) -> None:
        """Return when each has become ready that often."""
        for key in keys:
            await self.events.until(lambda entries, key=key: entries.count(f"{key} ready") == times)

    def answers(self, *keys: str) -> bool:
        """Return whether the servers compute correct results."""
        return all(abs(self.sum(key) - 1) < 1e-5 for key in keys)

    def sum(self, key: str) -> float:
        """The sum of what the server of `key` answers: probabilities."""
        with grpc.insecure_channel(f"unix:{self.socket(key)}") as channel:
            answer = InferenceStub(channel).ModelInfer(
                infer_request("mlp", {"x": fp32([1, 2, 3, 4])}), timeout=10
            )
        return float(arrays(answer)["y"].sum())

    def socket(self, key: str) -> Path:
        """Where the server of a key listens."""
        return self._sockets / f"{key}.sock"

    async def _spawn(self, key: str) -> ChildProcess:
        model = self.models.get(key, "mlp")
        served = ["--store", str(self._store), "--model", model, "--version", "1"]
        return await self.source.spawn([*served, "--socket", str(self.socket(key))])


@asynccontextmanager
async def serve_group(store: Path, source: ServerSpawner) -> AsyncIterator[ServerGroup]:
    """Yield a group; check at the end that no process of it is left, not even a zombie."""
    with TemporaryDirectory(prefix="ss-") as sockets:
        running = ServerGroup(store, Path(sockets), source)
        tasks = [asyncio.create_task(each.run()) for each in (running.source, running.manager)]
        try:
            yield running
        finally:
            for task in tasks:
                task.cancel()
            await running.manager.drain(10)
            await running.source.drain(10)
        assert not [pid for pid in running.events.pids if psutil.pid_exists(pid)]
