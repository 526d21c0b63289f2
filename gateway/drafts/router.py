"""Node kinds, the list of flows, checks and tests; all routes need a `manage` key or a session."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Response

from gateway.auth.access import Manager
from gateway.dependencies import from_app
from gateway.drafts.expression_check import check_expression as evaluate
from gateway.drafts.expression_schemas import ExpressionCheckOut, ExpressionIn
from gateway.drafts.flow_check import DraftChecker
from gateway.drafts.flow_summaries import FlowSummaries
from gateway.drafts.flow_test_schemas import FlowTestIn
from gateway.drafts.flow_tests import FlowTester
from gateway.drafts.schemas import DraftCheckOut, DraftIn, NodeKindList
from gateway.drafts.summary_schemas import FlowSummaryPage
from gateway.flows.node_kinds import node_kinds, python_nodes
from gateway.flows.processes import FlowProcesses
from gateway.flows.router import MAX_BODY_BYTES
from gateway.flows.schemas import FlowPage
from gateway.flows.service import FlowService
from gateway.flows.store import FlowSort
from gateway.operations import BodyLimit, DocumentedRouter
from gateway.runs.schemas import RunSummary
from gateway.storage.paging import NamePart, PageRequest

Flows = Annotated[FlowService, from_app(FlowService)]
Summaries = Annotated[FlowSummaries, from_app(FlowSummaries)]
Processes = Annotated[FlowProcesses, from_app(FlowProcesses)]
Tester = Annotated[FlowTester, from_app(FlowTester)]
Checker = Annotated[DraftChecker, from_app(DraftChecker)]
router = DocumentedRouter(prefix="/node", tags=["Flows"])


@router.get("/node-kinds/")
async def list_node_kinds(_: Manager) -> NodeKindList:
    """List the node types with the schemas of their configurations, and what expressions may call.

    `python` names the installed Python nodes.
    """
    return NodeKindList.of(node_kinds(), await asyncio.to_thread(python_nodes))


class FlowView(StrEnum):
    """What a list shows of each flow."""

    FULL = "full"
    """The graph."""
    SUMMARY = "summary"
    """Its deployments, last run and last author in place of the graph."""


@router.get("/flows/")
async def list_flows(
    flows: Flows,
    summaries: Summaries,
    actor: Manager,
    *,
    page: PageRequest = Depends(),
    view: FlowView = FlowView.FULL,
    q: NamePart | None = None,
    sort: FlowSort = FlowSort.CREATED,
) -> FlowPage | FlowSummaryPage:
    """List your flows: the newest or last saved first, or by name."""
    if view is FlowView.SUMMARY:
        found = await summaries.page(actor.profile_id, page, q=q, sort=sort)
        return FlowSummaryPage.of(found)
    return FlowPage.of(await flows.page(actor.profile_id, page, q=q, sort=sort))


@router.post("/flows/check/", dependencies=[Depends(BodyLimit(MAX_BODY_BYTES))])
async def check(checker: Checker, actor: Manager, body: DraftIn) -> DraftCheckOut:
    """Find all problems of a flow, and save nothing.

    The validators are those of saving and deploying. `warning`s are about what only keeps the flow
    from being deployed.
    """
    return DraftCheckOut.of(await checker.check(actor.profile_id, body.definition))


@router.post(
    "/flows/test/",
    status_code=202,
    dependencies=[Depends(BodyLimit(MAX_BODY_BYTES))],
    openapi_extra={"x-executes": True},
)
async def start_test(
    tester: Tester, actor: Manager, response: Response, body: FlowTestIn
) -> RunSummary:
    """Run a flow once without deploying it, in the background: whole, up to a node, or one node.

    The run is read and cancelled as others are. It is kept for a day, sends no webhook, and counts
    in no usage. Nodes in `pins` do not run, nor what only they need.
    """
    run = await tester.start(actor, body.test())
    response.headers["location"] = f"/node/flow-runs/{run.id}/"
    return RunSummary.of(run)


@router.post("/expressions/check/", dependencies=[Depends(BodyLimit(MAX_BODY_BYTES))])
async def check_expression(
    processes: Processes, actor: Manager, body: ExpressionIn
) -> ExpressionCheckOut:
    """Evaluate an expression or a template with given values, within the limits of runs."""
    found = await evaluate(
        processes, actor.profile_id, body.expression, body.values, kind=body.kind
    )
    return ExpressionCheckOut.of(found)
