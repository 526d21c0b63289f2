"""`slipstream deployments advice`."""

from __future__ import annotations

import orjson
import typer

from gateway.deployments.schemas import AdviceList, AdviceOut
from slipstream import options
from slipstream.commands.deployment_versions import DeploymentId
from slipstream.commands.tables import Columns, model_table
from slipstream.session import open_session


def add_to(commands: typer.Typer) -> None:
    """Add the command."""
    commands.command("advice")(advice)


def advice(
    deployment_id: DeploymentId,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Judge the settings of a deployment by the calls of the last 24 hours, if there were 20.

    What is advised is set with `slipstream deployments set`.

    $ slipstream deployments advice 0b9c…
    """
    with open_session(state, as_json=as_json) as session:
        found = session.run(session.services.advice.advice(session.profile_id, deployment_id))
        shown = AdviceList.of(found)
        none = "There is nothing to advise."
        session.terminal.show(shown, model_table(shown.items, COLUMNS, empty=none))


def _change(advised: AdviceOut) -> str:
    return f"{advised.fix.field} = {orjson.dumps(advised.fix.value).decode()}"


COLUMNS: Columns[AdviceOut] = {"code": "code", "why": "text", "set": _change}
