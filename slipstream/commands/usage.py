"""`slipstream usage`: what was called, how often, and how long it took."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Annotated

import typer

from gateway.errors import GatewayError
from gateway.storage.clock import now
from gateway.usage.schemas import UsageOut
from gateway.usage.service import GroupBy, UsageQuery
from protos.errors import ErrorCode
from slipstream import options
from slipstream.commands.usage_views import step_of, usage_table
from slipstream.session import open_session

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_LONGEST = timedelta(days=3650)
_HELP = (
    "The sparkline is calls over that time, oldest first; where nothing was called, ended runs. "
    "Gateways write every 5 seconds.",
    "[dim]slipstream usage --last 7d[/]",
    "[dim]slipstream usage --by key --deployment 0b9c…[/]",
    "[dim]slipstream usage --by code --json | jq '.items[] | {code, calls}'[/]",
)


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the command."""
    application.command(noun, help="\n\n".join((text, *_HELP)))(usage)


def usage(
    *,
    deployment: Annotated[
        str | None, typer.Option(help="Only this deployment.", metavar="ID")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Only this API key.", metavar="ID")] = None,
    by: Annotated[GroupBy, typer.Option(help="What is told apart.")] = GroupBy.DEPLOYMENT,
    last: Annotated[
        str, typer.Option(help="How far back: minutes, hours or days.", metavar="15m|24h|7d")
    ] = "24h",
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Show calls, errors, runs and percentiles."""
    with open_session(state, as_json=as_json) as session:
        until = now()
        query = UsageQuery(
            since=until - _length(last),
            until=until,
            by=by,
            deployment_id=deployment,
            key_id=key,
        )
        service, profile_id = session.services.usage, session.profile_id
        whole = session.run(service.for_profile(profile_id, query))
        steps = replace(query, step=step_of(whole.until - whole.since))
        series = session.run(service.for_profile(profile_id, steps))
        session.terminal.show(UsageOut.of(whole), usage_table(whole, series))


def _length(text: str) -> timedelta:
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", text)
    length = None if found is None else int(found[1]) * _UNITS[found[2]]
    if length is None or length > _LONGEST:
        message = f"--last: expected minutes, hours or days such as 15m, 24h or 7d, got '{text}'"
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message)
    return length
