"""The evaluators of flows, as the engine and the services see them: a pool, and a tenant in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.errors import GatewayError
from gateway.evaluator.errors import EvaluatorError, EvaluatorFailure
from gateway.evaluator.pool import EvaluatorPool
from gateway.flows.cel.values import NodeValues
from gateway.flows.json_output import dump_values, load_values
from gateway.flows.node_types.handler import NodeError
from gateway.flows.programs import Compiled, Program
from gateway.settings import Settings
from protos.errors import ErrorCode

_MODULE = "gateway.flows.evaluator_process"
_MAX_VALUES = 8 << 20
"""Bytes of the values that one node's expressions read."""


def build_evaluators(settings: Settings) -> EvaluatorPool:
    """Return the evaluators of this process, none of which is started."""
    return EvaluatorPool(
        _MODULE,
        size=settings.evaluators,
        memory_bytes=settings.evaluator_memory_bytes,
        cpu_seconds=settings.evaluation_seconds,
    )


class Evaluator:
    """Evaluates for one tenant: the engine's EvaluatorPort, SchemaPort and CompilerPort."""

    def __init__(self, pool: EvaluatorPool, tenant: str) -> None:
        self._pool = pool
        self._tenant = tenant

    async def evaluate(self, program: Program, values: NodeValues, deadline: float) -> Any:
        """See EvaluatorPort."""
        read = dump_values(program.select(values))
        if len(read) > _MAX_VALUES:
            message = f"its expressions read {len(read)} bytes, at most {_MAX_VALUES} are allowed"
            raise GatewayError(ErrorCode.EVALUATION_LIMIT, message)
        request = {"kind": "evaluate", "program": program.text, "values": orjson.Fragment(read)}
        answer = await self._ask(request, deadline, otherwise=ErrorCode.EVALUATION_LIMIT)
        if "code" in answer:
            raise NodeError(answer["code"], answer["message"], unfit_value=answer["unfit_value"])
        return answer["value"]

    async def validate(
        self, schema: str, input_data: bytes, deadline: float
    ) -> Sequence[Mapping[str, str]]:
        """See SchemaPort."""
        request = {
            "kind": "validate",
            "schema": schema,
            "input_data": orjson.Fragment(input_data),
        }
        answer = await self._ask(request, deadline, otherwise=ErrorCode.INVALID_INPUT)
        errors: Sequence[Mapping[str, str]] = answer["errors"]
        return errors

    async def compile(
        self, sources: Sequence[str | Mapping[str, Any]], deadline: float
    ) -> Sequence[Compiled]:
        """See CompilerPort."""
        # As text: orjson refuses large integers.
        request = {"kind": "compile", "sources": json.dumps(sources)}
        answer = await self._ask(request, deadline, otherwise=ErrorCode.INVALID_FLOW)
        return [Compiled(**one) for one in answer["results"]]

    async def _ask(
        self, request: Mapping[str, Any], deadline: float, *, otherwise: ErrorCode
    ) -> dict[str, Any]:
        """Return the answer; raise the code `otherwise` if the request takes too much."""
        try:
            reply = await self._pool.ask(self._tenant, orjson.dumps(request), deadline=deadline)
        except EvaluatorError as error:
            code = otherwise
            if error.failure is EvaluatorFailure.CLOSED:
                code = ErrorCode.SHUTTING_DOWN
            elif error.failure is EvaluatorFailure.UNAVAILABLE:
                code = ErrorCode.OVERLOADED
            elif error.failure is EvaluatorFailure.DEADLINE and code != ErrorCode.INVALID_FLOW:
                code = ErrorCode.DEADLINE_EXCEEDED  # the call's own
            raise GatewayError(code, _MESSAGES[otherwise].format(error.message)) from None
        answer: dict[str, Any] = load_values(reply)
        return answer


_MESSAGES = {
    ErrorCode.EVALUATION_LIMIT: "its expressions cannot be evaluated: {}",
    ErrorCode.INVALID_INPUT: "input_data cannot be validated: {}; send less data",
    ErrorCode.INVALID_FLOW: "cannot be compiled: {}; make it smaller",
}
