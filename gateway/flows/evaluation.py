"""The evaluators of flows, as the engine and the services see them: a pool, and a tenant in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.children.errors import ChildError, ChildFailure
from gateway.children.memory_budget import MemoryBudget
from gateway.children.metrics import ChildMetrics
from gateway.children.pool import ChildPool
from gateway.children.program import ChildProgram
from gateway.errors import GatewayError
from gateway.flows.cel.values import NodeValues
from gateway.flows.functions import FunctionCaller
from gateway.flows.json_output import dump_values, load_values
from gateway.flows.node_types.handler import NodeError
from gateway.flows.programs import Compiled, Program
from gateway.settings import Settings
from gateway.storage.stored_json import dump_stored
from protos.errors import ErrorCode

_MODULE = "gateway.flows.evaluator_process"
_MAX_VALUES = 8 << 20
"""Bytes of the values that one node's expressions read."""
_MAX_RESULT = 8 << 20
"""Bytes of what they return."""


def build_evaluators(settings: Settings, metrics: ChildMetrics, budget: MemoryBudget) -> ChildPool:
    """Return the evaluators of this process, none of which is started."""
    program = ChildProgram(
        name="evaluator",
        module=_MODULE,
        size=settings.evaluators,
        memory_bytes=min(settings.evaluator_memory_bytes, budget.budget_bytes),
        cpu_seconds=settings.evaluation_seconds,
        max_reply_bytes=_MAX_RESULT,
        idle_seconds=60.0,
        kept_idle=1,
        lowers_priority=True,
    )
    return ChildPool(program, metrics, budget)


class Evaluator:
    """Evaluates for one tenant: the engine's EvaluatorPort, SchemaPort and CompilerPort."""

    def __init__(self, pool: ChildPool, functions: FunctionCaller, tenant: str) -> None:
        self._pool = pool
        self._functions = functions
        self._tenant = tenant

    async def evaluate(self, program: Program, values: NodeValues, deadline: float) -> Any:
        """See EvaluatorPort."""
        read = dump_values(program.select(values))
        if len(read) > _MAX_VALUES:
            message = f"its expressions read {len(read)} bytes, at most {_MAX_VALUES} are allowed"
            raise GatewayError(ErrorCode.EVALUATION_LIMIT, message)
        request = {"kind": "evaluate", "program": program.text}
        answer = await self._ask(request, deadline, otherwise=ErrorCode.EVALUATION_LIMIT, body=read)
        if "code" in answer:
            raise NodeError(**answer)
        return answer["value"]

    async def inspect(
        self, text: str, values: NodeValues, deadline: float, *, is_template: bool
    ) -> dict[str, Any]:
        """Return the members of an `Inspection` of an expression or a template (Any: JSON).

        Raises:
            GatewayError: EVALUATION_LIMIT if it takes too much; DEADLINE_EXCEEDED; OVERLOADED;
                SHUTTING_DOWN.
        """
        request = {"kind": "inspect", "text": text, "is_template": is_template}
        body = dump_values(values)
        return await self._ask(request, deadline, otherwise=ErrorCode.EVALUATION_LIMIT, body=body)

    async def validate(
        self, schema: str, input_data: bytes, deadline: float
    ) -> Sequence[Mapping[str, str]]:
        """See SchemaPort."""
        request = {"kind": "validate", "schema": schema}
        answer = await self._ask(
            request, deadline, otherwise=ErrorCode.INVALID_INPUT, body=input_data
        )
        errors: Sequence[Mapping[str, str]] = answer["errors"]
        return errors

    async def compile(
        self, sources: Sequence[str | Mapping[str, Any]], deadline: float
    ) -> Sequence[Compiled]:
        """See CompilerPort."""
        body = dump_stored(sources)
        answer = await self._ask(
            {"kind": "compile"}, deadline, otherwise=ErrorCode.INVALID_FLOW, body=body
        )
        return [Compiled(**one) for one in answer["results"]]

    async def check_function(self, function: str) -> str | None:
        """See CompilerPort."""
        return await self._functions.check(function)

    async def _ask(
        self,
        request: Mapping[str, Any],
        deadline: float,
        *,
        otherwise: ErrorCode,
        body: bytes,
    ) -> dict[str, Any]:
        """Return the answer; raise the code `otherwise` if the request takes too much."""
        try:
            reply = await self._pool.ask(
                self._tenant, orjson.dumps(request), body, deadline=deadline
            )
        except ChildError as error:
            code = otherwise
            if error.failure is ChildFailure.CLOSED:
                code = ErrorCode.SHUTTING_DOWN
            elif error.failure in (ChildFailure.UNAVAILABLE, ChildFailure.OVERLOADED):
                code = ErrorCode.OVERLOADED
            elif error.failure is ChildFailure.DEADLINE:
                # The call's own, or of what a busy host gives little time: it may be valid.
                is_compiled = code is ErrorCode.INVALID_FLOW
                code = ErrorCode.OVERLOADED if is_compiled else ErrorCode.DEADLINE_EXCEEDED
            raise GatewayError(code, _MESSAGES[otherwise].format(error.message)) from None
        answer: dict[str, Any] = load_values(reply)
        return answer


_MESSAGES = {
    ErrorCode.EVALUATION_LIMIT: "its expressions cannot be evaluated: {}",
    ErrorCode.INVALID_INPUT: "input_data cannot be validated: {}; send less data",
    ErrorCode.INVALID_FLOW: "cannot be compiled: {}; try again, or make it smaller",
}
