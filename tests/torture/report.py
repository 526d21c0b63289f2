"""The account, for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.chaos.checks import Check
from tests.torture.checks import count_repeated
from tests.torture.latency import DeliveryLatency
from tests.torture.log import MessageKind
from tests.torture.torture_run import TortureResult

_SHOWN = 3


def report(
    console: Console, outcome: TortureResult, delays: DeliveryLatency | None, found: Sequence[Check]
) -> None:
    """Print everything."""
    console.print(_figures(outcome, delays))
    console.print()
    console.print(_checks(found))
    for check in found:
        if check.broken:
            console.print(f"{check.promise}, not: {', '.join(check.broken[:_SHOWN])}", style="red")


def _figures(outcome: TortureResult, delays: DeliveryLatency | None) -> Table:
    attempts = sum(outcome.logged.values())
    failed = sum(not entry.arrived for entry in outcome.entries)
    truncated = sum(entry.kind is MessageKind.TRUNCATED for entry in outcome.entries)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    rows = {
        "events": f"{len(outcome.sent):,}",
        "… and for dead receivers": f"{len(outcome.to_dead):,}",
        "kills of the dispatcher": f"{outcome.kills:,}",
        "messages received": f"{len(outcome.entries):,}",
        "… that the receiver failed": f"{failed:,}",
        "… truncated by a kill": f"{truncated:,}",
        "… taken before": f"{count_repeated(outcome):,}",
        "attempts in the log": f"{attempts:,}",
        "seconds": f"{outcome.seconds:.1f}",
        "events a second": f"{len(outcome.sent) / outcome.seconds:,.0f}",
        "attempts a second": f"{attempts / outcome.seconds:,.0f}",
        "dispatcher's CPU an attempt": f"{outcome.cpu_seconds / attempts * 1000:.2f} ms",
    }
    if delays is not None:
        rows["from due to arrived, p99, alone"] = f"{delays.alone * 1000:.0f} ms"
        rows["… beside dead receivers"] = f"{delays.beside_dead * 1000:.0f} ms"
        rows["… ratio"] = f"{delays.beside_dead / delays.alone:.2f}"
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _checks(found: Sequence[Check]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in ("promise", "cases", "broken", ""):
        right = heading in {"cases", "broken"}
        table.add_column(heading, justify="right" if right else "left", no_wrap=bool(right))
    for check in found:
        word = "kept" if check.kept else "BROKEN" if check.broken else "untried"
        style = "green" if check.kept else "red"
        table.add_row(check.promise, f"{check.of:,}", f"{len(check.broken):,}", word, style=style)
    return table
