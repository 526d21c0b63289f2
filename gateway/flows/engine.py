"""Executes a plan: nodes start as soon as their predecessors have ended, concurrently if possible.

All I/O goes through `Ports`. A node starts when all its incoming edges are decided and at least one
of them is taken; if none is, the node is skipped, and so are its successors. An edge is taken if
its source was not skipped and, if the edge names a case, the source chose that case.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Literal

from gateway.errors import GatewayError
from gateway.flows.cel.numeric import NeedsEvaluatorError
from gateway.flows.cel.values import INPUT_DATA, ExpressionError
from gateway.flows.json_output import measure_json, shown_json, truncated
from gateway.flows.node_types.handler import NodeError, RunContext
from gateway.flows.plan import FlowPlan
from gateway.flows.plan_node import PlanNode
from gateway.flows.ports import Ports
from gateway.flows.result import FlowError, FlowErrorCode, FlowResult, NodeResult, NodeStatus
from gateway.flows.spec import NodeType
from protos.errors import ErrorCode

_MAX_TURN = 0.01
"""Seconds that a run computes before it yields to the event loop."""
_CANCEL_GRACE = 5.0
"""Seconds a cancelled node has to end. After that the run ends without waiting for it."""
_DEADLINE_MARGIN = 0.05
"""A node that fails with DEADLINE_EXCEEDED this many seconds before the deadline is a timeout."""

OnNodeEnd = Callable[[NodeResult], None]
LendSlot = Callable[[int], AbstractContextManager[object]]
"""Entered while a run only waits, with the bytes of JSON that it holds: its slot may be lent."""


async def execute(
    plan: FlowPlan,
    input_data: Mapping[str, Any],
    ports: Ports,
    *,
    deadline: float,
    cancelled: asyncio.Event,
    report: OnNodeEnd | None = None,
    lend_slot: LendSlot = nullcontext,
    max_output_bytes: int = 256 * 1024,
    began: float | None = None,
) -> FlowResult:
    """Execute `plan`.

    Args:
        plan: the compiled flow.
        input_data: what `plan.check_input` returned.
        ports: models, HTTP, evaluators and functions.
        deadline: `time.monotonic()`. Nodes that still run then are cancelled; the same applies
            once `cancelled` is set, or this call is cancelled.
        cancelled: cancels the run.
        report: called with the result of each node when it ends; must not raise.
        lend_slot: entered while all nodes that run only wait.
        max_output_bytes: shared by all of `node_outputs`; an output that exceeds the remainder is
            replaced by a marker. `output_data` is never truncated.
        began: `time.monotonic()` that the start times of nodes count from; None: this call.
    """
    context = RunContext(values={INPUT_DATA: input_data}, ports=ports, deadline=deadline)
    flow_run = _FlowRun(
        plan,
        context,
        cancelled,
        report,
        lend_slot=lend_slot,
        max_output_bytes=max_output_bytes,
        began=began,
    )
    return await flow_run.run()


@dataclass(frozen=True, slots=True)
class _StepResult:
    """The result of one node's step."""

    output: Any = None
    error: NodeError | None = None
    attempts: int = 1


