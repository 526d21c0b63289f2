"""Children kept alive, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psutil

from slipstream.supervisor.keeper import Keeper
from slipstream.supervisor.process import Child, Lifeline
from tests.slipstream.diary import Diary
from tests.slipstream.programs import DEAF, GARBLED, HOPELESS, RESTING, SICKLY, STEADY


@asynccontextmanager
async def keeping(
    command: Sequence[str], *, grace: float = 5.0, rests: bool = False
) -> AsyncIterator[tuple[Keeper, Diary]]:
    diary = Diary()
    lifeline = Lifeline()

    async def spawn(_key: str) -> Child:
        return Child.spawn(command, lifeline=lifeline)

    keeper = Keeper(spawn, diary, on_rest=diary.rested if rests else None)
    task = asyncio.create_task(keeper.run())
    try:
        yield keeper, diary
    finally:
        task.cancel()
        await keeper.drain(grace)
    assert not any(psutil.pid_exists(pid) for pid in diary.pids)


async def test_what_is_wanted_runs_until_it_is_not() -> None:
    async with keeping(STEADY) as (keeper, diary):
        keeper.want({"a": 1, "b": 1})
        await diary.until(lambda entries: {"a ready", "b ready"} <= set(entries))
        keeper.want({"b": 1})
        await diary.until(lambda entries: "a forgotten" in entries)
        assert list(keeper.pids) == ["b"]


async def test_whoever_is_killed_comes_back() -> None:
    async with keeping(STEADY) as (keeper, diary):
        keeper.want({"a": 1})
        await diary.until(lambda entries: "a ready" in entries)
        os.kill(keeper.pids["a"], signal.SIGKILL)
        await diary.until(lambda entries: entries.count("a ready") == 2)
        assert "a crashed: was killed by SIGKILL" in diary.entries


async def test_whoever_keeps_dying_is_started_again_and_again() -> None:
    async with keeping(SICKLY) as (keeper, diary):
        keeper.want({"a": 1})
        await diary.until(lambda entries: entries.count("a spawned") == 3)
        assert diary.entries[:3] == ["a spawned", "a loading", "a crashed: exited with status 3"]


async def test_a_failed_one_stays_and_is_started_anew_when_wanted_anew() -> None:
    async with keeping(HOPELESS) as (keeper, diary):
        keeper.want({"a": 1})
        await diary.until(lambda entries: "a failed" in entries)
        keeper.want({"a": 1})
        keeper.want({"a": 2})
        await diary.until(lambda entries: entries.count("a failed") == 2)
        assert [entry.partition(":")[0] for entry in diary.entries] == [
            "a spawned",
            "a failed",
            "a stopped",
            "a spawned",
            "a failed",
        ]


async def test_whoever_rests_is_let_sleep_and_started_when_wanted_anew() -> None:
    async with keeping(RESTING, rests=True) as (keeper, diary):
        keeper.want({"a": 1})
        await diary.until(lambda entries: "a rests" in entries)
        keeper.want({"a": 1})
        assert keeper.pids == {}
        keeper.want({"a": 2})
        await diary.until(lambda entries: entries.count("a rests") == 2)
        assert diary.entries == ["a spawned", "a ready", "a rests"] * 2
        keeper.want({})
        await diary.until(lambda entries: "a forgotten" in entries)
        assert len(diary.entries) == 7


async def test_where_nobody_may_rest_that_is_a_crash() -> None:
    async with keeping(RESTING) as (keeper, diary):
        keeper.want({"a": 1})
        await diary.until(lambda entries: entries.count("a ready") == 2)
        assert "a crashed: exited with status 4" in diary.entries


async def test_half_a_line_is_passed_over() -> None:
    async with keeping(GARBLED) as (keeper, diary):
        keeper.want({"a": 1})
        await diary.until(lambda entries: "a crashed: exited with status 0" in entries)


async def test_draining_kills_whoever_does_not_go() -> None:
    async with keeping(DEAF, grace=0.2) as (keeper, diary):
        keeper.want({"a": 1})
        await diary.until(lambda entries: "a ready" in entries)
    assert diary.entries[-2:] == ["a stopped: was killed by SIGKILL", "a forgotten"]


async def test_a_command_that_cannot_be_started_is_tried_again() -> None:
    async with keeping(["/nowhere/at-all"]) as (keeper, diary):
        keeper.want({"a": 1})
        failure = "a crashed: could not be started (No such file or directory)"
        await diary.until(lambda entries: entries.count(failure) == 2)
