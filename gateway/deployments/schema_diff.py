"""Compares two input schemas: which changes may break callers that conform to the old one. Pure.

One rule per kind of keyword: removing a constraint, relaxing a limit, accepting more values and
requiring fewer members is compatible. Any other change counts as breaking.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.deployments.graph_diff import same
from gateway.flows.spec import input_config
from gateway.flows.validation import pointer_token

# Any, throughout: a JSON Schema
Schema = Mapping[str, Any]

_ANNOTATIONS = frozenset(
    {"$comment", "$id", "$schema", "default", "deprecated", "description", "examples", "readOnly"}
    | {"title", "writeOnly"}
)
"""Keywords that validate nothing."""
_MAX_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaChange:
    """One keyword with another value. An absent value is None."""

    pointer: str
    """Into the schema, such as `/properties/x/type`."""
    before: Any
    after: Any
    breaking: bool
    reason: str


def accepted_schema(definition: Schema) -> Schema | None:
    """Return the schema that a flow's `input_data` must conform to; None: it has no schema.

    Inputs that `properties` do not name are not validated: `additional_inputs` of the node drops or
    refuses them before.
    """
    config = input_config(definition)
    schema: Schema | None = config.get("schema")
    if schema is None or schema.get("additionalProperties") not in (None, False):
        return schema
    accepted = {name: value for name, value in schema.items() if name != "additionalProperties"}
    if config.get("additional_inputs") == "reject":
        accepted["additionalProperties"] = False
    return accepted


def diff_schemas(before: Schema | None, after: Schema | None) -> tuple[SchemaChange, ...]:
    """Return the changes from one schema to the other; None is a flow without a schema."""
    # `input_data` is always an object.
    return tuple(_diff({"type": "object", **(before or {})}, {"type": "object", **(after or {})}))


def _diff(old: Schema, new: Schema, pointer: str = "") -> Iterator[SchemaChange]:
    for keyword in sorted(old.keys() | new.keys()):
        before, after = old.get(keyword), new.get(keyword)
        at = f"{pointer}/{pointer_token(keyword)}"
        if same(before, after):
            continue
        if keyword == "properties" and all(isinstance(one, dict | None) for one in (before, after)):
            yield from _diff_properties(before or {}, after or {}, new, at)
        elif keyword == "items" and isinstance(before, dict) and isinstance(after, dict):
            yield from _diff(before, after, at)
        else:
            yield _change(at, before, after, *_judge(keyword, before, after))


def _diff_properties(old: Schema, new: Schema, schema: Schema, at: str) -> Iterator[SchemaChange]:
    open_ = schema.get("additionalProperties", True) is True
    required = schema.get("required")
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        pointer = f"{at}/{pointer_token(name)}"
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _diff(before, after, pointer)
        elif name not in new:
            reason = "no longer used" if open_ else "no longer accepted"
            yield _change(pointer, before, after, not open_, reason)
        elif name not in old:
            needed = isinstance(required, list) and name in required
            reason = "new required property" if needed else "new optional property"
            yield _change(pointer, before, after, needed, reason)
        elif not same(before, after):
            yield _change(pointer, before, after, True, "constraint changed")


def _change(
    pointer: str, before: object, after: object, breaking: bool, reason: str
) -> SchemaChange:
    return SchemaChange(
        pointer=pointer, before=before, after=after, breaking=breaking, reason=reason
    )


def _judge(keyword: str, before: Any, after: Any) -> tuple[bool, str]:
    """Return whether a change of one keyword is breaking, and the reason."""
    if keyword in _ANNOTATIONS:
        return False, "annotation only"
    if keyword == "additionalProperties":  # absent means true
        before, after = (None if one is True else one for one in (before, after))
    if after is None:
        return False, "constraint removed"
    try:
        return _judge_new_value(keyword, before, after)
    except TypeError:
        return True, "not a valid JSON Schema"


def _judge_new_value(keyword: str, before: Any, after: Any) -> tuple[bool, str]:
    if keyword == "required":
        added = _missing(after, before or [])
        return bool(added), f"now required: {_listed(added)}" if added else "fewer required"
    if before is None:
        return True, "constraint added"
    if keyword in {"type", "enum"}:
        lost = _missing(_values(before), _values(after))
        if keyword == "type" and "number" in _values(after):
            lost = [one for one in lost if one != "integer"]
        return bool(lost), f"no longer accepted: {_listed(lost)}" if lost else "more accepted"
    relaxed = before is False  # additionalProperties
    if keyword.startswith(("min", "exclusiveMin")):
        relaxed = after < before
    elif keyword.startswith(("max", "exclusiveMax")):
        relaxed = after > before
    return not relaxed, "constraint relaxed" if relaxed else "constraint changed"


def _values(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) else list(value)


def _missing(values: list[Any], others: list[Any]) -> list[Any]:
    return [one for one in values if not any(same(one, other) for other in others)]


def _listed(values: list[Any]) -> str:
    return ", ".join(str(one) for one in values[:_MAX_SHOWN])
