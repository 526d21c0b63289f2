"""Inference servers from a fork server: real processes, and what becomes of them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import psutil
import pytest

from model_store.store import Store
from model_store.verification import Verifier
from slipstream.announcer import Announcer
from slipstream.supervisor.fork_server import ForkServer
from slipstream.supervisor.keeper import Keeper
from slipstream.supervisor.nursery import Nursery
from slipstream.supervisor.process import Child, Lifeline
from tests import onnx_models
from tests.inference_server.requests import arrays, fp32, infer_request
from tests.slipstream.diary import Diary
from tests.stub import InferenceStub

pytestmark = pytest.mark.skipif(not ForkServer.SUPPORTED, reason="this system has no fork server")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one model, `mlp`."""
    folder = tmp_path_factory.mktemp("models")
    verifier = Verifier((sys.executable, "-m", "inference_server.runtime.verify"))
    Store(folder / "store").publish(onnx_models.mlp(folder / "m.onnx"), "mlp", verify=verifier)
    return folder / "store"


class Family:
    """Servers of `mlp` by key, kept alive, from a nursery."""

    def __init__(self, store: Path, sockets: Path, *, forks: bool = True) -> None:
        lifeline = Lifeline()
        first = ForkServer.start(lifeline) if forks else None
        announcer = Announcer(as_json=False, started_at=time.monotonic())
        self.nursery = Nursery(lifeline, announcer, running=first)
        self.diary = Diary()
        self.keeper = Keeper(self._spawn, self.diary)
        self._store = store
        self._sockets = sockets

    def process(self, key: str) -> psutil.Process:
        """The server of a key."""
        return psutil.Process(self.keeper.pids[key])

    async def until_ready(self, key: str, times: int = 1) -> None:
        """Return when it has become ready that often."""
        await self.diary.until(lambda entries: entries.count(f"{key} ready") == times)

    def answers(self, key: str) -> bool:
        """Whether the server of `key` computes what it should."""
        with grpc.insecure_channel(f"unix:{self._socket(key)}") as channel:
            answer = InferenceStub(channel).ModelInfer(
                infer_request("mlp", {"x": fp32([1, 2, 3, 4])}), timeout=10
            )
        return bool(abs(arrays(answer)["y"].sum() - 1) < 1e-5)

    def _socket(self, key: str) -> Path:
        return self._sockets / f"{key}.sock"

    async def _spawn(self, key: str) -> Child:
        served = ["--store", str(self._store), "--model", "mlp", "--version", "1"]
        return await self.nursery.spawn([*served, "--socket", str(self._socket(key))])


@asynccontextmanager
async def family(store: Path, *, forks: bool = True) -> AsyncIterator[Family]:
    """Yield a family; see in the end that none of it is left, not even a zombie."""
    with TemporaryDirectory(prefix="ss-") as sockets:
        running = Family(store, Path(sockets), forks=forks)
        tasks = [asyncio.create_task(kept.run()) for kept in (running.nursery, running.keeper)]
        try:
            yield running
        finally:
            for task in tasks:
                task.cancel()
            await running.keeper.drain(10)
            await running.nursery.drain(10)
        assert not [pid for pid in running.diary.pids if psutil.pid_exists(pid)]
        assert not (forks and fork_servers())


def fork_servers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child.name() == "fork server"]


def descriptors(pid: int) -> list[str]:
    """Return what a process has open; `socket:[]` instead of `socket:[4711]`."""
    links = Path(f"/proc/{pid}/fd").iterdir()
    return sorted(re.sub(r"\d+", "", str(link.readlink())) for link in links)


async def test_a_server_is_forked_and_is_our_child_like_one_that_was_started_directly(
    store: Path,
) -> None:
    async with family(store) as forked, family(store, forks=False) as direct:
        forked.keeper.want({"a": 1, "b": 1})
        direct.keeper.want({"c": 1})
        await forked.until_ready("a")
        await forked.until_ready("b")
        await direct.until_ready("c")
        servers = [forked.process("a"), forked.process("b"), direct.process("c")]
        assert [server.ppid() for server in servers] == [os.getpid()] * 3
        assert [os.getpgid(server.pid) for server in servers] == [server.pid for server in servers]
        assert [server.name() for server in servers] == ["mlp 1"] * 3
        modules = [server.cmdline()[2] for server in servers]
        assert modules == [*["inference_server.fork_server"] * 2, "inference_server"]
        assert descriptors(servers[1].pid) == descriptors(servers[2].pid)
        assert servers[1].environ() == servers[2].environ()
        assert forked.answers("a")
        assert forked.answers("b")
        (fork_server,) = fork_servers()
        assert fork_server.num_threads() == 1


async def test_the_environment_reaches_a_server(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPSTREAM_INFERENCE_QUEUE_CALLS", "none at all")
    async with family(store) as running:
        running.keeper.want({"a": 1})
        await running.diary.until(
            lambda entries: "a crashed: exited with status 2" in entries,
        )


async def test_a_fork_server_that_is_killed_is_replaced_and_its_children_go_on(
    store: Path,
) -> None:
    async with family(store) as running:
        running.keeper.want({"a": 1, "b": 1})
        await running.until_ready("a")
        await running.until_ready("b")
        (first,) = fork_servers()
        first.kill()
        running.keeper.want({"a": 1, "b": 1, "c": 1})
        await running.until_ready("c")
        (second,) = fork_servers()
        assert second.pid != first.pid
        assert running.process("c").cmdline() == second.cmdline()
        assert all(running.answers(key) for key in "abc")

        os.kill(running.keeper.pids["a"], signal.SIGKILL)
        await running.until_ready("a", times=2)
        assert "a crashed: was killed by SIGKILL" in running.diary.entries
        running.keeper.want({"a": 1, "c": 1})
        await running.diary.until(lambda entries: "b forgotten" in entries)
        assert "b stopped: exited with status 0" in running.diary.entries
        assert all(running.answers(key) for key in "ac")


async def test_a_fork_server_that_hangs_is_replaced(store: Path) -> None:
    async with family(store) as running:
        running.keeper.want({"a": 1})
        await running.until_ready("a")
        (first,) = fork_servers()
        first.suspend()
        running.keeper.want({"a": 1, "b": 1})
        await running.until_ready("b")
        assert first not in fork_servers()
        assert running.answers("a")


async def test_a_server_is_asked_to_go_before_it_is_there(store: Path) -> None:
    async with family(store) as running:
        running.keeper.want({"a": 1})
        await asyncio.sleep(0)
        running.keeper.want({})
        await running.diary.until(lambda entries: "a forgotten" in entries)


async def test_servers_that_are_killed_while_they_are_born_leave_nothing(store: Path) -> None:
    async with family(store) as running:
        running.keeper.want({"a": 1, "b": 1, "c": 1})
        await running.diary.until(lambda entries: "a spawned" in entries)
        running.keeper.kill()
        running.nursery.kill()
