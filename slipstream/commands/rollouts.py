"""`slipstream deployments canary | shadow | rollout | rollback`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import RenderableType

from gateway.deployments.rollout_settings import RolloutState, Strategy
from gateway.deployments.rollouts.schemas import CallsOut, RolloutIn, RolloutOut, RolloutPatch
from slipstream import options
from slipstream.commands.deployment_versions import DeploymentId
from slipstream.commands.tables import Columns, model_fields, model_table
from slipstream.session import CommandSession, open_session, validated

Weight = Annotated[
    int, typer.Option(help="Per cent of the calls that the version gets.", min=1, max=100)
]
Version = Annotated[
    int | None,
    typer.Option(help="An existing version; default: a new one of the draft.", min=1),
]
Tolerance = Annotated[
    float | None,
    typer.Option(help="Compare outputs: by how much numbers may differ. Only in mode fast."),
]
MaxDifferent = Annotated[
    float | None, typer.Option(help="Share of outputs that may differ by more. Default: 0.01.")
]
MaxErrorIncrease = Annotated[
    float | None,
    typer.Option(help="How much larger the share of failed calls may be. Default: 0.02."),
]
MaxLatencyRatio = Annotated[
    float | None,
    typer.Option(help="How many times as long nine of ten calls may take. Default: 2."),
]
PromoteAfter = Annotated[
    int | None,
    typer.Option(
        help="Make it live after that time if it passes every check. Default: `promote` does.",
        metavar="SECONDS",
    ),
]

CALL_COLUMNS: Columns[CallsOut] = {
    "answered": "answered",
    "failed": "failed",
    "p50 ms": "p50_ms",
    "p90 ms": "p90_ms",
}


def add_to(commands: typer.Typer) -> None:
    """Add the commands about rollouts."""
    commands.command("canary")(canary)
    commands.command("shadow")(shadow)
    commands.command("rollout")(rollout)
    commands.command("rollback")(rollback)


def canary(
    deployment_id: DeploymentId,
    *,
    weight: Weight = 10,
    version: Version = None,
    tolerance: Tolerance = None,
    max_different: MaxDifferent = None,
    max_error_increase: MaxErrorIncrease = None,
    max_latency_ratio: MaxLatencyRatio = None,
    promote_after: PromoteAfter = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Have a version answer a share of the calls; it is rolled back by itself if it is worse.

    $ slipstream deployments canary 0b9c… --weight 5
    $ slipstream deployments canary 0b9c… --version 3 --promote-after 600
    """
    checks = _checks(tolerance, max_different, max_error_increase, max_latency_ratio)
    with open_session(state, as_json=as_json) as session:
        given = {"weight": weight, "version": version, "promote_after_seconds": promote_after}
        new = validated(RolloutIn, strategy=Strategy.CANARY, checks=checks, **given)
        _start(session, deployment_id, new)


def shadow(
    deployment_id: DeploymentId,
    *,
    weight: Weight = 10,
    version: Version = None,
    tolerance: Tolerance = 0.001,
    max_different: MaxDifferent = None,
    max_error_increase: MaxErrorIncrease = None,
    max_latency_ratio: MaxLatencyRatio = None,
    promote_after: PromoteAfter = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Send a copy of a share of the calls to a version, and compare the outputs. Only in mode fast.

    $ slipstream deployments shadow 0b9c… --weight 100 --tolerance 0.01 --max-different 1
    """
    checks = _checks(tolerance, max_different, max_error_increase, max_latency_ratio)
    with open_session(state, as_json=as_json) as session:
        given = {"weight": weight, "version": version, "promote_after_seconds": promote_after}
        new = validated(RolloutIn, strategy=Strategy.SHADOW, checks=checks, **given)
        _start(session, deployment_id, new)


def rollout(
    deployment_id: DeploymentId,
    *,
    weight: Annotated[
        int | None,
        typer.Option(help="Change how many per cent of the calls it gets.", min=1, max=100),
    ] = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Show the last canary or shadow and what was seen of both versions; or change its weight.

    $ slipstream deployments rollout 0b9c… --weight 50
    """
    with open_session(state, as_json=as_json) as session:
        service = session.services.rollouts
        if weight is None:
            work = service.get(session.profile_id, deployment_id)
        else:
            changed = validated(RolloutPatch, weight=weight).weight
            work = service.change_weight(session.profile_id, deployment_id, changed)
        out = RolloutOut.of(session.run(work))
        session.terminal.show(out, *_views(out))


def rollback(
    deployment_id: DeploymentId,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """End a canary or shadow: the live version gets all calls again.

    $ slipstream deployments rollback 0b9c…
    """
    with open_session(state, as_json=as_json) as session:
        work = session.services.rollouts.end(session.profile_id, deployment_id)
        out = RolloutOut.of(session.run(work))
        session.terminal.show(out, f"Version {out.candidate} is rolled back.")


def rollout_text(out: RolloutOut) -> str:
    """Return what a rollout does, or what has become of it."""
    if out.state is RolloutState.RUNNING:
        return f"version {out.candidate} is a {out.strategy} with {out.weight} % of the calls"
    what = out.state.replace("_", " ")
    cause = "" if out.cause is None else f", {out.cause}"
    return f"version {out.candidate} was {what}{cause}: {out.reason}"


def _start(session: CommandSession, deployment_id: str, new: RolloutIn) -> None:
    service = session.services.rollouts
    with session.terminal.progress("Starting the version"):
        started = session.run(service.start(session.profile_id, deployment_id, new.rollout()))
    out = RolloutOut.of(started)
    show = f"slipstream deployments rollout {deployment_id}"
    session.terminal.show(out, f"{rollout_text(out).capitalize()}. See how it does: {show}")


def _views(out: RolloutOut) -> list[RenderableType]:
    columns: Columns[CallsOut] = {
        "version": lambda calls: (
            f"{out.baseline}, live" if calls is out.baseline_calls else f"{out.candidate}, tried"
        ),
        **CALL_COLUMNS,
    }
    both = [out.baseline_calls, out.candidate_calls]
    return [
        model_fields(out, hide=("baseline_calls", "candidate_calls")),
        "",
        model_table(both, columns, empty="There are no calls."),
    ]


def _checks(
    tolerance: float | None,
    max_different: float | None,
    max_error_increase: float | None,
    max_latency_ratio: float | None,
) -> dict[str, float]:
    """Return the checks that were given."""
    given = {
        "tolerance": tolerance,
        "max_different": max_different,
        "max_error_increase": max_error_increase,
        "max_latency_ratio": max_latency_ratio,
    }
    return {name: value for name, value in given.items() if value is not None}
