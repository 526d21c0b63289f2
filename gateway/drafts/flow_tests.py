"""Starts test runs of drafts: on the engine of other runs, without a deployment."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from gateway.auth.identity import Identity
from gateway.body_parsing.parser import BodyParser
from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.deployments.snapshots import FlowSnapshot, RecordedInput, pin_models
from gateway.drafts.draft_flow import DraftFlow
from gateway.errors import GatewayError
from gateway.flows.flow_check import check_draft
from gateway.flows.plan import FlowPlan, compile_plan, reachable_part
from gateway.flows.plan_selection import NodeSelection, select_nodes
from gateway.flows.processes import FlowProcesses
from gateway.flows.spec import FlowSpec, NodeType, parse_flow
from gateway.flows.store import find_flow
from gateway.ids import NIL_ID
from gateway.limits.policy import ConcurrencyLimit, Policy
from gateway.limits.rate_limiter import RateLimiter
from gateway.models.pins import Pin
from gateway.models.service import ModelService
from gateway.runs.run import CreatedRun, NewRun, Run
from gateway.runs.service import Launch
from gateway.runs.store import RunStore
from gateway.storage.database import Database
from protos.errors import ErrorCode

_CHECK_SECONDS = 30.0
_QUEUE_SECONDS = 300.0
"""For which a test waits for its start."""
_MAX_UNFINISHED = 20
"""Tests of a user at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowTest:
    """What to test. Any: JSON."""

    definition: Mapping[str, Any]
    selection: NodeSelection
    input_data: Mapping[str, Any] | None
    """None: the flow's test data."""
    flow_id: str | None
    timeout_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedDraft:
    """A whole draft that can be deployed, to be tested with recorded inputs."""

    flow_id: str
    checks: RecordedInput
    stored: bytes
    """As it is stored with each test."""

    @classmethod
    def of(cls, snapshot: FlowSnapshot) -> PreparedDraft:
        """Prepare what a redeploy would publish."""
        flow = snapshot.flow
        spec = parse_flow(flow.definition)
        pins = {node_id: Pin.from_json(pin) for node_id, pin in snapshot.models.items()}
        draft = DraftFlow(definition=flow.definition, selection=NodeSelection(), models=pins)
        return cls(
            flow_id=flow.id,
            checks=RecordedInput(spec=spec, plan=compile_plan(spec), pins=pins),
            stored=draft.dump(),
        )


