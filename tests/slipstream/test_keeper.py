"""Children kept alive, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import psutil

from slipstream.supervisor.keeper import Keeper, StatusLine
from slipstream.supervisor.process import Child, Lifeline
from tests.slipstream.programs import DEAF, GARBLED, HOPELESS, SICKLY, STEADY


class Diary:
    """Writes down what happens, and lets a test wait for it."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.pids: list[int] = []
        self._news = asyncio.Event()

    async def until(self, condition: Callable[[list[str]], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition(self.entries):
                self._news.clear()
                await self._news.wait()

    def spawned(self, key: str, child: Child) -> None:
        self.pids.append(child.pid)
        self._write(f"{key} spawned")

    def said(self, key: str, line: StatusLine) -> None:
        self._write(f"{key} {line['event']}")

    def exited(self, key: str, *, asked: bool, how: str, retry_in: float) -> None:
        assert asked or retry_in > 0
        self._write(f"{key} {'stopped' if asked else 'crashed'}: {how}")

    def forgotten(self, key: str) -> None:
        self._write(f"{key} forgotten")

    def _write(self, entry: str) -> None:
        self.entries.append(entry)
        self._news.set()


@asynccontextmanager
async def keeping(
    command: Sequence[str], *, grace: float = 5.0
) -> AsyncIterator[tuple[Keeper, Diary]]:
    diary = Diary()
    lifeline = Lifeline()
    keeper = Keeper(lambda _: Child.spawn(command, lifeline=lifeline), diary)
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
