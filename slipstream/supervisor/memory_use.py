"""How much memory the inference servers of this host use."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

import psutil

_SECONDS, _MAX_SECONDS = 5.0, 60.0
"""Between two measurements of all processes."""
_PAUSE_FACTOR = 50
"""A measurement is followed by so many times what it took, within these bounds: the kernel looks at
every page of a process, for a millisecond and more, and there may be a thousand processes."""
_CHANGE = 0.05
"""Smaller changes, as a part of what was written, are not worth a write. One more model in a shared
process changes the part of each."""


class MemoryUse:
    """Measures all processes now and then, and that of a server that has become ready at once."""

    def __init__(
        self, pids: Callable[[], Mapping[str, int]], on_change: Callable[[str, int], None]
    ) -> None:
        """Measure for the servers of `pids`, which are by key; call `on_change` with key and bytes.

        Servers that share a process have equal parts of it. One that has just become ready has what
        the others leave, until all are measured again.
        """
        self._pids = pids
        self._on_change = on_change
        self._written: dict[str, int] = {}
        self._new: set[str] = set()
        self._has_new = asyncio.Event()

    def ready(self, key: str) -> None:
        """A server has become ready, in a process that was not measured since."""
        self._written.pop(key, None)
        self._new.add(key)
        self._has_new.set()

    def forget(self, key: str) -> None:
        """The process of a server has ended."""
        self._written.pop(key, None)
        self._new.discard(key)

    async def run(self) -> None:
        """Measure until cancelled."""
        clock = asyncio.get_running_loop().time
        due_at = clock()
        while True:
            began = clock()
            if began >= due_at:
                self._new.clear()
                await self.measure(self._pids().keys())
                took = clock() - began
                due_at = clock() + min(max(_SECONDS, _PAUSE_FACTOR * took), _MAX_SECONDS)
            elif self._new:
                new, self._new = self._new, set()
                await self.measure(new)
            self._has_new.clear()
            if not self._new:
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(due_at):
                        await self._has_new.wait()

    async def measure(self, keys: Collection[str]) -> None:
        """Measure the processes of some servers, and report what has changed."""
        pids = {key: pid for key, pid in self._pids().items() if key in keys}
        used = {pid: await asyncio.to_thread(_memory_of, pid) for pid in set(pids.values())}
        sharing = Counter(pids.values())
        now = self._pids()
        others = Counter[int]()
        for key, pid in now.items():
            if key not in pids:
                others[pid] += self._written.get(key, 0)
        for key, pid in pids.items():
            part = ((used[pid] or 0) - others[pid]) // sharing[pid]
            before = self._written.get(key, 0)
            # It may have ended meanwhile, and another process may have taken its place.
            if now.get(key) == pid and part > 0 and abs(part - before) > _CHANGE * before:
                self._written[key] = part
                self._on_change(key, part)


def _memory_of(pid: int) -> int | None:
    """Return the memory of a process in bytes, or None if it has ended.

    Shared pages count proportionally (PSS) if the kernel reports that, else in full.
    """
    try:
        process = psutil.Process(pid)
        try:
            proportional: int = process.memory_full_info().pss
        except (AttributeError, psutil.AccessDenied):
            return int(process.memory_info().rss)
        else:
            return proportional
    except psutil.Error:
        return None
