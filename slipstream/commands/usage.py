"""`slipstream usage`: calls, errors, runs and percentiles."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Annotated

import typer
from rich.console import RenderableType

from gateway.errors import GatewayError
from gateway.storage.clock import now
from gateway.storage.tables import ApiKey, Deployment
from gateway.usage.schemas import HeatmapOut, UsageItem, UsageOut
from gateway.usage.service import GroupBy, Step, UsageQuery
from protos.errors import ErrorCode
from slipstream import options
from slipstream.commands.tables import Columns, elapsed, model_list
from slipstream.id_prefix import whole_id
from slipstream.session import open_session
from slipstream.terminal import table

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_MAX_LENGTH = timedelta(days=3650)
_BARS = "▁▂▃▄▅▆▇█"
_SPARKLINE_BARS = 24
_SHADES = "░▒▓█"
_HELP = (
    "The sparkline shows calls over time, oldest first; finished runs if there were no calls. "
    "Gateways write every 5 seconds.",
    "$ slipstream usage --last 7d\n"
    "$ slipstream usage --by key --deployment 0b9c…\n"
    "$ slipstream usage --heatmap --last 1h\n"
    "$ slipstream usage --by code --json | jq '.items[] | {code, calls}'",
)


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the command."""
    application.command(noun, help="\n\n".join((text, *_HELP)))(usage)


def usage(
    *,
    deployment: Annotated[
        str | None,
        typer.Option(help="Only this deployment.", metavar="ID", callback=whole_id(Deployment)),
    ] = None,
    version: Annotated[int | None, typer.Option(help="Only this version.", min=1)] = None,
    key: Annotated[
        str | None,
        typer.Option(help="Only this API key.", metavar="ID", callback=whole_id(ApiKey)),
    ] = None,
    heatmap: Annotated[
        bool, typer.Option("--heatmap", help="Show how many calls took how long, over time.")
    ] = False,
    by: Annotated[GroupBy, typer.Option(help="How to group.")] = GroupBy.DEPLOYMENT,
    last: Annotated[
        str, typer.Option(help="How far back: minutes, hours or days.", metavar="15m|24h|7d")
    ] = "24h",
    wide: options.Wide = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Show calls, errors, runs and percentiles."""
    with open_session(state, as_json=as_json, wide=wide) as session:
        until = now()
        query = UsageQuery(
            since=until - _length(last),
            until=until,
            by=by,
            deployment_id=deployment,
            version=version,
            key_id=key,
        )
        service, profile_id = session.services.usage, session.profile_id
        if heatmap:
            query = replace(query, step=_heatmap_step(_length(last)))
            found = session.run(service.heatmap(profile_id, query))
            grid = HeatmapOut.model_validate(found)
            session.terminal.show(grid, _heatmap(grid))
            return
        whole = UsageOut.of(session.run(service.for_profile(profile_id, query)))
        steps = replace(query, step=_step(whole.until - whole.since))
        series = UsageOut.of(session.run(service.for_profile(profile_id, steps)))
        session.terminal.show(whole, _table(whole, series))


def _heatmap(grid: HeatmapOut) -> RenderableType:
    """Return a row for each range of durations, the slowest first, with a shade for each step."""
    largest = max((max(column, default=0) for column in grid.counts), default=0)
    rows = [
        [
            f"{elapsed(fastest)} to {elapsed(slowest)}",
            sum(column[row] for column in grid.counts),
            "".join(shade(column[row], largest) for column in grid.counts),
        ]
        for row, (fastest, slowest) in enumerate(pairwise(grid.bounds_seconds))
    ]
    span = f"{grid.times[0]:%Y-%m-%d %H:%M} to {grid.times[-1]:%Y-%m-%d %H:%M} UTC"
    return table(["took", "calls", span], rows[::-1], empty="No calls in that time.")


def _heatmap_step(length: timedelta) -> Step:
    """Return a step whose columns a terminal is wide enough for."""
    if length <= timedelta(hours=1):
        return Step.MINUTE
    return Step.HOUR if length <= timedelta(days=3) else Step.DAY


def shade(number: int, largest: int) -> str:
    """Return a shade for a number, relative to the largest by their logarithms; a space for 0."""
    if not number:
        return " "
    share = math.log1p(number) / math.log1p(largest)
    return _SHADES[min(int(share * len(_SHADES)), len(_SHADES) - 1)]


def _table(whole: UsageOut, series: UsageOut) -> RenderableType:
    """Return a row for each group, with a sparkline from the same usage in steps."""
    steps: dict[tuple[object, ...], list[UsageItem]] = defaultdict(list)
    for item in series.items:
        steps[_group(item)].append(item)
    groups: dict[GroupBy, Columns[UsageItem]] = {
        GroupBy.DEPLOYMENT: {"deployment": "deployment_name", "id": "deployment_id"},
        GroupBy.VERSION: {
            "deployment": "deployment_name",
            "id": "deployment_id",
            "version": "version",
        },
        GroupBy.KEY: {"API key": "api_key_name", "id": "api_key_id"},
        GroupBy.CODE: {"code": "code"},
        GroupBy.ALL: {},
    }
    counts: Columns[UsageItem] = {
        "calls": "calls",
        "errors": "errors",
        "runs": "runs",
        "failed": "run_errors",
    }
    times: Columns[UsageItem] = {
        "p50": lambda item: elapsed(item.p50_seconds),
        "p95": lambda item: elapsed(item.p95_seconds),
        "p99": lambda item: elapsed(item.p99_seconds),
        "run p95": lambda item: elapsed(
            item.stages["run"].p95_seconds if "run" in item.stages else None
        ),
    }
    columns: Columns[UsageItem] = {
        **groups[whole.by],
        **counts,
        **({} if whole.by is GroupBy.CODE else times),
        "over time": lambda item: sparkline(_volumes(steps.get(_group(item), ()), series)),
    }
    return model_list(whole.items, columns, empty="No calls in that time.")


def _group(item: UsageItem) -> tuple[object, ...]:
    return item.deployment_id, item.version, item.api_key_id, item.code


def _step(length: timedelta) -> Step:
    """Return a step that gives a sparkline about as many values as it has bars."""
    if length <= timedelta(hours=4):
        return Step.MINUTE
    return Step.HOUR if length <= timedelta(days=4) else Step.DAY


def _volumes(items: Sequence[UsageItem], series: UsageOut) -> list[int]:
    """Return calls, or runs if there were no calls, in each part of the time."""
    has_calls = any(item.calls for item in items)
    length = series.until - series.since
    volumes = [0] * _SPARKLINE_BARS
    for item in items:
        part = int((item.since - series.since) / length * _SPARKLINE_BARS)
        volume = item.calls if has_calls else item.runs
        volumes[min(max(part, 0), _SPARKLINE_BARS - 1)] += volume
    return volumes


def sparkline(volumes: Sequence[int]) -> str:
    """Return a bar for each number, relative to the largest; a space for 0."""
    largest = max(volumes, default=0)
    return "".join(
        _BARS[(volume * len(_BARS) - 1) // largest] if volume else " " for volume in volumes
    )


def _length(text: str) -> timedelta:
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", text)
    length = None if found is None else int(found[1]) * _UNITS[found[2]]
    if length is None or length > _MAX_LENGTH:
        message = f"--last: expected minutes, hours or days such as 15m, 24h or 7d, got '{text}'"
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message)
    return length
