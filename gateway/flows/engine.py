"""Runs a plan: every node as soon as those before it have ended, side by side where possible.

Pure but for time: the world is behind `Ports`. A node starts when all edges that lead to it are
decided, and at least one of them was taken; where none was, it is skipped, and so is what follows.
An edge is taken when its source was not skipped and, where it names a case, chose that case.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Literal

from gateway.errors import GatewayError
from gateway.flows.cel.values import ExpressionError
from gateway.flows.json_output import to_plain_json, truncated
from gateway.flows.node_types.handler import NodeError, RunContext
from gateway.flows.plan import FlowPlan, PlanNode
from gateway.flows.ports import Ports
from gateway.flows.result import FlowError, FlowErrorCode, FlowResult, NodeResult, NodeStatus
from protos.errors import ErrorCode

_MAX_TURN = 0.01
"""Seconds that a run computes before it lets others go on."""
_CANCEL_GRACE = 5.0
"""Seconds that a cancelled node has to end. After that it is left behind: the run must end."""
_DEADLINE_MARGIN = 0.05
"""Seconds before the deadline at which a call that was refused for it counts as timed out."""

OnNodeEnd = Callable[[NodeResult], None]


async def execute(
    plan: FlowPlan,
    input_data: Mapping[str, Any],
    ports: Ports,
    *,
    deadline: float,
    cancelled: asyncio.Event,
    report: OnNodeEnd | None = None,
    max_output_bytes: int = 256 * 1024,
) -> FlowResult:
    """Run `plan` on what `plan.check_input` returned, and return what came of it.

    Nodes that run at the `deadline` (`time.monotonic()`), when `cancelled` is set, or when this
    call is cancelled, are cancelled, and none is left behind. `report` hears of each node's end at
    once, and must not raise. All of `node_outputs` shares `max_output_bytes`: an output for which
    there is no room left is replaced by a marker. `output_data` is never shortened.
    """
    context = RunContext(values={}, input_data=input_data, ports=ports, deadline=deadline)
    run = _Execution(plan, context, cancelled, report, room=max_output_bytes)
    return await run.run()


@dataclass(frozen=True, slots=True)
class _StepResult:
    """How one node's step ended."""

    output: Any = None
    error: NodeError | None = None
    attempts: int = 1


