"""Shows runs: as a table, in full, and as lines of `runs tail`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson
from rich.console import RenderableType
from rich.text import Text

from gateway.deployments.settings import ResponseFormat
from gateway.runs.responses import poll_body
from gateway.runs.run import NodeEvent, Run, RunStatus
from gateway.runs.schemas import RunSummary
from slipstream.commands.tables import (
    Columns,
    elapsed,
    elapsed_since,
    model_fields,
    short_json,
    shortened,
)
from slipstream.terminal import table

COLUMNS: Columns[RunSummary] = {
    "id": "flow_run_id",
    "status": "status",
    "deployment": lambda run: "test of a draft" if run.test else run.deployment_name,
    "created": "created_at",
    "took": lambda run: elapsed(run.duration_seconds),
    "error": lambda run: run.error.code if run.error else "",
    "version": "deployment_version",
    "mode": lambda run: f"{run.execution_mode} {run.deployment_type}",
    "deployment's id": "deployment_id",
}

_STYLES: Mapping[str, str] = {
    RunStatus.COMPLETED: "green",
    RunStatus.FAILED: "red",
    RunStatus.CANCELLED: "yellow",
}
_MAX_OUTPUT_LENGTH = 2_000
"""Characters of an output that are shown; --json has all of it."""
_MAX_NODE_OUTPUT_LENGTH = 120


def run_document(run: Run) -> dict[str, Any]:
    """Return a run as REST does, with each field once. Any: JSON."""
    document: dict[str, Any] = orjson.loads(poll_body(run, ResponseFormat.FLAT))
    document.pop("data", None)
    return document


def run_views(run: Run) -> Iterator[RenderableType]:
    """Yield everything about a run."""
    summary = RunSummary.of(run)
    yield model_fields(
        summary,
        hide=["urls"],
        metadata=", ".join(f"{key}={value}" for key, value in summary.metadata.items()),
        attempt=f"{run.attempt} of {run.max_attempts}",
        error=_error(run),
        duration_seconds=elapsed(run.duration_seconds),
        queue_seconds=elapsed(run.queue_seconds),
    )
    if run.node_outputs:
        yield ""
        yield node_table(orjson.loads(run.node_outputs))
    if run.output_data is not None:
        yield ""
        yield output_text(run.output_data)


def node_table(node_outputs: Mapping[str, Mapping[str, Any]]) -> RenderableType:
    """Return the nodes of a run with their outputs or errors. Any: JSON."""
    rows = [
        (
            node_id,
            node["type"],
            node["status"],
            elapsed(node["duration_seconds"]),
            _node_text(node),
        )
        for node_id, node in node_outputs.items()
    ]
    return table(("node", "type", "status", "took", "output"), rows, empty="")


def _node_text(node: Mapping[str, Any]) -> str:
    output = short_json(node.get("output"), _MAX_NODE_OUTPUT_LENGTH)
    error = node.get("error")
    return f"{error['code']}: {error['message']}; {output}" if error else output


def output_text(output_data: bytes) -> Text:
    """Return a run's output, which is JSON, or its beginning."""
    return Text(shortened(output_data.decode(), _MAX_OUTPUT_LENGTH))


def result_line(run: Run) -> Text:
    """Return the status of a run, with its duration and error."""
    text = Text.assemble("Run ", (run.id, "bold"), " is ")
    text.append(run.shown_status, _STYLES.get(run.status, ""))
    if run.duration_seconds is not None:
        text.append(f" after {elapsed(run.duration_seconds)}")
    if error := _error(run):
        text.append(f": {error}")
    return text


def progress_text(run: Run) -> str:
    """Return the status of a run in progress."""
    done = f", {run.event_count} nodes done" if run.event_count else ""
    return f"Run {run.id} is {run.shown_status} since {elapsed_since(run.created_at)}{done}"


def tail_line(run: Run) -> Text:
    """Return a line with the status of a run."""
    at = (run.finished_at or run.started_at or run.created_at).astimezone()
    return Text.assemble(
        (f"{at:%H:%M:%S}  ", "dim"),
        f"{run.id}  ",
        (f"{run.shown_status:<10} ", _STYLES.get(run.status, "")),
        f"{run.mode} {run.type}".ljust(13),
        elapsed(run.duration_seconds).rjust(8),
        f"  {_error(run)}" if run.error else "",
    )


def node_document(run: Run, event: NodeEvent) -> dict[str, Any]:
    """Return a finished node of a run in progress, as server-sent events have it."""
    return {
        "flow_run_id": run.id,
        "number": event.number,
        "node_id": event.node_id,
        "node": orjson.loads(event.data),
    }


def node_line(run: Run, event: NodeEvent) -> Text:
    """Return a line with the status of a node."""
    node = orjson.loads(event.data)
    return Text.assemble(
        (f"{datetime.now().astimezone():%H:%M:%S}  ", "dim"),
        f"{run.id}    ",
        (f"{node['status']:<10} ", _STYLES.get(node["status"], "")),
        event.node_id,
        f"  {elapsed(node['duration_seconds'])}",
    )


def _error(run: Run) -> str:
    if run.error is None:
        return ""
    where = f" (node '{run.error.node_id}')" if run.error.node_id else ""
    return f"{run.error.code}{where}: {run.error.message}"
