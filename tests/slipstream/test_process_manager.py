"""The process manager with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psutil
import pytest
from structlog.testing import capture_logs

from gateway.fleet.states import State
from slipstream.supervisor import process_manager
from slipstream.supervisor.process import AdoptedProcess, ChildProcess, Lifeline
from slipstream.supervisor.process_manager import ProcessManager, ProcessStatus
from slipstream.supervisor.status_reader import StatusLine
from telemetry.logs import logger
from tests.slipstream.event_log import EventLog
from tests.slipstream.programs import (
    BEATS,
    CRASHES,
    EXITS_IDLE,
    FAILS,
    HALF_LINE,
    IGNORES_SIGTERM,
    SAYS_WHY_IT_ENDS,
    STEADY,
    STOPS_ITSELF,
)
from tests.timing import TIMEOUT_SECONDS


@asynccontextmanager
async def managing(
    command: Sequence[str],
    *,
    grace: float = 5.0,
    idle: bool = False,
    unresponsive_seconds: float = 30.0,
) -> AsyncIterator[tuple[ProcessManager, EventLog]]:
    events = EventLog()
    lifeline = Lifeline()

    async def spawn(_key: str) -> ChildProcess:
        return ChildProcess.spawn(command, lifeline=lifeline)

    manager = ProcessManager(
        spawn,
        events,
        on_idle=events.exited_idle if idle else None,
        unresponsive_seconds=unresponsive_seconds,
    )
    task = asyncio.create_task(manager.run())
    try:
        yield manager, events
    finally:
        task.cancel()
        await manager.drain(grace)
    assert not any(psutil.pid_exists(pid) for pid in events.pids)


async def test_a_process_runs_while_its_key_is_desired() -> None:
    async with managing(STEADY) as (manager, events):
        manager.set_desired({"a": 1, "b": 1})
        await events.until(lambda entries: {"a ready", "b ready"} <= set(entries))
        manager.set_desired({"b": 1})
        await events.until(lambda entries: "a forgotten" in entries)
        assert list(manager.pids) == ["b"]


async def test_a_killed_process_is_restarted() -> None:
    async with managing(STEADY) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: "a ready" in entries)
        os.kill(manager.pids["a"], signal.SIGKILL)
        await events.until(lambda entries: entries.count("a ready") == 2)
        assert "a crashed: was killed by SIGKILL" in events.entries


async def test_the_log_says_how_each_process_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    # `capture_logs` does not see a logger that was used under an earlier configuration
    monkeypatch.setattr(process_manager, "log", logger("slipstream.supervisor.process_manager"))
    with capture_logs() as logs:
        async with managing(STEADY) as (manager, events):
            manager.set_desired({"a": 1})
            await events.until(lambda entries: "a ready" in entries)
            os.kill(manager.pids["a"], signal.SIGKILL)
            await events.until(lambda entries: entries.count("a ready") == 2)
            manager.set_desired({})
            await events.until(lambda entries: "a forgotten" in entries)
        async with managing(EXITS_IDLE, idle=True) as (manager, idle_events):
            manager.set_desired({"a": 1})
            await idle_events.until(lambda entries: "a idle" in entries)
        async with managing(["/no/such/program"]) as (manager, failed_events):
            manager.set_desired({"a": 1})
            await failed_events.until(lambda entries: len(entries) == 1)
    killed, asked, idle, missing, *_ = (dict(line) for line in logs)
    first, second = events.pids
    exited = {"event": "process_exited", "name": "a"}
    assert killed == exited | {
        "log_level": "warning",
        "pid": first,
        "signal": "SIGKILL",
        "reason": "was killed by SIGKILL",
        "restart_in_seconds": 0.1,
    }
    assert asked == exited | {
        "log_level": "info",
        "pid": second,
        "signal": "SIGTERM",
        "reason": "was killed by SIGTERM",
    }
    (pid,) = idle_events.pids
    status = {"exit_status": 4, "reason": "idle"}
    assert idle == exited | status | {"log_level": "info", "pid": pid}
    assert missing == {
        "event": "process_not_started",
        "name": "a",
        "log_level": "warning",
        "reason": "could not be started (No such file or directory)",
        "restart_in_seconds": 0.1,
    }


async def test_the_state_of_each_process_is_known() -> None:
    async with managing(STEADY) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: "a spawned" in entries)
        pid = manager.pids["a"]
        assert manager.statuses == {"a": ProcessStatus(state=State.BOOTING, pid=pid)}
        await events.until(lambda entries: "a ready" in entries)
        assert manager.statuses == {"a": ProcessStatus(state=State.READY, pid=pid)}
        os.kill(pid, signal.SIGKILL)
        await events.until(lambda entries: "a crashed: was killed by SIGKILL" in entries)
        why = "the process before it was killed by SIGKILL"
        assert manager.statuses == {"a": ProcessStatus(state=State.BOOTING, reason=why)}
        await events.until(lambda entries: entries.count("a ready") == 2)
        manager.set_desired({})
        await events.until(lambda entries: "a forgotten" in entries)
        assert manager.statuses == {}


async def test_the_state_and_the_end_of_a_process_that_has_failed_say_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process_manager, "log", logger("slipstream.supervisor.process_manager"))
    with capture_logs() as logs:
        async with managing(FAILS) as (manager, events):
            manager.set_desired({"a": 1})
            await events.until(lambda entries: any(it.startswith("a failed") for it in entries))
            pid = manager.pids["a"]
            assert manager.statuses["a"] == ProcessStatus(
                state=State.FAILED, reason="no such operator", pid=pid
            )
            os.kill(pid, signal.SIGKILL)
            await events.until(lambda entries: any(it.startswith("a crashed") for it in entries))
    assert [line["failure"] for line in logs] == ["no such operator"]


async def test_a_crashing_process_is_restarted_repeatedly() -> None:
    async with managing(CRASHES) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: entries.count("a spawned") == 3)
        assert events.entries[:3] == ["a spawned", "a loading", "a crashed: exited with status 3"]


async def test_a_failed_process_stays_and_a_new_generation_restarts_it() -> None:
    async with managing(FAILS) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: "a failed" in entries)
        manager.set_desired({"a": 1})
        manager.set_desired({"a": 2})
        await events.until(lambda entries: entries.count("a failed") == 2)
        assert [entry.partition(":")[0] for entry in events.entries] == [
            "a spawned",
            "a failed",
            "a stopped",
            "a spawned",
            "a failed",
        ]


async def test_an_idle_process_stays_stopped_until_a_new_generation() -> None:
    async with managing(EXITS_IDLE, idle=True) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: "a idle" in entries)
        manager.set_desired({"a": 1})
        assert manager.pids == {}
        manager.set_desired({"a": 2})
        await events.until(lambda entries: entries.count("a idle") == 2)
        assert events.entries == ["a spawned", "a ready", "a idle"] * 2
        manager.set_desired({})
        await events.until(lambda entries: "a forgotten" in entries)
        assert len(events.entries) == 7


async def test_an_idle_exit_is_a_crash_without_on_idle() -> None:
    async with managing(EXITS_IDLE) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: entries.count("a ready") == 2)
        assert "a crashed: exited with status 4" in events.entries


async def test_an_incomplete_status_line_is_ignored() -> None:
    async with managing(HALF_LINE) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: "a crashed: exited with status 0" in entries)


async def test_draining_kills_a_process_that_ignores_sigterm() -> None:
    async with managing(IGNORES_SIGTERM, grace=1.0) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: "a ready" in entries)
        manager.set_desired({})
        draining = ProcessStatus(state=State.DRAINING, pid=manager.pids["a"])
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while manager.statuses != {"a": draining}:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0)
    assert events.entries[-2:] == ["a stopped: was killed by SIGKILL", "a forgotten"]


async def test_a_stopped_process_is_killed_and_restarted() -> None:
    async with managing(STOPS_ITSELF, unresponsive_seconds=0.5) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: "a unresponsive" in entries)
        assert manager.statuses["a"].state is State.UNRESPONSIVE
        assert (manager.statuses["a"].reason or "").startswith("no heartbeat for ")
        await events.until(lambda entries: entries.count("a ready") == 2)
        assert events.entries[3] == "a unresponsive"
        assert events.entries[4].startswith("a crashed: was killed: no heartbeat for ")


async def test_a_process_that_is_stopped_before_its_first_heartbeat_is_replaced() -> None:
    async with managing(STEADY, unresponsive_seconds=0.5) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: "a ready" in entries)
        os.kill(manager.pids["a"], signal.SIGSTOP)
        await events.until(lambda entries: entries.count("a ready") == 2)
        assert len(events.pids) == 2


@pytest.mark.long
async def test_a_process_without_heartbeats_or_with_regular_ones_is_left_alone() -> None:
    for command in (STEADY, BEATS):
        async with managing(command, unresponsive_seconds=1.0) as (manager, events):
            manager.set_desired({"a": 1})
            await events.until(lambda entries: "a ready" in entries)
            await asyncio.sleep(2.0)
            assert "a unresponsive" not in events.entries


async def test_the_time_in_which_the_manager_itself_stands_still_does_not_count() -> None:
    async with managing(BEATS, unresponsive_seconds=1.0) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: "a heartbeat" in entries)
        os.kill(manager.pids["a"], signal.SIGSTOP)
        time.sleep(1.5)  # noqa: ASYNC251 - the loop is to stand still
        os.kill(manager.pids["a"], signal.SIGCONT)
        count = events.entries.count("a heartbeat")
        await events.until(lambda entries: entries.count("a heartbeat") > count + 5)
        assert "a unresponsive" not in events.entries


async def test_a_process_says_why_it_ends_itself() -> None:
    async with managing(SAYS_WHY_IT_ENDS) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: entries.count("a spawned") == 2)
        assert "a crashed: ended itself: a run went on" in events.entries


async def test_a_command_that_cannot_be_started_is_retried() -> None:
    async with managing(["/nowhere/at-all"]) as (manager, events):
        manager.set_desired({"a": 1})
        failure = "a crashed: could not be started (No such file or directory)"
        await events.until(lambda entries: entries.count(failure) == 2)


async def replace(
    manager: ProcessManager, key: str, *, ready_seconds: float = 30
) -> list[tuple[int, list[str]]]:
    """Replace a process; return the successor's id and what it has reported, if there is one."""
    ready: list[tuple[int, list[str]]] = []

    def on_ready(child: ChildProcess, reported: Sequence[StatusLine]) -> None:
        ready.append((child.pid, [line["event"] for line in reported]))

    replaced = await manager.replace(
        key, on_ready, ready_seconds=ready_seconds, grace=5.0, switch_seconds=0.0
    )
    assert replaced == bool(ready)
    return ready


