"""JSON Schemas and tensors as types of TypeScript. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from gateway.models.pins import TensorSpec
from protos.non_finite import NON_FINITE

_MAX_DEPTH = 12
"""Schemas nested deeper, and recursive ones, end as `unknown`."""
_MAX_LENGTH = 4096
"""Of a type: longer ones are of no use to a reader, and take seconds to highlight."""
_OBJECT = "Record<string, unknown>"
_SIMPLE = {
    "string": "string",
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "null": "null",
    "object": _OBJECT,
    "array": "unknown[]",
}


# Any, throughout: JSON Schema
def type_of_input(schema: Any) -> str:
    """Return the type of an `input_data` that a schema accepts, or a wider one."""
    return _OBJECT if schema is None else _if_short(type_of_schema(schema))


def type_of_schema(schema: Any, *, depth: int = 0) -> str:
    """Return the type of the values that a schema accepts, or a wider one."""
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return "unknown"
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return _joined([json.dumps(value) for value in schema["enum"]], " | ")
    for keyword, separator in (("anyOf", " | "), ("oneOf", " | "), ("allOf", " & ")):
        if keyword in schema:
            parts = [type_of_schema(part, depth=depth + 1) for part in schema[keyword]]
            return _joined(parts, separator)
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return _joined([_type_of_kind(kind, schema, depth) for kind in kinds], " | ")
    return _type_of_kind(kinds, schema, depth)


def type_of_outputs(outputs: Sequence[tuple[str, TensorSpec]]) -> str:
    """Return the type of an `output_data` whose members are tensors."""
    members = (f"{json.dumps(name)}: {_type_of_tensor(spec)}" for name, spec in outputs)
    return _if_short(f"{{ {'; '.join(members)} }}")


def _if_short(written: str) -> str:
    return written if len(written) <= _MAX_LENGTH else _OBJECT


def _type_of_kind(kind: object, schema: dict[str, Any], depth: int) -> str:
    if kind == "object" and isinstance(schema.get("properties"), dict):
        required = schema.get("required", [])
        members = [
            f"{json.dumps(name)}{'' if name in required else '?'}: "
            + type_of_schema(member, depth=depth + 1)
            for name, member in schema["properties"].items()
        ]
        return f"{{ {'; '.join(members)} }}" if members else _OBJECT
    if kind == "array" and isinstance(schema.get("items"), dict):
        return f"Array<{type_of_schema(schema['items'], depth=depth + 1)}>"
    return _SIMPLE.get(kind, "unknown") if isinstance(kind, str) else "unknown"


def _type_of_tensor(spec: TensorSpec) -> str:
    if spec.shape is None:
        return "unknown"
    from protos.datatypes import DATATYPES  # noqa: PLC0415 - numpy, for this only

    datatype = DATATYPES[spec.datatype]
    element = "string"
    if datatype.size:
        element = {"b": "boolean", "i": "number", "u": "number"}.get(
            datatype.dtype.kind, _joined(["number", *map(json.dumps, NON_FINITE)], " | ")
        )
    for _ in spec.shape:
        element = f"Array<{element}>"
    return element


def _joined(types: Sequence[str], separator: str) -> str:
    known = list(dict.fromkeys(types))
    if not known:
        return "unknown"
    return known[0] if len(known) == 1 else f"({separator.join(known)})"
