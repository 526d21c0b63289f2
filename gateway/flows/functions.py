"""The functions of Python nodes, as the engine and the services see them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, NoReturn

import orjson

from gateway.children.errors import ChildError, ChildFailure
from gateway.children.memory_budget import MemoryBudget
from gateway.children.metrics import ChildMetrics
from gateway.children.pool import ChildPool
from gateway.children.program import ChildProgram
from gateway.errors import GatewayError
from gateway.flows.json_output import dump_values, load_values
from gateway.flows.node_types.handler import NodeError
from gateway.settings import Settings
from protos.errors import ErrorCode

_MODULE = "gateway.flows.function_process"
_MAX_BYTES = 16 << 20
"""Of the inputs of one call, and of its result."""
_START_SECONDS = 300.0
"""For importing all functions."""
_CHECK_SECONDS = 60.0
"""For which saving a flow waits for that."""


def build_functions(settings: Settings, metrics: ChildMetrics, budget: MemoryBudget) -> ChildPool:
    """Return the function processes of this process, none of which is started."""
    program = ChildProgram(
        name="function",
        module=_MODULE,
        size=settings.function_processes,
        memory_bytes=min(settings.function_memory_bytes, budget.budget_bytes),
        cpu_seconds=None,
        max_reply_bytes=_MAX_BYTES,
        replaced_above_bytes=None,  # models stay in memory
        start_seconds=_START_SECONDS,
        cancel_grace_seconds=1.0,  # so that a short call does not cost them
        has_environment=True,
        has_timers=False,
        repeatable=False,
        output_lines=200,
    )
    return ChildPool(program, metrics, budget)


class FunctionCaller:
    """Calls functions for one tenant: the engine's FunctionPort."""

    def __init__(
        self,
        pool: ChildPool,
        tenant: str,
        before: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Call `before`, if it is given, when a process is free, and then the function."""
        self._pool = pool
        self._tenant = tenant
        self._before = before

    async def call(self, function: str, inputs: Any, deadline: float) -> Any:
        """See FunctionPort."""
        body = dump_values(inputs)
        if len(body) > _MAX_BYTES:
            message = (
                f"{function}: its inputs take {len(body)} bytes, at most {_MAX_BYTES} are sent"
            )
            raise NodeError("python_failed", message)
        answer = await self._ask("call", function, body, deadline)
        if failure := answer.get("failure"):
            raise NodeError(**failure)
        return answer["value"]

    async def check(self, function: str) -> str | None:
        """Return why a function cannot be called; None if it can.

        Raises:
            GatewayError: DEADLINE_EXCEEDED, OVERLOADED, SHUTTING_DOWN.
        """
        try:
            answer = await self._ask("check", function, b"", monotonic() + _CHECK_SECONDS)
        except NodeError as error:
            return error.message
        problem: str | None = answer.get("error")
        return problem

    async def _ask(self, kind: str, function: str, body: bytes, deadline: float) -> dict[str, Any]:
        request = orjson.dumps({"kind": kind, "function": function})
        try:
            reply = await self._pool.ask(
                self._tenant, request, body, deadline=deadline, before=self._before
            )
        except ChildError as error:
            _raise(function, error)
        answer: dict[str, Any] = load_values(reply)
        return answer


def _raise(function: str, error: ChildError) -> NoReturn:
    message = f"{function}: {error.message}"
    match error.failure:
        case ChildFailure.DEADLINE:
            raise GatewayError(ErrorCode.DEADLINE_EXCEEDED, message) from None
        case ChildFailure.CLOSED:
            raise GatewayError(ErrorCode.SHUTTING_DOWN, message) from None
        case ChildFailure.UNAVAILABLE | ChildFailure.OVERLOADED:
            raise GatewayError(ErrorCode.OVERLOADED, message) from None
        case ChildFailure.CRASH:
            raise NodeError("python_failed", f"{function}: its process ended during the call")
        case _:
            raise NodeError("python_failed", message) from None
