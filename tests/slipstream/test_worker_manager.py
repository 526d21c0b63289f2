"""The worker manager with small real programs, and the worker of `slipstream up`."""

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

from gateway.broker.worker_files import WakeFile
from gateway.fleet.states import State
from gateway.fleet.supervisor_metrics import SupervisorMetrics
from slipstream.commands.up import main
from slipstream.supervisor.process import ChildProcess, Lifeline
from slipstream.supervisor.worker_manager import WorkerManager
from telemetry.instruments import Registry
from tests.child_processes import children
from tests.slipstream.cli import Cli
from tests.slipstream.programs import BUSY, CRASHES, IDLE, STALLS, STEADY
from tests.slipstream.running import Up
from tests.slipstream.server_group import status_printer
from tests.timing import TIMEOUT_SECONDS, eventually


class Managed:
    """A worker manager, and the processes that it has started."""

    def __init__(self, command: Sequence[str], run: Path, concurrency: int) -> None:
        self.wake_file = WakeFile(run)
        self.pids: list[int] = []
        self._command = command
        self._lifeline = Lifeline()
        self.manager = WorkerManager(
            self._spawn,
            status_printer(),
            concurrency=concurrency,
            wake_file=WakeFile(run),
            metrics=SupervisorMetrics(Registry()),
            idle_seconds=0.3,
        )

    def start(self) -> None:
        self.manager.start()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not condition():  # noqa: ASYNC110 - it is about other processes
                await asyncio.sleep(0.01)

    def running(self) -> list[int]:
        return [pid for pid in self.pids if psutil.pid_exists(pid)]

    def states(self) -> list[tuple[str, State]]:
        return [(it.name, it.state) for it in self.manager.processes()]

    def _spawn(self) -> ChildProcess:
        child = ChildProcess.spawn(self._command, lifeline=self._lifeline)
        self.pids.append(child.pid)
        return child


@asynccontextmanager
async def managing(
    command: Sequence[str], run: Path, *, concurrency: int = 2
) -> AsyncIterator[Managed]:
    managed = Managed(command, run, concurrency)
    task = asyncio.create_task(managed.manager.run())
    try:
        yield managed
    finally:
        task.cancel()
        await managed.manager.drain(5)
    assert not managed.running()


async def test_a_worker_runs_from_start_on(tmp_path: Path) -> None:
    async with managing(STEADY, tmp_path) as managed:
        await asyncio.sleep(0)
        assert not managed.pids
        managed.start()
        managed.start()
        assert managed.states() == [("worker", State.BOOTING)]
        await managed.until(lambda: managed.states() == [("worker", State.READY)])
        assert [it.pid for it in managed.manager.processes()] == managed.running()
    assert len(managed.pids) == 1


async def test_a_concurrency_of_zero_starts_no_worker(tmp_path: Path) -> None:
    async with managing(STEADY, tmp_path, concurrency=0) as managed:
        managed.start()
        managed.wake_file.touch()
        await asyncio.sleep(0.3)
    assert not managed.pids


async def test_a_worker_that_ends_is_started_again(tmp_path: Path) -> None:
    async with managing(CRASHES, tmp_path) as managed:
        managed.start()
        await managed.until(lambda: len(managed.pids) > 2)


async def test_a_stalled_worker_is_replaced_at_once_and_ends(tmp_path: Path) -> None:
    async with managing(STALLS, tmp_path) as managed:
        managed.start()
        await managed.until(lambda: len(managed.pids) > 2)
        await managed.until(lambda: not psutil.pid_exists(managed.pids[0]))


async def test_an_idle_worker_is_stopped_until_the_wake_file_is_touched(tmp_path: Path) -> None:
    async with managing(IDLE, tmp_path) as managed:
        managed.start()
        await managed.until(lambda: len(managed.pids) == 1 and not managed.running())
        await managed.until(lambda: managed.states() == [("worker", State.STOPPED)])
        (asleep,) = managed.manager.processes()
        assert (asleep.reason, asleep.pid, asleep.concurrency) == (
            "asleep until the next run",
            None,
            4,
        )
        managed.wake_file.touch()
        await managed.until(lambda: len(managed.pids) == 2)


async def test_a_busy_worker_is_not_stopped(tmp_path: Path) -> None:
    async with managing(BUSY, tmp_path) as managed:
        managed.start()
        await managed.until(lambda: len(managed.running()) == 1)
        await asyncio.sleep(1)
        assert len(managed.running()) == 1


async def test_an_idle_worker_runs_on_while_a_run_is_on_its_way(tmp_path: Path) -> None:
    ahead = time.time() + 1000
    async with managing(IDLE, tmp_path) as managed:
        managed.wake_file.touch()
        os.utime(tmp_path / "wake", (ahead, ahead))
        managed.start()
        await managed.until(lambda: len(managed.running()) == 1)
        await asyncio.sleep(0.8)
        assert len(managed.running()) == 1
        os.utime(tmp_path / "wake", (1, 1))
        await managed.until(lambda: not managed.running())


def worker_of(up: Up) -> psutil.Process:
    """Return the worker: the supervisor's own child, not those of it."""
    (found,) = children("gateway.worker", up.process.pid)
    return found


def listed(up: Up) -> list[tuple[str, str, str, int | None]]:
    """The kind, the name, the state and the concurrency of what `up` runs."""
    shown = Cli(up.state).answer("hosts", "processes")["items"]
    return [(it["kind"], it["name"], it["state"], it["concurrency"]) for it in shown]


@pytest.mark.long
def test_up_starts_a_worker_and_a_killed_one_again(tmp_path: Path) -> None:
    up = Up(tmp_path / "state", "--no-demo", "--worker-concurrency", "3")
    up.until("Flows of type api: a worker for 3 sync and 3 async runs")
    up.until("ready for 3 sync and 3 async runs at a time")
    up.children()
    killed = worker_of(up)
    killed.kill()
    up.until("was killed by SIGKILL; started again")
    up.until("ready for 3 sync and 3 async runs at a time")
    assert worker_of(up) != killed
    expected = [
        ("gateway", "gateway", "ready", None),
        ("worker", "worker", "ready", 6),
    ]
    eventually(lambda: listed(up), lambda found: found == expected)
    assert up.stop() == 0
    assert listed(up) == []
    text = "".join(up.output)
    assert re.search(r"gateway +stopped.*worker +stopped", text, re.DOTALL)


@pytest.mark.long
def test_an_idle_worker_of_up_sleeps_and_a_run_wakes_it(tmp_path: Path) -> None:
    up = Up(tmp_path / "state", "--no-demo", "--worker-idle-seconds", "1")
    up.until("ready for")
    up.until("worker             asleep until the next run")
    eventually(lambda: listed(up)[1:], lambda found: {it[2] for it in found} == {"stopped"})
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
def test_an_invalid_option_is_refused(
    options: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(options)
    assert caught.value.code == 2
    assert options[0] in capsys.readouterr().err


@pytest.mark.long
def test_an_unknown_broker_url_is_reported_in_one_line(tmp_path: Path) -> None:
    up = Up(tmp_path / "state", "--no-demo", SLIPSTREAM_BROKER_URL="kafka://secret@host")
    assert up.ended() == 3
    assert "SLIPSTREAM_BROKER_URL is kafka:" in up.errors
    assert "secret" not in up.errors
