"""How runs are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from rich.console import RenderableType
from rich.text import Text

from gateway.deployments.settings import ResponseFormat
from gateway.runs.responses import poll_body
from gateway.runs.run import NodeEvent, Run, RunStatus
from slipstream.terminal import facts, table

COLUMNS = ("id", "status", "deployment", "version", "mode", "took", "created", "")

_STYLES: Mapping[str, str] = {
    RunStatus.COMPLETED: "green",
    RunStatus.FAILED: "red",
    RunStatus.CANCELLED: "yellow",
}
_MOST_CHARACTERS = 2_000
"""Of a document that are shown to people; scripts get all of it."""
_MINUTE = 60


def run_document(run: Run) -> dict[str, Any]:
    """Return a run as REST shows it, its fields once. Any: JSON."""
    document: dict[str, Any] = orjson.loads(poll_body(run, ResponseFormat.FLAT))
    del document["data"]
    return document


def run_row(run: Run) -> tuple[object, ...]:
    """Return the cells of a run, one for each of COLUMNS."""
    return (
        run.id,
        run.shown_status,
        run.deployment_id,
        run.version,
        f"{run.mode} {run.type}",
        took(run.duration_seconds),
        run.created_at,
        run.error.code if run.error else "",
    )


def run_table(runs: Sequence[Run], *, empty: str) -> RenderableType:
    """Return runs as a table."""
    return table(COLUMNS, [run_row(run) for run in runs], empty=empty)


def run_views(run: Run) -> Iterator[RenderableType]:
    """Yield everything about a run."""
    yield facts(
        run=run.id,
        status=run.shown_status,
        deployment=f"{run.deployment_id} version {run.version}",
        mode=f"{run.mode} {run.type}",
        created=run.created_at,
        queued=took(run.queue_seconds),
        took=took(run.duration_seconds),
        attempt=f"{run.attempt} of {run.max_attempts}",
        repeats=run.retry_of,
        error=_error(run),
    )
    nodes = _nodes(run)
    if nodes:
        yield ""
        yield table(("node", "type", "status", "took", "output"), nodes, empty="")
    if run.output_data is not None:
        yield ""
        yield Text(_shortened(run.output_data.decode()))


def ending(run: Run) -> Text:
    """Return in one line what became of a run."""
    text = Text.assemble("Run ", (run.id, "bold"), " is ")
    text.append(run.shown_status, _STYLES.get(run.status, ""))
    if run.duration_seconds is not None:
        text.append(f" after {took(run.duration_seconds)}")
    if error := _error(run):
        text.append(f": {error}")
    return text


def tail_line(run: Run) -> Text:
    """Return the line that says how far a run is."""
    at = (run.finished_at or run.started_at or run.created_at).astimezone()
    return Text.assemble(
        (f"{at:%H:%M:%S}  ", "dim"),
        f"{run.id}  ",
        (f"{run.shown_status:<10} ", _STYLES.get(run.status, "")),
        f"{run.mode} {run.type}".ljust(13),
        took(run.duration_seconds).rjust(8),
        f"  {_error(run)}" if run.error else "",
    )


def node_document(run: Run, event: NodeEvent) -> dict[str, Any]:
    """Return a node that has ended while its run goes on, as server-sent events show it."""
    node = orjson.loads(event.data)
    return {
        "flow_run_id": run.id,
        "number": event.number,
        "node_id": event.node_id,
        "node": node,
    }


def node_line(run: Run, event: NodeEvent) -> Text:
    """Return the line that says that a node has ended."""
    node = orjson.loads(event.data)
    return Text.assemble(
        (f"{datetime.now().astimezone():%H:%M:%S}  ", "dim"),
        f"{run.id}    ",
        (f"{node['status']:<10} ", _STYLES.get(node["status"], "")),
        event.node_id,
        f"  {took(node['duration_seconds'])}",
    )


def took(seconds: float | None) -> str:
    """Return a duration for people: `4.2 ms`, `1.5 s`, `3 min 20 s`; nothing for None."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    return f"{minutes} min {rest} s"


def waited(since: datetime) -> str:
    """Return how long ago something was, for people."""
    return took(max(0.0, (datetime.now(UTC) - since).total_seconds()))


def progress(run: Run) -> str:
    """Return what goes on in a run that has not ended."""
    done = f", {run.event_count} nodes done" if run.event_count else ""
    return f"Run {run.id} is {run.shown_status} since {waited(run.created_at)}{done}"


def _error(run: Run) -> str:
    if run.error is None:
        return ""
    where = f" (node '{run.error.node_id}')" if run.error.node_id else ""
    return f"{run.error.code}{where}: {run.error.message}"


def _nodes(run: Run) -> list[tuple[object, ...]]:
    if not run.node_outputs:
        return []
    # Any is JSON here
    outputs: dict[str, dict[str, Any]] = orjson.loads(run.node_outputs)
    return list(_node_rows(outputs.items()))


def _node_rows(items: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[tuple[object, ...]]:
    for node_id, shown in items:
        output = _shortened(orjson.dumps(shown.get("output")).decode(), 120)
        yield (node_id, shown["type"], shown["status"], took(shown["duration_seconds"]), output)


def _shortened(text: str, most: int = _MOST_CHARACTERS) -> str:
    return text if len(text) <= most else f"{text[:most]} … ({len(text):,} characters)"
