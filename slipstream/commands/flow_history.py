"""`slipstream flows revisions` and `revision`: what a flow was."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer

from gateway.flows.revision_schemas import FlowRevisionOut, FlowRevisionPage, FlowRevisionSummary
from gateway.storage.paging import PageRequest
from gateway.storage.tables import Flow
from slipstream import options
from slipstream.commands.tables import Columns, model_list
from slipstream.id_prefix import whole_id
from slipstream.session import open_session

COLUMNS: Columns[FlowRevisionSummary] = {
    "number": "number",
    "name": "name",
    "flow's name": "flow_name",
    "bytes": "bytes",
    "first saved": "created_at",
    "last saved": "saved_at",
}
FlowId = Annotated[
    str, typer.Argument(help="Id or name of the flow.", metavar="ID", callback=whole_id(Flow))
]


def add_to(commands: typer.Typer) -> None:
    """Add the commands."""
    commands.command("revisions")(revisions)
    commands.command("revision")(revision)


def revisions(
    flow_id: FlowId,
    *,
    limit: options.Limit = options.DEFAULT_LIMIT,
    cursor: options.Cursor = None,
    wide: options.Wide = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """List what a flow was, newest first: the first revision is the present draft.

    $ slipstream flows revisions 0b9c…
    """
    with open_session(state, as_json=as_json, wide=wide) as session:
        request = PageRequest(limit=limit, cursor=cursor)
        work = session.services.flow_revisions.page(session.profile_id, flow_id, request)
        page = FlowRevisionPage.of(session.run(work))
        none = "No revision is kept: the flow was last saved by a release without them."
        session.terminal.show(page, model_list(page.items, COLUMNS, empty=none))
        session.terminal.note_next_page(page.next_cursor)


def revision(
    flow_id: FlowId,
    number: Annotated[int, typer.Argument(min=1, help="Of the revision.", metavar="NUMBER")],
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Print a revision as a flow, which `flows update` makes the draft again.

    $ slipstream flows revision 0b9c… 12 > before.json
    $ slipstream flows update 0b9c… before.json
    """
    with open_session(state, as_json=as_json) as session:
        row = session.run(session.services.flow_revisions.get(session.profile_id, flow_id, number))
        found = FlowRevisionOut.of_whole(row)
        flow = {"name": found.flow_name, "nodes": found.nodes, "edges": found.edges}
        if as_json:
            session.terminal.show(found)
        else:
            indented = orjson.dumps(flow, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
            session.terminal.show_code(indented.decode(), "json")