async def test_a_process_is_replaced_when_its_successor_is_ready() -> None:
    async with managing(STEADY) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: "a ready" in entries)
        before = manager.pids["a"]
        ((successor, reported),) = await replace(manager, "a")
        assert reported == ["ready"]
        assert manager.pids == {"a": successor}
        await manager.replaced_ended()
        assert not psutil.pid_exists(before)
        os.kill(successor, signal.SIGKILL)
        await events.until(lambda entries: entries.count("a ready") == 2)
    ended = [entry for entry in events.entries if "stopped" in entry or "crashed" in entry]
    assert ended[0] == "a crashed: was killed by SIGKILL", "the end of the replaced one is silent"


async def test_a_process_goes_on_if_its_successor_does_not_become_ready() -> None:
    async with managing(FAILS) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: "a failed" in entries)
        before = manager.pids["a"]
        assert not await replace(manager, "a")
        assert manager.pids == {"a": before}
        assert psutil.pid_exists(before)


async def test_another_manager_goes_on_with_processes_that_were_let_go() -> None:
    async with managing(BEATS) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: "a ready" in entries)
        passed = await manager.detach()
        (child, state) = passed["a"]
        assert state.generation == 1
        heard = EventLog()
        successor = ProcessManager(manager._spawn, heard)  # the same program
        adopted = ChildProcess(AdoptedProcess(child.pid), os.dup(child.status_fd))
        successor.adopt("a", adopted, state)
        assert successor.statuses == {"a": ProcessStatus(state=State.READY, pid=child.pid)}
        successor.set_desired({"a": 1})
        task = asyncio.create_task(successor.run())
        await heard.until(lambda entries: "a heartbeat" in entries)
        assert successor.pids == {"a": child.pid}
        assert "a spawned" not in heard.entries
        os.kill(child.pid, signal.SIGKILL)
        await heard.until(lambda entries: "a ready" in entries)
        assert "a crashed: was killed by SIGKILL" in heard.entries
        task.cancel()
        await successor.drain(5.0)
        manager._pipes["a"].close()
        manager._children.clear()
        child.wait()
