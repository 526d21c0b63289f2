"""Keeps one child alive for each key that is wanted: the policy's hands."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from inference_server.exit_status import ServerExitStatus
from slipstream.supervisor.policy import (
    Action,
    Forget,
    Held,
    Start,
    Stop,
    after_exit,
    after_rest,
    next_look,
    reconcile,
)
from slipstream.supervisor.process import Child, describe_exit
from telemetry.logs import logger

_LONGEST_LINE = 1 << 20

log = logger("slipstream.supervisor.keeper")

StatusLine = Mapping[str, Any]
"""What a child says of itself: `event`, and what that event carries (so: any JSON)."""


class Watcher(Protocol):
    """Hears, on the event loop and in order, what becomes of the children. Must not block."""

    def spawned(self, key: str, child: Child) -> None:
        """A process has been started for `key`."""

    def said(self, key: str, line: StatusLine) -> None:
        """It has reported something of itself."""

    def exited(self, key: str, *, asked: bool, how: str, retry_in: float) -> None:
        """It has ended; unless it was asked to, it is started again in `retry_in` seconds."""

    def forgotten(self, key: str) -> None:
        """Nothing runs for `key` any more, and nothing will."""


class Keeper:
    """Owns the children of one kind. `want` may be called at any time; `run` does the work."""

    def __init__(
        self,
        spawn: Callable[[str], Awaitable[Child]],
        watcher: Watcher,
        *,
        running: Mapping[str, Child] | None = None,
        on_rest: Callable[[str], None] | None = None,
    ) -> None:
        """Start children with `spawn`, and tell `watcher` of them.

        Args:
            spawn: starts one for a key.
            watcher: hears of them.
            running: those that run already, for the first generation.
            on_rest: called instead of `exited` for one that ends with ExitStatus.IDLE.
        """
        self._spawn = spawn
        self._watcher = watcher
        self._on_rest = on_rest
        self._wanted: dict[str, int] = {}
        self._held: dict[str, Held] = {}
        self._children: dict[str, Child] = {}
        self._follows: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._closed = False
        self._killed = False
        for key, child in (running or {}).items():
            self._held[key] = Held(generation=1)
            self._adopt(key, child)
            self._follows[key] = asyncio.create_task(self._follow(key, child))

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by key."""
        return {key: child.pid for key, child in self._children.items()}

    def want(self, wanted: Mapping[str, int]) -> None:
        """Set what should run: key → generation of the wish. Once all is to end, nothing is."""
        self._wanted = {} if self._closed else dict(wanted)
        self._changed.set()

    async def run(self) -> None:
        """Bring what runs to what is wanted, and keep it there until cancelled."""
        while True:
            self._changed.clear()
            self._reconcile()
            due = next_look(self._wanted, self._held)
            seconds = None if due is None else max(0.0, due - time.monotonic())
            # Not wait_for: before Python 3.12 that can swallow a cancellation.
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._changed.wait()

    async def drain(self, grace: float) -> None:
        """Let every child finish and go; kill those that have not gone after `grace` seconds."""
        self._close()
        self._reconcile()
        if self._follows:
            await asyncio.wait(self._follows.values(), timeout=grace)
        self.kill()
        await asyncio.gather(*self._follows.values())
        self._reconcile()

    def kill(self) -> None:
        """End every child at once, and start none again."""
        self._close()
        self._killed = True
        for child in self._children.values():
            child.kill()

    def _close(self) -> None:
        self._closed = True
        self.want({})

    def _reconcile(self) -> None:
        for action in reconcile(self._wanted, self._held, time.monotonic()):
            self._act(action)

    def _act(self, action: Action) -> None:
        key = action.key
        match action:
            case Start():
                self._start(key)
            case Stop():
                self._held[key] = replace(self._held[key], stopping=True)
                if child := self._children.get(key):
                    child.terminate()
            case Forget():
                del self._held[key]
                self._watcher.forgotten(key)

    def _start(self, key: str) -> None:
        generation = self._wanted[key]
        before = self._held.get(key)
        crashes = before.crashes if before and before.generation == generation else 0
        self._held[key] = Held(generation=generation, crashes=crashes)
        self._follows[key] = asyncio.create_task(self._live(key), name=f"follow {key}")

    async def _live(self, key: str) -> None:
        try:
            child = await self._spawn(key)
        except OSError as error:
            del self._follows[key]
            self._bury(key, f"could not be started ({error.strerror})", ran_for=0.0)
        else:
            self._adopt(key, child)
            await self._follow(key, child)

    def _adopt(self, key: str, child: Child) -> None:
        self._children[key] = child
        self._watcher.spawned(key, child)
        # It may have been told to go before it was there.
        if self._killed:
            child.kill()
        elif self._held[key].stopping:
            child.terminate()

    async def _follow(self, key: str, child: Child) -> None:
        lines = asyncio.StreamReader(limit=_LONGEST_LINE)
        protocol = asyncio.StreamReaderProtocol(lines)
        pipe = os.fdopen(child.status_fd, "rb")
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
        async for line in lines:
            try:
                self._hear(key, json.loads(line))
            except (ValueError, KeyError, TypeError):
                # Whoever is killed while it writes leaves half a line.
                log.warning("status_line_ignored", key=key, line=line.decode(errors="replace"))
        transport.close()
        status = await asyncio.to_thread(child.wait)
        del self._children[key], self._follows[key]
        asked = self._held[key].stopping or self._closed
        if self._on_rest and status == ServerExitStatus.IDLE and not asked:
            self._lay_down(key, self._on_rest)
        else:
            self._bury(key, describe_exit(status), ran_for=time.monotonic() - child.started_at)

    def _hear(self, key: str, line: StatusLine) -> None:
        if line["event"] == "failed":
            self._held[key] = replace(self._held[key], failed=True)
            self._changed.set()
        self._watcher.said(key, line)

    def _lay_down(self, key: str, on_rest: Callable[[str], None]) -> None:
        self._held[key] = after_rest(self._held[key], wanted=self._wanted.get(key))
        on_rest(key)
        self._changed.set()

    def _bury(self, key: str, how: str, *, ran_for: float) -> None:
        now = time.monotonic()
        before = self._held[key]
        after = self._held[key] = after_exit(before, ran_for=ran_for, now=now)
        asked = before.stopping or self._closed
        self._watcher.exited(key, asked=asked, how=how, retry_in=after.retry_at - now)
        self._changed.set()
