"""The worker as the supervisor keeps it: asleep, awake, and not there at all."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from gateway.broker.wake_file import WakeFile
from slipstream.commands.up import main
from slipstream.supervisor.process import ChildProcess, Lifeline
from slipstream.supervisor.workers import ManagedWorker
from tests.slipstream.programs import CRASHES, IDLE, STEADY
from tests.slipstream.running import Up
from tests.slipstream.server_group import status_printer


class Kept:
    """Workers, and the processes that they have started."""

    def __init__(self, command: Sequence[str], run: Path, concurrency: int) -> None:
        self.wake_file = WakeFile(run)
        self.pids: list[int] = []
        self._command = command
        self._lifeline = Lifeline()
        self.workers = ManagedWorker(
            self._spawn, status_printer(), concurrency=concurrency, wake_file=WakeFile(run)
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - it is about other processes
                await asyncio.sleep(0.01)

    def running(self) -> list[int]:
        return [pid for pid in self.pids if psutil.pid_exists(pid)]

    async def _spawn(self, _key: str) -> ChildProcess:
        child = ChildProcess.spawn(self._command, lifeline=self._lifeline)
        self.pids.append(child.pid)
        return child


@asynccontextmanager
async def keeping(
    command: Sequence[str], run: Path, *, concurrency: int = 2
) -> AsyncIterator[Kept]:
    kept = Kept(command, run, concurrency)
    task = asyncio.create_task(kept.workers.run())
    try:
        yield kept
    finally:
        task.cancel()
        await kept.workers.drain(5)
    assert not kept.running()


async def test_it_runs_from_the_start_on_and_not_before(tmp_path: Path) -> None:
    async with keeping(STEADY, tmp_path) as kept:
        await asyncio.sleep(0)
        assert not kept.pids
        kept.workers.start()
        kept.workers.start()
        await kept.until(lambda: len(kept.running()) == 1)
    assert len(kept.pids) == 1


async def test_none_is_kept_where_none_is_asked_for(tmp_path: Path) -> None:
    async with keeping(STEADY, tmp_path, concurrency=0) as kept:
        kept.workers.start()
        kept.wake_file.touch()
        await asyncio.sleep(0.3)
    assert not kept.pids


async def test_one_that_ends_comes_back(tmp_path: Path) -> None:
    async with keeping(CRASHES, tmp_path) as kept:
        kept.workers.start()
        await kept.until(lambda: len(kept.pids) > 2)


async def test_one_with_nothing_to_do_sleeps_until_the_bell_rings(tmp_path: Path) -> None:
    async with keeping(IDLE, tmp_path) as kept:
        kept.workers.start()
        await kept.until(lambda: len(kept.pids) == 1 and not kept.running())
        kept.wake_file.touch()
        await kept.until(lambda: len(kept.pids) == 2)


async def test_one_that_a_run_is_on_its_way_to_does_not_go_to_sleep(tmp_path: Path) -> None:
    ahead = time.time() + 1000
    async with keeping(IDLE, tmp_path) as kept:
        kept.wake_file.touch()
        os.utime(tmp_path / "wake", (ahead, ahead))
        kept.workers.start()
        await kept.until(lambda: len(kept.running()) == 1)
        await asyncio.sleep(0.5)
        assert len(kept.running()) == 1
        os.utime(tmp_path / "wake", (1, 1))
        await kept.until(lambda: not kept.running())


def worker_of(up: Up) -> psutil.Process:
    """Return the foreman: the only one that is the supervisor's own child."""
    (foreman,) = [
        child
        for child in psutil.Process(up.process.pid).children()
        if "gateway.worker" in child.cmdline()
    ]
    return foreman


def test_up_starts_a_worker_that_comes_back_when_it_is_killed(tmp_path: Path) -> None:
    up = Up(tmp_path / "state", "--no-demo", "--worker-concurrency", "3")
    up.until("Flows of type api: a worker for 3 runs")
    up.until("ready for 3 runs at a time")
    up.children()
    worker = worker_of(up)
    worker.kill()
    up.until("was killed by SIGKILL; started again")
    up.until("ready for 3 runs at a time")
    assert worker_of(up) != worker
    assert up.stop() == 0
    text = "".join(up.output)
    assert re.search(r"gateway +stopped", text)
    assert re.search(r"gateway +stopped.*worker +stopped", text, re.DOTALL)


def test_an_idle_worker_of_up_sleeps_and_a_run_wakes_it(tmp_path: Path) -> None:
    up = Up(tmp_path / "state", "--no-demo", "--worker-idle-seconds", "1")
    up.until("ready for")
    up.until("worker             sleeps")
    WakeFile(tmp_path / "state" / "run").touch()
    up.until("woken by a run")
    up.until("ready for")
    assert up.stop() == 0


@pytest.mark.parametrize(
    "options",
    [
        ("--worker-concurrency", "-1"),
        ("--worker-concurrency", "many"),
        ("--worker-idle-seconds", "0"),
        ("--worker-idle-seconds", "inf"),
    ],
)
def test_nonsense_is_refused(options: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(options)
    assert caught.value.code == 2
    assert options[0] in capsys.readouterr().err


def test_a_broker_that_cannot_be_is_said_in_one_line(tmp_path: Path) -> None:
    up = Up(tmp_path / "state", "--no-demo", SLIPSTREAM_BROKER_URL="kafka://secret@host")
    assert up.ended() == 3
    assert "SLIPSTREAM_BROKER_URL is kafka:" in up.errors
    assert "secret" not in up.errors
