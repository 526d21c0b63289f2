"""Gateways and workers from before a reload: they serve until others are ready."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.handover import PassedProcess
from slipstream.supervisor.process import AdoptedProcess, ChildProcess
from slipstream.supervisor.process_manager import ProcessManager, ProcessStatus
from slipstream.supervisor.reconcile import ProcessState
from slipstream.supervisor.status_reader import StatusLine


class Predecessors:
    """Watches processes that are not started again when they end."""

    def __init__(
        self,
        passed: Sequence[PassedProcess],
        printer: StatusPrinter,
        *,
        unresponsive_seconds: float,
        count_exit: Callable[[str], None],
    ) -> None:
        """Take over the processes. Call it on the event loop.

        Their ends are counted as ProcessManager does.
        """
        self._printer = printer
        self._passed = {f"{process.key} (old)": process for process in passed}
        self._manager = ProcessManager(
            self._refuse,
            self,
            count_exit=count_exit,
            unresponsive_seconds=unresponsive_seconds,
        )
        for key, process in self._passed.items():
            child = ChildProcess(
                AdoptedProcess(process.pid), process.status_fd, started_at=process.started_at
            )
            self._manager.adopt(key, child, ProcessState(generation=1))
        self._desired = dict.fromkeys(self._passed, 1)
        self._manager.set_desired(self._desired)

    @property
    def statuses(self) -> Mapping[str, ProcessStatus]:
        """The state of each that still runs, by its name."""
        return self._manager.statuses

    async def run(self) -> None:
        """Watch them until cancelled."""
        await self._manager.run()

    async def drain(self, grace: float) -> None:
        """Have them finish and end; kill those that still run after `grace` seconds."""
        await self._manager.drain(grace)

    def kill(self) -> None:
        """Kill them."""
        self._manager.kill()

    async def detach(self) -> list[PassedProcess]:
        """Let go of those that still run; see ProcessManager."""
        return [self._passed[key] for key in await self._manager.detach()]

    def spawned(self, key: str, child: ChildProcess) -> None:
        """Part of ProcessListener; nothing to do."""

    def reported(self, key: str, line: StatusLine) -> None:
        """One of them falls silent, or says something that matters no longer."""
        if line["event"] == "unresponsive":
            self._printer.step(key, f"unresponsive: {line['message']}", "red")

    def exited(self, key: str, *, requested: bool, reason: str, retry_in: float) -> None:  # noqa: ARG002
        """One has ended; it is not started again."""
        self._desired.pop(key, None)
        self._manager.set_desired(self._desired)
        self._printer.step(key, "stopped" if requested else reason, "dim" if requested else "red")

    def removed(self, key: str) -> None:
        """Part of ProcessListener; nothing to do."""

    async def _refuse(self, key: str) -> ChildProcess:
        raise OSError(0, f"{key} is not started again")
