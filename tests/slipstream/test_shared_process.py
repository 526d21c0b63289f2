"""Inference servers that share processes, with real processes."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from inference_server.spawn import ServerExitStatus
from model_store.folder_store import FolderStore
from model_store.verification import Verifier
from slipstream.supervisor.process import Lifeline
from slipstream.supervisor.shared_process import SharedProcess, SharedProcessPool
from tests import onnx_models
from tests.slipstream.server_group import publish, serve_group, status_printer
from tests.timing import TIMEOUT_SECONDS

MIB = 1024 * 1024


def pool(*, servers_per_process: int) -> SharedProcessPool:
    return SharedProcessPool(
        Lifeline(), status_printer(), servers_per_process=servers_per_process, log_options=()
    )


async def test_servers_share_a_process_and_each_answers(store: Path) -> None:
    async with serve_group(store, pool(servers_per_process=3)) as running:
        running.manager.set_desired(dict.fromkeys("abcd", 1))
        await running.until_ready(*"abcd")
        pids = [running.manager.pids[key] for key in "abcd"]
        assert sorted(pids.count(pid) for pid in set(pids)) == [1, 3]
        assert running.answers(*"abcd")
        assert {running.process(key).name() for key in "abcd"} == {"inference"}


async def test_servers_of_a_group_are_in_different_processes(store: Path) -> None:
    async with serve_group(store, pool(servers_per_process=3)) as running:
        words = ["--store", str(store), "--model", "mlp", "--version", "1", "--socket"]
        started = [
            await running.source.spawn([*words, str(store / name)], group=group)
            for name, group in (("a", "x"), ("b", "x"), ("c", ""), ("d", "y"))
        ]
        first, second, *others = [child.pid for child in started]
        assert first != second
        assert set(others) == {first}
        for child in started:
            child.terminate()
            await asyncio.to_thread(child.wait)
            os.close(child.status_fd)


async def test_a_stopped_server_leaves_alone_and_its_place_is_reused(store: Path) -> None:
    async with serve_group(store, pool(servers_per_process=2)) as running:
        running.manager.set_desired({"a": 1, "b": 1})
        await running.until_ready("a", "b")
        shared = running.manager.pids["a"]
        running.manager.set_desired({"b": 1})
        await running.events.until(lambda entries: "a forgotten" in entries)
        assert "a stopped: exited with status 0" in running.events.entries
        assert not running.socket("a").exists()
        assert running.answers("b")
        running.manager.set_desired({"b": 1, "c": 1})
        await running.until_ready("c")
        assert running.manager.pids["c"] == shared
        assert running.answers("b", "c")


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Keep all descriptors below 1200 open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    opened = [os.open(os.devnull, os.O_RDONLY)]
    while opened[-1] < 1200:
        opened.append(os.dup(opened[0]))
    yield
    for descriptor in opened:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
async def test_servers_start_and_stop_in_a_supervisor_with_more_than_1024_descriptors(
    store: Path,
) -> None:
    async with serve_group(store, pool(servers_per_process=2)) as running:
        running.manager.set_desired(dict.fromkeys("abc", 1))
        await running.until_ready(*"abc")
        assert running.answers(*"abc")
        running.manager.set_desired({"b": 1})
        await running.events.until(lambda entries: {"a forgotten", "c forgotten"} <= {*entries})
        assert running.answers("b")


async def test_a_process_ends_with_its_last_server(store: Path) -> None:
    async with serve_group(store, pool(servers_per_process=2)) as running:
        running.manager.set_desired({"a": 1})
        await running.until_ready("a")
        shared = running.process("a")
        running.manager.set_desired({})
        await running.events.until(lambda entries: "a forgotten" in entries)
        await asyncio.to_thread(shared.wait, 10)
        running.manager.set_desired({"b": 1})
        await running.until_ready("b")
        assert running.answers("b")


async def test_a_killed_process_is_restarted_with_all_its_servers(store: Path) -> None:
    async with serve_group(store, pool(servers_per_process=2)) as running:
        running.manager.set_desired({"a": 1, "b": 1})
        await running.until_ready("a", "b")
        os.kill(running.manager.pids["a"], signal.SIGKILL)
        await running.until_ready("a", "b", times=2)
        for key in "ab":
            assert f"{key} crashed: was killed by SIGKILL" in running.events.entries
        assert running.manager.pids["a"] == running.manager.pids["b"]
        assert running.answers("a", "b")


async def test_an_idle_server_ends_without_the_others(store: Path) -> None:
    async with serve_group(store, pool(servers_per_process=2)) as running:
        running.manager.set_desired({"a": 1})
        await running.until_ready("a")
        words = ["--store", str(store), "--model", "mlp", "--version", "1"]
        words += ["--socket", str(running.socket("idle")), "--idle-timeout", "0.5"]
        idle = await running.source.spawn(words)
        assert idle.pid == running.manager.pids["a"]
        said = b""
        while b'"ready"' not in said:
            said += (heard := await asyncio.to_thread(os.read, idle.status_fd, 4096))
            assert heard, said
        assert running.answers("idle")
        assert await asyncio.to_thread(idle.wait) == ServerExitStatus.IDLE
        os.close(idle.status_fd)
        assert running.answers("a")


async def test_a_server_that_is_stuck_ends_the_process_and_the_others_are_restarted(
    store: Path, tmp_path: Path
) -> None:
    model = onnx_models.slow_to_load(tmp_path / "slow.onnx", seconds=1.5)
    verifier = Verifier((sys.executable, "-m", "inference_server.runtime.verify"))
    FolderStore(store).publish(model, "slow", verifier=verifier)
    async with serve_group(store, pool(servers_per_process=2)) as running:
        running.manager.set_desired({"a": 1})
        await running.until_ready("a")
        words = ["--store", str(store), "--model", "slow", "--version", "1"]
        words += ["--socket", str(running.socket("slow")), "--load-seconds", "0.2"]
        stuck = await running.source.spawn(words)
        assert stuck.pid == running.manager.pids["a"]
        assert await asyncio.to_thread(stuck.wait) == ServerExitStatus.STUCK
        os.close(stuck.status_fd)
        await running.until_ready("a", times=2)
        assert "a crashed: exited with status 5" in running.events.entries
        assert running.answers("a")


async def test_a_server_with_invalid_arguments_does_not_affect_the_others(
    store: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with serve_group(store, pool(servers_per_process=4)) as running:
        running.manager.set_desired({"a": 1})
        await running.until_ready("a")
        wrong = await running.source.spawn(["--model", "mlp"])
        assert wrong.pid == running.manager.pids["a"]
        assert await asyncio.to_thread(wrong.wait) == 2
        os.close(wrong.status_fd)
        taken = ["--store", str(store), "--model", "mlp", "--version", "1"]
        taken += ["--socket", str(running.socket("a"))]
        second = await running.source.spawn(taken)
        assert await asyncio.to_thread(second.wait) == 1
        os.close(second.status_fd)
        assert running.answers("a")
    said = capfd.readouterr().err
    assert "the following arguments are required" in said
    assert "another process listens" in said
    assert "Traceback" not in said


def own_memory(process: psutil.Process) -> int:
    """Return the bytes that no other process shares: those of libraries depend on how many do."""
    return int(process.memory_full_info().uss)


@pytest.mark.long
async def test_a_stopped_server_releases_its_memory_and_threads(tmp_path: Path) -> None:
    model_bytes, store = 4 * MIB, publish(tmp_path)
    FolderStore(store).publish(
        onnx_models.heavy(tmp_path / "heavy.onnx", model_bytes),
        "heavy",
        verifier=Verifier((sys.executable, "-m", "inference_server.runtime.verify")),
    )
    async with serve_group(store, pool(servers_per_process=50)) as running:
        running.manager.set_desired({"first": 1, "last": 1})
        await running.until_ready("first", "last")
        process = running.process("first")
        keys = [f"k{number}" for number in range(15)]
        running.models = dict.fromkeys(keys, "heavy")
        size, threads = own_memory(process), process.num_threads()
        running.manager.set_desired(dict.fromkeys(["first", *keys], 1))
        await running.until_ready(*keys)
        assert own_memory(process) - size > len(keys) * model_bytes
        running.manager.set_desired({"first": 1})
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while own_memory(process) - size > 5 * model_bytes:  # noqa: ASYNC110 - nor is this
                await asyncio.sleep(0.05)
        assert running.answers("first")
        async with asyncio.timeout(TIMEOUT_SECONDS):
            # The loop's own pool may still grow by six; the 15 servers had at least a thread each.
            while process.num_threads() - threads > 10:  # noqa: ASYNC110 - a thread's end is no event
                await asyncio.sleep(0.05)


async def test_a_shared_process_ends_at_once_when_its_parent_is_gone(
    store: Path, tmp_path: Path
) -> None:
    lifeline = Lifeline()
    shared = SharedProcess.start(lifeline, log_options=())
    words = ["--store", str(store), "--model", "mlp", "--version", "1"]
    server = await shared.start_server([*words, "--socket", str(tmp_path / "s")], requested_at=0.0)
    lifeline.close()
    assert await shared.wait_closed() == 1
    assert server.wait() == 1
    os.close(server.status_fd)
