"""The state of the gateway processes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from slipstream.failures import UnusableError
from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.process import ChildProcess
from slipstream.supervisor.status_reader import StatusLine


class GatewayMonitor:
    """Waits until every gateway has been ready once, and prints what happens to them."""

    def __init__(
        self, keys: Collection[str], printer: StatusPrinter, *, replacing: bool = False
    ) -> None:
        """Watch the gateways `keys`. One that fails at first is an error.

        Not if they are `replacing` others, which go on until all of `keys` are ready.
        """
        self._replacing = replacing
        self.failure: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Why the first gateway that failed could not start."""
        self._missing = set(keys)
        self._ready_now: set[str] = set()
        self._printer = printer
        self._ready = asyncio.Event()
        self._broken: UnusableError | None = None

    async def ready(self) -> None:
        """Return when every gateway has been ready; raise UnusableError if one fails to start."""
        await self._ready.wait()
        if self._broken:
            raise self._broken

    @property
    def answers(self) -> bool:
        """Whether a gateway answers calls."""
        return bool(self._ready_now)

    def others_ready(self, key: str) -> bool:
        """Whether another gateway than `key` answers calls."""
        return bool(self._ready_now - {key}) or (self._replacing and not self._ready.is_set())

    def spawned(self, key: str, child: ChildProcess) -> None:
        """A gateway is starting."""
        self._printer.step(key, f"process {child.pid}", "dim")

    def reported(self, key: str, line: StatusLine) -> None:
        """A gateway has reported that it is ready or why it failed."""
        match line["event"]:
            case "ready":
                self._printer.step(key, "ready", "green")
                self._ready_now.add(key)
                self._missing.discard(key)
                if not self._missing:
                    self._ready.set()
            case "failed":
                self._printer.step(key, str(line["message"]), "red")
                if not self.failure.done():
                    self.failure.set_result(str(line["message"]))
                if self._missing and not self._replacing:
                    self._broken = UnusableError(str(line["message"]))
                    self._ready.set()
            case "heartbeat":
                pass
            case "unresponsive":
                self._printer.step(key, f"unresponsive: {line['message']}", "red")
            case event:
                self._printer.step(key, str(event), "dim")

    def exited(self, key: str, *, requested: bool, reason: str, retry_in: float) -> None:
        """A gateway has ended."""
        self._ready_now.discard(key)
        if requested:
            self._printer.step(key, "stopped", "dim")
        else:
            self._printer.step(key, f"{reason}; started again in {retry_in:.1f} s", "red")

    def removed(self, key: str) -> None:
        """Part of ProcessListener; nothing to do."""