class _Execution:
    def __init__(
        self,
        plan: FlowPlan,
        context: RunContext,
        cancelled: asyncio.Event,
        report: OnNodeEnd | None,
        *,
        room: int,
    ) -> None:
        self._plan = plan
        self._context = context
        self._values = context.values
        self._deadline = context.deadline
        self._cancelled = cancelled
        self._report = report
        self._room = room
        self._began = monotonic()
        self._open = [node.incoming for node in plan.nodes]
        self._reached = [node.incoming == 0 for node in plan.nodes]
        self._ready = deque(at for at, node in enumerate(plan.nodes) if not node.incoming)
        self._running: dict[asyncio.Task[_StepResult], tuple[int, float]] = {}
        self._ended: dict[str, NodeResult] = {}
        self._error: FlowError | None = None

    async def run(self) -> FlowResult:
        """Run until nothing is left to do, or the run is over otherwise."""
        stop: asyncio.Task[Any] | None = None
        try:
            while (self._ready or self._running) and not self._is_over():
                await self._start_ready()
                if self._running and self._error is None:
                    stop = stop or asyncio.create_task(self._cancelled.wait())
                    await self._wait(stop)
        finally:
            await self._stop(stop)
        return self._outcome()

    def _is_over(self) -> bool:
        """Whether nothing more may start; finds out about the deadline and about cancellation."""
        if self._error is None and self._cancelled.is_set():
            self._end("cancelled", "the run was cancelled", self._running_node())
        if self._error is None and monotonic() >= self._deadline:
            self._time_out(self._running_node())
        return self._error is not None

    async def _start_ready(self) -> None:
        turn = monotonic()
        while self._ready and not self._is_over():
            self._start(self._ready.popleft())
            if monotonic() - turn > _MAX_TURN:
                await asyncio.sleep(0)
                turn = monotonic()

    def _start(self, at: int) -> None:
        node = self._plan.nodes[at]
        began = monotonic()
        if node.step.compute is None:
            self._running[asyncio.create_task(self._perform(node))] = (at, began)
            return
        try:
            ended = _StepResult(output=node.step.compute(self._context))
        except (NodeError, GatewayError, ExpressionError) as error:
            ended = _StepResult(error=NodeError.of(error))
        self._settle(at, ended, began)

    async def _perform(self, node: PlanNode) -> _StepResult:
        """Try the node's step as often as its policy and the deadline allow."""
        assert node.step.perform is not None
        attempt = 1
        while True:
            try:
                output = await node.step.perform(self._context)
            except (NodeError, GatewayError, ExpressionError) as error:
                failure = NodeError.of(error)
            else:
                return _StepResult(output=output, attempts=attempt)
            pause = max(node.retry.delay(attempt), failure.retry_after or 0.0)
            again = failure.retryable and attempt < node.retry.attempts
            if not again or monotonic() + pause >= self._deadline:
                return _StepResult(error=failure, attempts=attempt)
            await asyncio.sleep(pause)
            attempt += 1

    async def _wait(self, stop: asyncio.Task[Any]) -> None:
        """Wait until a node ends, the run is cancelled, or the deadline is there."""
        await asyncio.wait(
            {*self._running, stop},
            timeout=max(0.0, self._deadline - monotonic()),
            return_when=asyncio.FIRST_COMPLETED,
        )
        for task in [task for task in self._running if task.done()]:
            at, began = self._running.pop(task)
            self._settle(at, task.result(), began)

    def _settle(self, at: int, ended: _StepResult, began: float) -> None:
        """Keep what a node gave, and see who comes next."""
        node, error = self._plan.nodes[at], ended.error
        value, length = None, 0
        notes: tuple[str, ...] = ()
        if error is None:
            try:
                value, length, notes = to_plain_json(ended.output)
            except NodeError as refusal:
                error = refusal
        if error is not None:
            value, length, notes = to_plain_json(node.on_error.output)
        self._values[node.id] = value
        self._note(
            node,
            NodeStatus.COMPLETED if error is None else NodeStatus.FAILED,
            value,
            length,
            duration_seconds=monotonic() - began,
            error=None if error is None else {"code": error.code, "message": error.message},
            attempts=ended.attempts,
            notes=notes,
        )
        if error is not None and not node.on_error.continues:
            self._fail(node, error)
        else:
            self._follow_edges(node, value)

    def _follow_edges(self, node: PlanNode, value: Any) -> None:
        """Decide the edges that start at `node`, and those after nodes that are skipped by that."""
        chosen = value.get("case") if node.is_branch and type(value) is dict else None
        decided = deque((edge.target, edge.case in {None, chosen}) for edge in node.outgoing)
        while decided:
            at, taken = decided.popleft()
            self._open[at] -= 1
            self._reached[at] |= taken
            if self._open[at]:
                continue
            if self._reached[at]:
                self._ready.append(at)
                continue
            skipped = self._plan.nodes[at]
            self._values[skipped.id] = None
            self._note(skipped, NodeStatus.SKIPPED)
            decided.extend((edge.target, False) for edge in skipped.outgoing)

    def _note(
        self, node: PlanNode, status: NodeStatus, value: Any = None, length: int = 0, **more: Any
    ) -> None:
        """Record how a node ended, and report it."""
        shown, used = truncated(value, length, self._room)
        self._room = max(0, self._room - used)
        output = NodeResult(
            id=node.id, name=node.name, type=node.type, status=status, output=shown, **more
        )
        self._ended[node.id] = output
        if self._report is not None:
            self._report(output)

    def _fail(self, node: PlanNode, error: NodeError) -> None:
        if (
            monotonic() >= self._deadline - _DEADLINE_MARGIN
            and error.code == ErrorCode.DEADLINE_EXCEEDED
        ):
            self._time_out(node)
        else:
            word: FlowErrorCode = "inference_unavailable" if error.unavailable else "flow_failed"
            self._end(word, error.message, node)

    def _time_out(self, node: PlanNode | None) -> None:
        seconds = self._deadline - self._began
        self._end("timeout", f"the run was not done within its {seconds:.3g} s", node)

    def _end(self, code: FlowErrorCode, message: str, node: PlanNode | None) -> None:
        if self._error is None:
            node_id = None if node is None else node.id
            self._error = FlowError(code=code, message=message, node_id=node_id)

    def _running_node(self) -> PlanNode | None:
        return next((self._plan.nodes[at] for at, _ in self._running.values()), None)

    async def _stop(self, stop: asyncio.Task[Any] | None) -> None:
        """Cancel what runs, and wait for it to end."""
        tasks: set[asyncio.Task[Any]] = {*self._running}
        if stop is not None:
            tasks.add(stop)
        if not tasks:
            return
        for task in tasks:
            task.add_done_callback(_consume_result)
            task.cancel()
        await asyncio.wait(tasks, timeout=_CANCEL_GRACE)
        for at, began in self._running.values():
            seconds = monotonic() - began
            self._note(self._plan.nodes[at], NodeStatus.CANCELLED, duration_seconds=seconds)

    def _outcome(self) -> FlowResult:
        for node in self._plan.nodes:
            if node.id not in self._ended:
                self._note(node, NodeStatus.SKIPPED)
        error = self._error
        output_data: dict[str, Any] | None = None
        if error is None:
            made = (self._values[node_id] for node_id in self._plan.outputs)
            parts = [value for value in made if type(value) is dict]
            output_data = {name: value for part in parts for name, value in part.items()}
        return FlowResult(
            status=_status(error),
            output_data=output_data,
            node_outputs={node.id: self._ended[node.id].to_json() for node in self._plan.nodes},
            error=error,
            duration_seconds=monotonic() - self._began,
        )


def _status(error: FlowError | None) -> Literal["completed", "failed", "cancelled"]:
    if error is None:
        return "completed"
    return "cancelled" if error.code == "cancelled" else "failed"


def _consume_result(task: asyncio.Task[Any]) -> None:
    """Note how a cancelled task ended, so that asyncio does not complain that nobody did."""
    if not task.cancelled():
        task.exception()
