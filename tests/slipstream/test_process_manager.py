"""Children kept alive, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psutil

from slipstream.supervisor.process import ChildProcess, Lifeline
from slipstream.supervisor.process_manager import ProcessManager
from tests.slipstream.event_log import EventLog
from tests.slipstream.programs import CRASHES, EXITS_IDLE, FAILS, HALF_LINE, IGNORES_SIGTERM, STEADY


@asynccontextmanager
async def keeping(
    command: Sequence[str], *, grace: float = 5.0, rests: bool = False
) -> AsyncIterator[tuple[ProcessManager, EventLog]]:
    events = EventLog()
    lifeline = Lifeline()

    async def spawn(_key: str) -> ChildProcess:
        return ChildProcess.spawn(command, lifeline=lifeline)

    manager = ProcessManager(spawn, events, on_idle=events.exited_idle if rests else None)
    task = asyncio.create_task(manager.run())
    try:
        yield manager, events
    finally:
        task.cancel()
        await manager.drain(grace)
    assert not any(psutil.pid_exists(pid) for pid in events.pids)


async def test_what_is_wanted_runs_until_it_is_not() -> None:
    async with keeping(STEADY) as (manager, events):
        manager.set_desired({"a": 1, "b": 1})
        await events.until(lambda entries: {"a ready", "b ready"} <= set(entries))
        manager.set_desired({"b": 1})
        await events.until(lambda entries: "a forgotten" in entries)
        assert list(manager.pids) == ["b"]


async def test_whoever_is_killed_comes_back() -> None:
    async with keeping(STEADY) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: "a ready" in entries)
        os.kill(manager.pids["a"], signal.SIGKILL)
        await events.until(lambda entries: entries.count("a ready") == 2)
        assert "a crashed: was killed by SIGKILL" in events.entries


async def test_whoever_keeps_dying_is_started_again_and_again() -> None:
    async with keeping(CRASHES) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: entries.count("a spawned") == 3)
        assert events.entries[:3] == ["a spawned", "a loading", "a crashed: exited with status 3"]


async def test_a_failed_one_stays_and_is_started_anew_when_wanted_anew() -> None:
    async with keeping(FAILS) as (manager, events):
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


async def test_whoever_rests_is_let_sleep_and_started_when_wanted_anew() -> None:
    async with keeping(EXITS_IDLE, rests=True) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: "a rests" in entries)
        manager.set_desired({"a": 1})
        assert manager.pids == {}
        manager.set_desired({"a": 2})
        await events.until(lambda entries: entries.count("a rests") == 2)
        assert events.entries == ["a spawned", "a ready", "a rests"] * 2
        manager.set_desired({})
        await events.until(lambda entries: "a forgotten" in entries)
        assert len(events.entries) == 7


async def test_where_nobody_may_rest_that_is_a_crash() -> None:
    async with keeping(EXITS_IDLE) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: entries.count("a ready") == 2)
        assert "a crashed: exited with status 4" in events.entries


async def test_half_a_line_is_passed_over() -> None:
    async with keeping(HALF_LINE) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: "a crashed: exited with status 0" in entries)


async def test_draining_kills_whoever_does_not_go() -> None:
    async with keeping(IGNORES_SIGTERM, grace=0.2) as (manager, events):
        manager.set_desired({"a": 1})
        await events.until(lambda entries: "a ready" in entries)
    assert events.entries[-2:] == ["a stopped: was killed by SIGKILL", "a forgotten"]


async def test_a_command_that_cannot_be_started_is_tried_again() -> None:
    async with keeping(["/nowhere/at-all"]) as (manager, events):
        manager.set_desired({"a": 1})
        failure = "a crashed: could not be started (No such file or directory)"
        await events.until(lambda entries: entries.count(failure) == 2)
