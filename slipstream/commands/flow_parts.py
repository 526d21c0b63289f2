"""`slipstream flows kinds` and `evaluate`: types of nodes, and values of expressions."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer

from gateway.drafts.expression_check import ExpressionKind, check_expression
from gateway.drafts.expression_schemas import ExpressionCheckOut, ExpressionIn
from gateway.drafts.schemas import NodeKindList, NodeKindOut
from gateway.errors import GatewayError
from gateway.flows.node_kinds import node_kinds, python_nodes
from protos.errors import ErrorCode
from slipstream import options
from slipstream.commands.json_arguments import json_argument
from slipstream.commands.tables import Columns, model_table
from slipstream.failures import ExitStatus
from slipstream.session import open_session, validated
from slipstream.state_location import Absent

COLUMNS: Columns[NodeKindOut] = {"type": "type", "title": "title", "what it does": "description"}


def add_to(commands: typer.Typer) -> None:
    """Add the commands."""
    commands.command("kinds")(kinds)
    commands.command("evaluate")(evaluate)


def kinds(
    kind: Annotated[
        str | None,
        typer.Argument(help="Print the JSON Schema of its configuration.", metavar="TYPE"),
    ] = None,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """List the types of nodes, or print the schema of one. --json has all that the console knows.

    $ slipstream flows kinds
    $ slipstream flows kinds transform
    """
    with open_session(state, as_json=as_json, absent=Absent.TEMPORARY) as session:
        known = NodeKindList.of(node_kinds(), python_nodes())
        if kind is None:
            session.terminal.show(known, model_table(known.items, COLUMNS, empty=""))
            return
        found = next((one for one in known.items if one.type == kind), None)
        if found is None:
            names = ", ".join(one.type for one in known.items)
            message = f"TYPE: expected one of {names}; got '{kind[:100]}'"
            raise GatewayError(ErrorCode.VALIDATION_FAILED, message)
        if as_json:
            session.terminal.show(found)
        else:
            schema = orjson.dumps(
                found.config_schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
            )
            session.terminal.show_code(schema.decode(), "json")


def evaluate(
    expression: Annotated[str, typer.Argument(help="In CEL, or a template.")],
    *,
    values: Annotated[
        str, typer.Option(help="Outputs by node, as a JSON object.", metavar="JSON")
    ] = "{}",
    template: Annotated[
        bool, typer.Option("--template", help="It is a template: text with {{ expressions }}.")
    ] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Evaluate an expression with given values, within the limits of runs. Exit status 1: an error.

    $ slipstream flows evaluate 'input.x * 2' --values '{"input": {"x": 21}}'
    """
    with open_session(state, as_json=as_json, absent=Absent.TEMPORARY) as session:
        asked = validated(
            ExpressionIn,
            expression=expression,
            kind=ExpressionKind.TEMPLATE if template else ExpressionKind.EXPRESSION,
            values=json_argument(values, "--values"),
        )
        found = session.run(
            check_expression(
                session.services.flow_processes,
                session.profile_id,
                asked.expression,
                asked.values,
                kind=asked.kind,
            )
        )
        shown = ExpressionCheckOut.of(found)
        text = shown.error.message if shown.error else orjson.dumps(shown.value).decode()
        session.terminal.show(shown, text)
        if not shown.ok:
            raise typer.Exit(ExitStatus.REFUSED)
