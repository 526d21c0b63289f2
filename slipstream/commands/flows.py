"""`slipstream flows`: create, validate, check, run, test, list, show, update, delete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import orjson
import typer

from gateway.flows.schemas import FlowOut, FlowPage, SavedFlowOut
from gateway.flows.store import FlowSort
from gateway.storage.tables import Flow
from slipstream import options
from slipstream.commands import flow_history, flow_parts
from slipstream.commands.flow_checks import FlowFile, add_to, read_flow
from slipstream.commands.flow_history import FlowId
from slipstream.commands.flow_tests import run_test
from slipstream.commands.tables import Columns, model_fields, model_list
from slipstream.session import CommandSession, open_session
from slipstream.state_location import Absent
from slipstream.terminal import table

commands = typer.Typer(no_args_is_help=True)


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the commands."""
    add_to(commands)
    commands.command("test")(run_test)
    flow_history.add_to(commands)
    flow_parts.add_to(commands)
    application.add_typer(commands, name=noun, help=text)


@commands.command("create")
def create(
    file: FlowFile,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Validate a flow and save it.

    $ slipstream flows create flow.json
    """
    with open_session(state, as_json=as_json, absent=Absent.CREATE) as session:
        new = read_flow(file.read())
        flow = session.run(session.services.flows.create(session.profile_id, new))
        made = f"Flow '{flow.name}' {flow.id} is saved."
        call = f"Deploy it with: slipstream deployments create --flow {flow.id} --mode fast"
        _show_saved(session, flow, made, call)


@commands.command("list")
def list_flows(
    *,
    name: Annotated[str | None, typer.Option(help="Only flows whose name has this in it.")] = None,
    sort: Annotated[
        FlowSort, typer.Option(help="The newest or the last saved first, or by name.")
    ] = FlowSort.CREATED,
    wide: options.Wide = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """List the flows, newest first.

    $ slipstream flows list --name iris --sort updated
    """
    with open_session(state, as_json=as_json, wide=wide) as session:
        flows = session.services.flows
        found = session.fetch_all(lambda at: flows.page(session.profile_id, at, q=name, sort=sort))
        page = FlowPage.of(found)
        none = "There are no flows: save one with `slipstream flows create FILE`."
        session.terminal.show(page, model_list(page.items, COLUMNS, empty=none))


@commands.command("show")
def show(
    flow_id: FlowId, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Show one flow."""
    with open_session(state, as_json=as_json) as session:
        row = session.run(session.services.flows.get(session.profile_id, flow_id))
        flow = FlowOut.of(row)
        nodes = [
            (node["id"], node["type"], _targets(flow, node["id"]), orjson.dumps(node["config"]))
            for node in flow.nodes
        ]
        session.terminal.show(
            flow,
            model_fields(flow, hide=("nodes", "edges")),
            "",
            table(
                ("node", "type", "next", "config"),
                [(*cells, config.decode()) for *cells, config in nodes],
                empty="The flow has no nodes.",
            ),
        )


@commands.command("update")
def update(
    flow_id: FlowId,
    file: FlowFile,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Replace a flow's draft. Deployments keep their versions until they are redeployed.

    $ slipstream flows update 0b9c… flow.json
    """
    with open_session(state, as_json=as_json) as session:
        new = read_flow(file.read())
        work = session.services.flows.update(
            session.profile_id, flow_id, name=new.name, nodes=new.nodes, edges=new.edges
        )
        flow = session.run(work)
        saved = f"Flow '{flow.name}' {flow.id} is saved."
        deploy = "Its deployments change with: slipstream deployments redeploy DEPLOYMENT_ID"
        _show_saved(session, flow, saved, deploy)


@commands.command("delete")
def delete(
    flow_id: FlowId, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Delete a flow that no deployment uses; its models stay."""
    with open_session(state, as_json=as_json) as session:
        profile_id, flows = session.profile_id, session.services.flows
        flow = session.run(flows.get(profile_id, flow_id))
        called = {model for model, _ in session.run(flows.models_of(profile_id, flow_id))}
        session.run(flows.delete(profile_id, flow_id))
        session.terminal.show(
            {"id": flow_id, "deleted": True},
            f"Flow '{flow.name}' is deleted.",
            *_remaining(session, called),
        )


def _show_saved(session: CommandSession, flow: Flow, *lines: str) -> None:
    out = SavedFlowOut.of_saved(flow, session.run(session.services.flows.warnings_about(flow)))
    session.terminal.show(out, *lines)
    session.terminal.warn(warning.message for warning in out.warnings)


def _remaining(session: CommandSession, models: Iterable[str]) -> Iterator[str]:
    """Yield how the servers of a deleted flow's models are stopped, and the models removed."""
    servers = session.run(session.services.fleet.store.running_or_asleep())
    running = {server.model for server in servers}
    for model in sorted(models):
        if model in running:
            yield f"A server runs:    slipstream models unserve {model}"
        yield f"Its model stays:  slipstream models remove {model} --all"


def _models(flow: FlowOut) -> list[str]:
    inferences = (node["config"] for node in flow.nodes if node["type"] == "inference")
    return [f"{config['model']} ({config.get('version', 'latest')})" for config in inferences]


COLUMNS: Columns[FlowOut] = {
    "id": "id",
    "name": "name",
    "models": _models,
    "changed": "updated_at",
}


def _targets(flow: FlowOut, node_id: str) -> list[str]:
    return [edge["target"] for edge in flow.edges if edge["source"] == node_id]
