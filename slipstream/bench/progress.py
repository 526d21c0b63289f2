"""How the load goes, drawn while it goes."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from slipstream.bench.plan import Plan
from slipstream.bench.result import Progress
from slipstream.bench.view import connections, duration


class ProgressView:
    """A bar for each number of connections; where there is no terminal, a line."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[said]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[Plan, TaskID] = {}

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove what was drawn: the table says it better."""
        self._bars.stop()

    def begin(self, plan: Plan) -> None:
        """Say that a load begins."""
        title = connections(plan.connections)
        if not self._console.is_terminal:
            self._console.print(f"Measuring with {title} for {plan.seconds:g} s")
        self._tasks[plan] = self._bars.add_task(title, total=plan.seconds, said="starting")

    def update(self, plan: Plan, progress: Progress) -> None:
        """Say how it goes."""
        if progress.warming_up:
            self._bars.update(self._tasks[plan], said="warming up")
            return
        said = f"{progress.seconds:4.1f} of {plan.seconds:g} s"
        said += f"  {progress.answered / max(progress.seconds, 1e-3):9,.0f} req/s"
        if progress.p50_seconds is not None:
            said += f"  p50 {duration(progress.p50_seconds)}"
        if progress.failed:
            said += f"  [red]{progress.failed:,} failed[/]"
        self._bars.update(self._tasks[plan], completed=progress.seconds, said=said)