class FlowTester:
    """Starts test runs. Their results are read as those of other runs."""

    def __init__(
        self,
        db: Database,
        store: RunStore,
        models: ModelService,
        launch: Launch,
        *,
        processes: FlowProcesses,
        parser: BodyParser,
        rate_limiter: RateLimiter | None = None,
    ) -> None:
        """Without `rate_limiter`, tests are not rate-limited."""
        self._db = db
        self._store = store
        self._models = models
        self._launch = launch
        self._processes = processes
        self._parser = parser
        self._rate_limiter = rate_limiter

    async def start(self, actor: Identity, test: FlowTest) -> Run:
        """Create a run of a draft, in the background.

        Raises:
            GatewayError: NOT_FOUND for the flow; INVALID_FLOW, INVALID_INPUT and INVALID_TENSOR as
                for a deployment; VALIDATION_FAILED as `select_nodes`; RATE_LIMITED,
                TOO_MANY_RUNS and STORAGE_QUOTA_EXCEEDED as for a call.
        """
        if test.flow_id is not None:
            async with self._db.read() as session:
                await find_flow(session, actor.profile_id, test.flow_id)
        return await self._create(await self._new_run(actor, test))

    async def start_recorded(
        self, actor: Identity, draft: PreparedDraft, input_data: bytes, *, timeout_seconds: float
    ) -> Run:
        """Create a run of a whole draft with the input of another run, in the background.

        Raises:
            GatewayError: as `start`, for the input and the limits.
        """
        limits = await self._limits(actor)
        checked = await draft.checks.check(
            actor.profile_id, input_data, self._processes, self._parser
        )
        new = _new_run(
            actor,
            draft.flow_id,
            checked,
            draft.stored,
            timeout_seconds=timeout_seconds,
            limits=limits,
        )
        return await self._create(new)

    async def _create(self, new: NewRun) -> Run:
        created: CreatedRun = await self._store.create(new)
        self._launch(new.id, new.type, new.mode)
        return created.run

    async def _new_run(self, actor: Identity, test: FlowTest) -> NewRun:
        profile_id = actor.profile_id
        limits = await self._limits(actor)
        await asyncio.sleep(0)  # each of these walks takes milliseconds for a large flow
        spec = await check_draft(test.definition, self._processes.evaluator(profile_id))
        spec = reachable_part(spec)
        plan = select_nodes(compile_plan(spec), test.selection)
        await asyncio.sleep(0)
        pins = await pin_models(_called(spec, plan), self._models, profile_id)
        input_data = await self._input(profile_id, test, spec, plan, pins)
        draft = DraftFlow(definition=test.definition, selection=test.selection, models=pins)
        flow_id = NIL_ID if test.flow_id is None else test.flow_id.lower()
        return _new_run(
            actor,
            flow_id,
            input_data,
            _stored(draft),
            timeout_seconds=test.timeout_seconds,
            limits=limits,
        )

    async def _input(
        self,
        profile_id: str,
        test: FlowTest,
        spec: FlowSpec,
        plan: FlowPlan,
        pins: Mapping[str, Pin],
    ) -> bytes:
        """Return the input as the flow accepts it; `{}` if no node that runs has it."""
        runs_input = any(
            node.type == NodeType.API_INPUT and node.id not in test.selection.pins
            for node in plan.nodes
        )
        given = test.input_data
        if given is None:
            given = plan.test_data or {}
        if not runs_input:
            return b"{}"
        evaluator, deadline = self._processes.evaluator(profile_id), monotonic() + _CHECK_SECONDS
        checked = await plan.check_input(plan.selection.write(given), evaluator, deadline)
        if test.selection.is_all:
            from gateway.deployments.input_tensors import (  # noqa: PLC0415 - numpy, for this only
                input_tensors,
            )

            tensors = input_tensors(spec, plan, pins)
            await tensors.check(given, checked, self._parser, profile_id, deadline)
        return checked

    async def _limits(self, actor: Identity) -> tuple[ConcurrencyLimit, ...]:
        own = ConcurrencyLimit(
            policy=Policy(name="tests", quota=_MAX_UNFINISHED), kind="tests", id=actor.profile_id
        )
        if self._rate_limiter is None:
            return (own,)
        rate_limit, limits = self._rate_limiter.for_run(actor.limit_key, actor.limits, "", None)
        if rate_limit is not None:
            await rate_limit.acquire()
        return (own, *limits)


def _new_run(
    actor: Identity,
    flow_id: str,
    input_data: bytes,
    draft: bytes,
    *,
    timeout_seconds: float,
    limits: tuple[ConcurrencyLimit, ...],
) -> NewRun:
    return NewRun(
        profile_id=actor.profile_id,
        deployment_id=NIL_ID,
        version=0,
        flow_id=flow_id,
        mode=ExecutionMode.ASYNC,
        type=DeploymentType.SERVER,
        input_data=input_data,
        timeout_seconds=timeout_seconds,
        queue_timeout_seconds=_QUEUE_SECONDS,
        max_attempts=1,
        key_id=actor.key_id,
        draft=draft,
        concurrency_limits=limits,
    )


def _stored(draft: DraftFlow) -> bytes:
    try:
        return draft.dump()
    except ValueError as error:  # of the pins: the flow was checked
        message = f"pins: expected JSON that can be stored: {error}"
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message) from None


def _called(spec: FlowSpec, plan: FlowPlan) -> FlowSpec:
    """Return the nodes that run; a pinned one calls no model."""
    running = {node.id for node in plan.nodes if node.perform is not None}
    return FlowSpec(nodes=tuple(node for node in spec.nodes if node.id in running), edges=())