class _FlowRun:
    def __init__(
        self,
        plan: FlowPlan,
        context: RunContext,
        cancelled: asyncio.Event,
        report: OnNodeEnd | None,
        *,
        lend_slot: LendSlot,
        max_output_bytes: int,
        began: float | None,
    ) -> None:
        self._plan = plan
        self._context = context
        self._values = context.values
        self._deadline = context.deadline
        self._cancelled = cancelled
        self._report = report
        self._lend_slot = lend_slot
        self._output_bytes_left = max_output_bytes
        self._held_bytes = 0
        """Of the outputs so far, as JSON."""
        self._started_at = monotonic()
        self._began = self._started_at if began is None else began
        self._undecided = [node.incoming for node in plan.nodes]
        self._reached = [node.incoming == 0 for node in plan.nodes]
        self._ready = deque(at for at, node in enumerate(plan.nodes) if not node.incoming)
        self._running: dict[asyncio.Task[_StepResult], tuple[int, float]] = {}
        self._ended: dict[str, NodeResult] = {}
        self._error: FlowError | None = None
        self._non_finite: set[str] = set()
        """The nodes whose outputs have NaN or infinities."""

    async def run(self) -> FlowResult:
        """Run until all nodes are done, or the run fails, is cancelled or times out."""
        cancel_task: asyncio.Task[Any] | None = None
        try:
            while (self._ready or self._running) and not self._is_over():
                await self._start_ready()
                if self._running and self._error is None:
                    cancel_task = cancel_task or asyncio.create_task(self._cancelled.wait())
                    await self._wait(cancel_task)
        finally:
            await self._stop(cancel_task)
        return self._result()

    def _is_over(self) -> bool:
        """Check cancellation and the deadline; return whether no more nodes may start."""
        if self._error is None and self._cancelled.is_set():
            self._fail_run("cancelled", "the run was cancelled", self._running_node())
        if self._error is None and monotonic() >= self._deadline:
            self._time_out(self._running_node())
        return self._error is not None

    async def _start_ready(self) -> None:
        turn_started_at = monotonic()
        while self._ready and not self._is_over():
            await self._start(self._ready.popleft())
            if monotonic() - turn_started_at > _MAX_TURN:
                await asyncio.sleep(0)
                turn_started_at = monotonic()

    async def _start(self, at: int) -> None:
        node = self._plan.nodes[at]
        started_at = monotonic()
        result = self._computed(node) if node.perform is None and node.is_local else None
        if result is None:
            self._running[asyncio.create_task(self._perform(node))] = (at, started_at)
        else:
            await self._on_node_end(at, result, started_at)

    def _computed(self, node: PlanNode) -> _StepResult | None:
        """Compute the values of a node here; return None if an evaluator has to."""
        try:
            return _StepResult(output=node.prepare(self._values))
        except (NodeError, GatewayError, ExpressionError) as error:
            return _StepResult(error=NodeError.of(error))
        except NeedsEvaluatorError:
            return None

    async def _perform(self, node: PlanNode) -> _StepResult:
        """Run the node's step, with retries as its policy and the deadline allow."""
        attempt = 1
        while True:
            try:
                output = await self._prepare(node)
                if node.perform is not None:
                    output = await node.perform(self._context, output)
            except (NodeError, GatewayError, ExpressionError) as error:
                failure = NodeError.of(error)
            else:
                return _StepResult(output=output, attempts=attempt)
            pause = max(node.retry.delay(attempt), failure.retry_after or 0.0)
            retry = failure.retryable and attempt < node.retry.attempts
            if not retry or monotonic() + pause >= self._deadline:
                return _StepResult(error=failure, attempts=attempt)
            await asyncio.sleep(pause)
            attempt += 1

    async def _prepare(self, node: PlanNode) -> Any:
        if node.is_local and node.perform is not None:  # else it was tried when the node started
            with suppress(NeedsEvaluatorError):
                return node.prepare(self._values)
        assert node.program is not None
        evaluator = self._context.ports.evaluator
        return await evaluator.evaluate(node.program, self._values, self._deadline)

    async def _wait(self, cancel_task: asyncio.Task[Any]) -> None:
        """Wait until a node ends, the run is cancelled, or the deadline passes."""
        only_waits = all(self._plan.nodes[at].waits for at, _ in self._running.values())
        with self._lend_slot(self._held_bytes) if only_waits else nullcontext():
            await asyncio.wait(
                {*self._running, cancel_task},
                timeout=max(0.0, self._deadline - monotonic()),
                return_when=asyncio.FIRST_COMPLETED,
            )
        for task in [task for task in self._running if task.done()]:
            at, started_at = self._running.pop(task)
            await self._on_node_end(at, task.result(), started_at)

    async def _on_node_end(self, at: int, result: _StepResult, started_at: float) -> None:
        """Store the node's output, or apply its error policy, and find its successors."""
        node, error = self._plan.nodes[at], result.error
        value = result.output
        length, non_finite = 0, False
        if error is None:
            try:
                length, non_finite = await measure_json(value)
            except NodeError as not_json:
                error = not_json
        if error is not None:
            value = node.on_error.output
            length, non_finite = await measure_json(value)
        self._values[node.id] = value
        self._held_bytes += length
        if non_finite:
            self._non_finite.add(node.id)
        self._record(
            node,
            NodeStatus.COMPLETED if error is None else NodeStatus.FAILED,
            value,
            length,
            duration_seconds=monotonic() - started_at,
            started_seconds=started_at - self._began,
            error=None if error is None else {"code": error.code, "message": error.message},
            attempts=result.attempts,
        )
        if error is not None and not node.on_error.continues:
            self._on_node_failure(node, error)
        else:
            self._follow_edges(node, value)

    def _follow_edges(self, node: PlanNode, value: Any) -> None:
        """Decide the outgoing edges of `node`, and those of all nodes skipped as a consequence."""
        chosen = value.get("case") if node.is_branch and type(value) is dict else None
        decided = deque((edge.target, edge.case in {None, chosen}) for edge in node.outgoing)
        while decided:
            at, taken = decided.popleft()
            self._undecided[at] -= 1
            self._reached[at] |= taken
            if self._undecided[at]:
                continue
            if self._reached[at]:
                self._ready.append(at)
                continue
            skipped = self._plan.nodes[at]
            self._values[skipped.id] = None
            self._record(skipped, NodeStatus.SKIPPED)
            decided.extend((edge.target, False) for edge in skipped.outgoing)

    def _record(
        self, node: PlanNode, status: NodeStatus, value: Any = None, length: int = 0, **more: Any
    ) -> None:
        """Record and report the result of a node."""
        # The caller has the input, and the output of the only api_output is `output_data`.
        repeats = node.type == NodeType.API_INPUT or self._plan.outputs == (node.id,)
        if not repeats:
            if node.id in self._non_finite:
                value, length = shown_json(value)
            more["output"], used = truncated(value, length, self._output_bytes_left)
            self._output_bytes_left = max(0, self._output_bytes_left - used)
        result = NodeResult(
            id=node.id,
            name=node.name,
            type=node.type,
            status=status,
            shows_output=not repeats,
            **more,
        )
        self._ended[node.id] = result
        if self._report is not None:
            self._report(result)

    def _on_node_failure(self, node: PlanNode, error: NodeError) -> None:
        late = monotonic() >= self._deadline - _DEADLINE_MARGIN
        if late and error.code == ErrorCode.DEADLINE_EXCEEDED:
            self._time_out(node)
        else:
            code: FlowErrorCode = "inference_unavailable" if error.unavailable else "flow_failed"
            if error.code == ErrorCode.EVALUATION_LIMIT:
                code = "evaluation_limit"
            elif error.code == ErrorCode.NO_ACTIVE_INFERENCE:
                code = "no_active_inference"
            elif error.unfit_value and self._plan.is_input(
                node.reads if error.reads is None else error.reads
            ):
                is_tensor = error.code == ErrorCode.INVALID_TENSOR
                code = "invalid_tensor" if is_tensor else "invalid_input"
            self._fail_run(code, error.message, node)

    def _time_out(self, node: PlanNode | None) -> None:
        seconds = self._deadline - self._started_at
        self._fail_run("timeout", f"the run exceeded its timeout of {seconds:.3g} s", node)

    def _fail_run(self, code: FlowErrorCode, message: str, node: PlanNode | None) -> None:
        if self._error is None:
            node_id = None if node is None else node.id
            self._error = FlowError(code=code, message=message, node_id=node_id)

    def _running_node(self) -> PlanNode | None:
        return next((self._plan.nodes[at] for at, _ in self._running.values()), None)

    async def _stop(self, cancel_task: asyncio.Task[Any] | None) -> None:
        """Cancel all running tasks and wait for them to end."""
        tasks: set[asyncio.Task[Any]] = {*self._running}
        if cancel_task is not None:
            tasks.add(cancel_task)
        if not tasks:
            return
        for task in tasks:
            task.add_done_callback(_consume_result)
            task.cancel()
        await asyncio.wait(tasks, timeout=_CANCEL_GRACE)
        for at, started_at in self._running.values():
            seconds = monotonic() - started_at
            self._record(
                self._plan.nodes[at],
                NodeStatus.CANCELLED,
                duration_seconds=seconds,
                started_seconds=started_at - self._began,
            )
        # A cancelled task refers to its frames, and these to this run: all of it would stay until
        # the garbage collector comes, the values of the nodes included.
        self._running.clear()

    def _result(self) -> FlowResult:
        for node in self._plan.nodes:
            if node.id not in self._ended:
                self._record(node, NodeStatus.SKIPPED)
        error = self._error
        output_data: dict[str, Any] | None = None
        if error is None:
            outputs = (self._values[node_id] for node_id in self._plan.outputs)
            parts = [value for value in outputs if type(value) is dict]
            output_data = {name: value for part in parts for name, value in part.items()}
        return FlowResult(
            status=_status(error),
            output_data=output_data,
            non_finite=not self._non_finite.isdisjoint(self._plan.outputs),
            node_outputs={node.id: self._ended[node.id].to_json() for node in self._plan.nodes},
            error=error,
            duration_seconds=monotonic() - self._started_at,
        )


def _status(error: FlowError | None) -> Literal["completed", "failed", "cancelled"]:
    if error is None:
        return "completed"
    return "cancelled" if error.code == "cancelled" else "failed"


def _consume_result(task: asyncio.Task[Any]) -> None:
    """Retrieve the exception of a cancelled task: asyncio would log it as never retrieved."""
    if not task.cancelled():
        task.exception()
