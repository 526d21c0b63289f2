"""What an evaluator does.

Requests and replies are JSON. What was compiled is kept by its text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

import orjson

from gateway.children.child import Answer
from gateway.flows.cel.conversion import CelValues
from gateway.flows.cel.expression import compile_expression
from gateway.flows.cel.inspection import (
    Failure,
    Inspection,
    inspect_expression,
    inspect_template,
)
from gateway.flows.cel.values import ExpressionError
from gateway.flows.compile_context import CompileContext
from gateway.flows.config_reader import ConfigReader
from gateway.flows.json_output import dump_values, load_values, shown_json, truncated
from gateway.flows.json_schema import build_validator, schema_errors
from gateway.flows.node_types.handler import NodeError, Prepare
from gateway.flows.node_types.registry import HANDLERS
from gateway.flows.validation import InvalidSchemaError, ValidationErrors

_KEPT = 64
"""Programs and schemas, the most recently used ones."""
_MAX_SHOWN_BYTES = 256 * 1024
"""Of all values of an inspection; a larger one is replaced by a marker, as in `node_outputs`."""

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
        case "inspect":
            return _inspect(task["text"], load_values(body), is_template=task["is_template"])
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


def _inspect(text: str, values: Json, *, is_template: bool) -> bytes:
    inspect = inspect_template if is_template else inspect_expression
    try:
        return orjson.dumps(asdict(_shown(inspect(text, values))))
    except (NodeError, RecursionError) as error:
        message = error.message if isinstance(error, NodeError) else "its value is too deep"
        failure = Failure(message=message, start=0, end=len(text))
        return orjson.dumps(asdict(Inspection(failure=failure)))


def _shown(found: Inspection) -> Inspection:
    """Return it with values as an answer has them: an event loop reads it, so it is small."""
    value, left = _shortened(found.value, _MAX_SHOWN_BYTES)
    steps = []
    for step in found.steps:
        shown, left = _shortened(step.value, left)
        steps.append(replace(step, value=shown))
    return replace(found, value=value, steps=tuple(steps))


def _shortened(value: Any, room: int) -> tuple[Any, int]:
    """Return a value (Any: JSON), truncated to `room` bytes, and what is left of these."""
    shown, used = truncated(*shown_json(value), room)
    return shown, max(0, room - used)


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
