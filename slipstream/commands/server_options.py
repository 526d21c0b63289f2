"""Options of `slipstream models serve` and `deployments serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.fleet.labels import Labels, parse_labels
from gateway.fleet.schemas import MAX_REPLICAS
from gateway.fleet.states import Batching

IdleTimeout = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="Sleep after so long without a call, until the next one; 0: never.",
    ),
]
Replicas = Annotated[
    str | None,
    typer.Option(
        metavar="N|MIN..MAX",
        help="Processes that run it, each with memory of its own. In a range their number follows "
        f"the load. At most {MAX_REPLICAS}.",
    ),
]
TargetQueue = Annotated[
    float | None,
    typer.Option(
        metavar="CALLS",
        help="In a range: calls that are to wait or run in each, on average. Default: 2.",
    ),
]
HostLabels = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="A label that a machine must have to run it; repeat it for several; '': none.",
    ),
]
BatchingOption = Annotated[
    Batching | None,
    typer.Option(
        "--batching",
        help="Which calls share runs. auto: all, of a model whose rows are proved independent; "
        "off: none; declared: also of other models, those whose keys have the same owner. "
        "Default: auto.",
    ),
]

MaxRunSeconds = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="How long a run may take, whatever the deadline of its call is; 0: 100 times what the "
        "first run took, and at least 30. Default: 0.",
    ),
]


def server_settings(
    *,
    idle_timeout: int | None,
    replicas: str | None,
    target_queue: float | None,
    on: list[str] | None,
    batching: Batching | None,
    max_run_seconds: float | None,
) -> dict[str, object]:
    """Return the settings that were given, for `ServerSettingsIn`. Raises BadParameter."""
    given: dict[str, object] = {}
    if idle_timeout is not None:
        given["idle_timeout_seconds"] = idle_timeout or None
    if replicas is not None:
        given |= _replicas(replicas)
    if target_queue is not None:
        given["target_queue"] = target_queue
    if on is not None:
        given["host_labels"] = _labels(on)
    if batching is not None:
        given["batching"] = batching
    if max_run_seconds is not None:
        given["max_run_seconds"] = max_run_seconds or None
    return given


def _replicas(text: str) -> dict[str, object]:
    """Return the settings of a number or of MIN..MAX, which `ServerSettingsIn` checks."""
    low, dots, high = text.partition("..")
    if not (low.isdecimal() and (high.isdecimal() if dots else not high)):
        raise typer.BadParameter(f"--replicas: expected a number or MIN..MAX, got {text!r}")
    if dots:
        return {"replica_range": {"min": int(low), "max": int(high)}}
    return {"replicas": int(low)}


def _labels(given: list[str]) -> Labels:
    try:
        return parse_labels(",".join(given))
    except ValueError as error:
        raise typer.BadParameter(f"--on: {error}") from None
