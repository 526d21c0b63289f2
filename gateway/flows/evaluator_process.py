"""What an evaluator does.

Requests and replies are JSON. What was compiled is kept by its text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from gateway.children.child import Answer
from gateway.flows.cel.conversion import CelValues
from gateway.flows.cel.expression import compile_expression
from gateway.flows.cel.values import ExpressionError
from gateway.flows.compile_context import CompileContext
from gateway.flows.config_reader import ConfigReader
from gateway.flows.json_output import dump_values, load_values
from gateway.flows.json_schema import build_validator, schema_errors
from gateway.flows.node_types.handler import NodeError, Prepare
from gateway.flows.node_types.registry import HANDLERS
from gateway.flows.validation import InvalidSchemaError, ValidationErrors

_KEPT = 64
"""Programs and schemas, the most recently used ones."""

Json = dict[str, Any]
"""Any: JSON."""


def answer(request: bytes, body: bytes) -> bytes:
    """Answer one request about the JSON in `body`; MemoryError is for the caller."""
    task = orjson.loads(request)
    match task["kind"]:
        case "evaluate":
            return _evaluate(task["program"], load_values(body))
        case "validate":
            return orjson.dumps({"errors": _validate(task["schema"], orjson.loads(body))})
        case _:
            sources = json.loads(body)  # not orjson, which reads large integers as floats
            return orjson.dumps({"results": [_compile(source) for source in sources]})


def _evaluate(program: str, values: Json) -> bytes:
    try:
        value = dump_values(_prepare(program)(CelValues(values)))
    except (NodeError, ExpressionError, RecursionError) as error:
        if isinstance(error, RecursionError):
            message = "its values are nested too deeply"
            error = NodeError("expression_failed", message, unfit_value=True)
        failure = NodeError.of(error)
        return orjson.dumps(
            {
                "code": failure.code,
                "message": failure.message,
                "unfit_value": failure.unfit_value,
                "reads": None if failure.reads is None else sorted(failure.reads),
            }
        )
    return orjson.dumps({"value": orjson.Fragment(value)})


@lru_cache(maxsize=_KEPT)
def _prepare(program: str) -> Prepare:
    """Compile a program, see `gateway.flows.programs.Program`."""
    node = json.loads(program)
    errors = ValidationErrors()
    handler = HANDLERS[node["type"]]
    context = CompileContext(
        node["id"],
        "#/config",
        before=node["before"],
        errors=errors,
        compile_expression=compile_expression,
    )
    prepare = handler.prepare(handler.read(ConfigReader(node["config"], "", errors)), context)
    if errors.any:
        raise NodeError("expression_failed", errors.first)
    return prepare


def _validate(schema: str, input_data: Json) -> list[dict[str, str]]:
    try:
        return schema_errors(_validator(schema), input_data)
    except InvalidSchemaError as error:  # of a flow that was saved by an older release
        detail = f"the flow's input schema is no longer valid: {error.pointer}: {error.detail}"
        return [{"detail": detail, "pointer": "#/input_data"}]


@lru_cache(maxsize=_KEPT)
def _validator(schema: str) -> Any:  # Any: a validator of jsonschema, which has no types
    return build_validator(json.loads(schema))


def _compile(source: str | Mapping[str, Any]) -> Json:
    """Return the members of `gateway.flows.programs.Compiled`."""
    try:
        if isinstance(source, str):
            return {"roots": sorted(compile_expression(source).roots)}
        _validator(json.dumps(source))
    except ExpressionError as error:
        return {"error": str(error)}
    except InvalidSchemaError as error:
        return {"error": error.detail, "pointer": error.pointer}
    return {}


def start() -> Answer:
    """Return what answers the requests of this process."""
    return answer
