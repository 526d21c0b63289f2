"""Creates, reads, updates and deletes flows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.errors import GatewayError
from gateway.flows import store
from gateway.flows.flow_check import check_draft, check_flow
from gateway.flows.flow_warnings import FlowWarning, ResolveVersion, flow_warnings
from gateway.flows.processes import FlowProcesses
from gateway.flows.revisions import FlowState, keep_revision
from gateway.flows.spec import parse_flow
from gateway.flows.store import FlowSort
from gateway.flows.validation import ValidationErrors
from gateway.ids import new_id
from gateway.storage.audit_events import AuditFields, AuditTarget, record_event
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.database import Database
from gateway.storage.etags import check_if_match, require_if_match
from gateway.storage.masking import digest
from gateway.storage.paging import Page, PageRequest
from gateway.storage.tables import Flow
from protos.errors import ErrorCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The editable content of a flow. Nodes and edges may have additional members."""

    name: str
    nodes: Sequence[Mapping[str, Any]]
    edges: Sequence[Mapping[str, Any]]

    @property
    def definition(self) -> dict[str, Any]:
        """The graph as it is stored."""
        return {"nodes": list(self.nodes), "edges": list(self.edges)}


class FlowService:
    """The flows of a profile. Deployments keep their versions when a flow changes."""

    def __init__(
        self, db: Database, processes: FlowProcesses, resolve_version: ResolveVersion
    ) -> None:
        self._db = db
        self._processes = processes
        self._resolve_version = resolve_version

    async def create(self, profile_id: str, draft: Draft) -> Flow:
        """Save a new flow; raise INVALID_FLOW if its graph is invalid."""
        await self._check(draft.definition, profile_id)
        async with self._db.write() as session:
            flow = Flow(
                id=new_id(),
                profile_id=profile_id,
                name=draft.name,
                definition=draft.definition,
            )
            session.add(flow)
            await session.flush()
            await keep_revision(session, flow, None)
            await _record(session, "create", flow, after=_seen(flow))
            record_change(session, ChangeKind.FLOW, flow.id)
        return flow

    async def check(
        self, profile_id: str, draft: Draft, *, to_deploy: bool = False
    ) -> list[FlowWarning]:
        """Check a flow as `create` does, and return what `warnings_about` would say of it.

        With `to_deploy` all nodes must be reachable and all models known, as for a deployment.

        Raises:
            GatewayError: INVALID_FLOW with all errors, each with its pointer.
        """
        evaluator = self._processes.evaluator(profile_id)
        check = check_flow if to_deploy else check_draft
        await check(draft.definition, evaluator)
        warnings = await flow_warnings(profile_id, draft.definition, self._resolve_version)
        if to_deploy:
            errors = ValidationErrors()
            for warning in warnings:
                errors.add(warning.pointer, warning.message)
            errors.raise_if_any()
        return warnings

    async def page(
        self,
        profile_id: str,
        request: PageRequest,
        *,
        q: str | None = None,
        sort: FlowSort = FlowSort.CREATED,
    ) -> Page[Flow]:
        """Return a page of the profile's flows, with `q` of those whose name contains it."""
        async with self._db.read() as session:
            return await store.flow_page(session, profile_id, request, q=q, sort=sort)

    async def get(self, profile_id: str, flow_id: str) -> Flow:
        """Return one flow, or raise NOT_FOUND."""
        async with self._db.read() as session:
            return await store.find_flow(session, profile_id, flow_id)

    async def warnings_about(self, flow: Flow) -> list[FlowWarning]:
        """Return what keeps a flow that was saved from being deployed, as things are."""
        await asyncio.sleep(0)  # each of these walks takes milliseconds for a large flow
        return await flow_warnings(flow.profile_id, flow.definition, self._resolve_version)

    async def models_of(self, profile_id: str, flow_id: str) -> Sequence[tuple[str, str]]:
        """Return (model, version as written) of each inference node."""
        flow = await self.get(profile_id, flow_id)
        inferences = parse_flow(flow.definition).inferences().values()
        return [(inference.model, inference.version) for inference in inferences]

    async def update(
        self,
        profile_id: str,
        flow_id: str,
        *,
        name: str | None = None,
        nodes: Sequence[Mapping[str, Any]] | None = None,
        edges: Sequence[Mapping[str, Any]] | None = None,
        if_match: Sequence[str] = (),
        needs_if_match: bool = False,
    ) -> Flow:
        """Change the given members.

        Raises:
            GatewayError: NOT_FOUND, INVALID_FLOW; PRECONDITION_FAILED as `check_if_match`;
                PRECONDITION_REQUIRED with `needs_if_match`, without `if_match`;
                CONFLICT if only one of nodes and edges is given, and the graph has changed since
                it was read here to check it.
        """
        old = (await self.get(profile_id, flow_id)).definition
        new = {
            "nodes": old["nodes"] if nodes is None else list(nodes),
            "edges": old["edges"] if edges is None else list(edges),
        }
        if nodes is not None or edges is not None:
            # Before the transaction, which keeps others from writing.
            await self._check(new, profile_id)
        async with self._db.write() as session:
            flow = await store.find_flow(session, profile_id, flow_id, lock=True)
            if needs_if_match:
                require_if_match(flow, if_match)
            check_if_match(flow, if_match)
            before, state = _seen(flow), FlowState.of(flow)
            if name is not None:
                flow.name = name
            if nodes is not None or edges is not None:
                if (nodes is None or edges is None) and flow.definition != old:
                    message = "the flow was changed at the same time: read it, and try again"
                    raise GatewayError(ErrorCode.CONFLICT, message)
                flow.definition = new
            await keep_revision(session, flow, state)
            await _record(session, "update", flow, before=before, after=_seen(flow))
            record_change(session, ChangeKind.FLOW, flow.id)
        return flow

    async def delete(self, profile_id: str, flow_id: str, *, if_match: Sequence[str] = ()) -> None:
        """Delete a flow.

        Raises:
            GatewayError: NOT_FOUND; PRECONDITION_FAILED as `check_if_match`; CONFLICT while it has
                deployments.
        """
        async with self._db.write() as session:
            flow = await store.find_flow(session, profile_id, flow_id, lock=True)
            check_if_match(flow, if_match)
            used = await store.deployments_of(session, flow.id)
            if used:
                message = f"the flow has {used} deployments: delete them first"
                raise GatewayError(ErrorCode.CONFLICT, message)
            await session.delete(flow)
            await _record(session, "delete", flow, before=_seen(flow))
            record_change(session, ChangeKind.FLOW, flow.id, owner_id=profile_id)

    async def _check(self, definition: Mapping[str, Any], profile_id: str) -> None:
        await asyncio.sleep(0)
        await check_draft(definition, self._processes.evaluator(profile_id))
        await asyncio.sleep(0)


def _seen(flow: Flow) -> dict[str, Any]:
    """Return the audited fields; the graph as a digest, as it may be large and hold secrets."""
    nodes, edges = flow.definition["nodes"], flow.definition["edges"]
    graph = {"nodes": len(nodes), "edges": len(edges), **digest(flow.definition)}
    return {"name": flow.name, "definition": graph}


async def _record(
    session: AsyncSession,
    verb: str,
    flow: Flow,
    *,
    before: AuditFields | None = None,
    after: AuditFields | None = None,
) -> None:
    await record_event(
        session,
        action=f"flow.{verb}",
        target_kind=AuditTarget.FLOW,
        target_id=flow.id,
        target_name=flow.name,
        before=before,
        after=after,
        owner_id=flow.profile_id,
    )
