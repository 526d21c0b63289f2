"""The processes that misbehave. Each has one group of behaviours, which go on side by side.

They run at the lowest priority: they stand for other machines, whose load is not the
installation's, but share the processors of this one.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.synchronize import Barrier
from pathlib import Path

import httpx

from tests.abuse.anonymous import ANONYMOUS
from tests.abuse.client import Behaviour
from tests.abuse.members import MEMBERS
from tests.abuse.target import Target

Outcomes = dict[str, Counter[str]]
"""By behaviour: how often it ended how."""

_LOWEST_PRIORITY = 19
_PAUSE_SECONDS = 0.5
_GROUPS: tuple[Mapping[str, Behaviour], ...] = (ANONYMOUS, MEMBERS)
_BEHAVIOURS = {**ANONYMOUS, **MEMBERS}
_FIRST_HOST = 10
"""Each behaviour has an address of its own: 127.0.0.10 and up. The good user's is 127.0.0.1."""


class Abusers:
    """Processes that misbehave for a given time: in all ways, or in those that contain `only`."""

    def __init__(self, target: Target, seconds: float, only: str = "") -> None:
        self.seconds = seconds
        context = multiprocessing.get_context("spawn")
        self._outcomes = context.Queue()
        self._started = context.Barrier(len(_GROUPS) + 1)
        shared = (self._started, self._outcomes)
        self._processes = [
            context.Process(target=_misbehave, args=(names, target, seconds, *shared))
            for names in _chosen(only)
        ]

    def start(self) -> None:
        """Start the processes; return when they misbehave."""
        for process in self._processes:
            process.start()
        self._started.wait()

    def outcomes(self) -> Outcomes:
        """Wait for the processes and return what came of their behaviour."""
        found: Outcomes = {}
        for _ in self._processes:
            found |= self._outcomes.get()
        for process in self._processes:
            process.join()
        return found


def _chosen(only: str) -> list[list[str]]:
    """Return the names of each process's behaviours."""
    return [[name for name in group if only in name] for group in _GROUPS]


def _misbehave(
    names: list[str],
    target: Target,
    seconds: float,
    started: Barrier,
    queue: multiprocessing.Queue[Outcomes],
) -> None:
    os.setsid()
    os.nice(_LOWEST_PRIORITY)
    with suppress(OSError):  # where Linux compares sessions first
        Path("/proc/self/autogroup").write_text(str(_LOWEST_PRIORITY))
    started.wait()
    queue.put(asyncio.run(_all(names, target, time.monotonic() + seconds)))


async def _all(names: list[str], target: Target, end: float) -> Outcomes:
    outcomes: Outcomes = {name: Counter() for name in names}
    await asyncio.gather(*(_repeat(name, target, end, outcomes[name]) for name in names))
    return outcomes


async def _repeat(name: str, target: Target, end: float, counter: Counter[str]) -> None:
    """Repeat until the end; what is under way then is dropped."""
    address = f"127.0.0.{_FIRST_HOST + list(_BEHAVIOURS).index(name)}"
    try:
        async with asyncio.timeout_at(asyncio.get_running_loop().time() + end - time.monotonic()):
            while True:
                try:
                    counter[await _BEHAVIOURS[name](target, address)] += 1
                except (OSError, EOFError, httpx.HTTPError) as error:
                    counter[type(error).__name__] += 1
                await asyncio.sleep(_PAUSE_SECONDS)
    except TimeoutError:
        pass
