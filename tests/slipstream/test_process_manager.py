"""The process manager with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psutil

from slipstream.supervisor.process import ChildProcess, Lifeline
from slipstream.supervisor.process_manager import ProcessManager
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
    async with managing(IGNORES_SIGTERM, grace=0.2) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: "a ready" in entries)
    assert events.entries[-2:] == ["a stopped: was killed by SIGKILL", "a forgotten"]


async def test_a_stopped_process_is_killed_and_restarted() -> None:
    async with managing(STOPS_ITSELF, unresponsive_seconds=0.5) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: entries.count("a ready") == 2)
        assert events.entries[3] == "a unresponsive"
        assert events.entries[4].startswith("a crashed: was killed: no heartbeat for 0.")


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
