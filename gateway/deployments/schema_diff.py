"""What a new JSON Schema of `input_data` asks of callers who kept to the old one. Pure.

A change is breaking where a body that was valid may be refused afterwards. Where that cannot be
told by looking, it counts as breaking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.deployments.graph_diff import escaped, same

# Any, throughout: a JSON Schema
Schema = Mapping[str, Any]

_NOTES = frozenset(
    {
        "$comment",
        "$id",
        "$schema",
        "default",
        "deprecated",
        "description",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    }
)
"""Keywords that validate nothing."""
_LEAST = frozenset({"exclusiveMinimum", "minItems", "minLength", "minProperties", "minimum"})
_MOST = frozenset({"exclusiveMaximum", "maxItems", "maxLength", "maxProperties", "maximum"})
_SHOWN = 5
_OBJECT: Schema = {"type": "object"}
"""What no schema at all means: `input_data` is always an object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaChange:
    """One keyword with another value. What is not there is None."""

    pointer: str
    """Into the schema, such as `/properties/x/type`."""
    before: Any
    after: Any
    breaking: bool
    reason: str


def diff_schemas(before: Schema | None, after: Schema | None) -> tuple[SchemaChange, ...]:
    """Return what leads from one schema to the other; None is a flow that asks for nothing."""
    old = {**_OBJECT, **(before or {})}
    new = {**_OBJECT, **(after or {})}
    return tuple(_compare(old, new, ""))


def _compare(old: Schema, new: Schema, at: str) -> Iterator[SchemaChange]:
    for keyword in sorted(old.keys() | new.keys()):
        before, after = old.get(keyword), new.get(keyword)
        if same(before, after):
            continue
        pointer = f"{at}/{escaped(keyword)}"
        if keyword == "properties" and _objects(before, after):
            yield from _properties(before or {}, after or {}, new, pointer)
        elif keyword == "items" and isinstance(before, dict) and isinstance(after, dict):
            yield from _compare(before, after, pointer)
        else:
            breaking, reason = _judged(keyword, before, after)
            yield SchemaChange(
                pointer=pointer, before=before, after=after, breaking=breaking, reason=reason
            )


def _properties(old: Schema, new: Schema, schema: Schema, at: str) -> Iterator[SchemaChange]:
    closed = schema.get("additionalProperties", True) is not True
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        pointer = f"{at}/{escaped(name)}"
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _compare(before, after, pointer)
        elif name not in new:
            reason = "what callers send there is refused" if closed else "no longer asked for"
            yield SchemaChange(
                pointer=pointer, before=before, after=None, breaking=closed, reason=reason
            )
        elif name not in old:
            needed = name in _names(schema.get("required"))
            reason = "callers do not send it yet" if needed else "may be left out"
            yield SchemaChange(
                pointer=pointer, before=None, after=after, breaking=needed, reason=reason
            )
        elif not same(before, after):
            breaking, reason = _unknown(before, after)
            yield SchemaChange(
                pointer=pointer, before=before, after=after, breaking=breaking, reason=reason
            )


# What a change of one keyword means; None is a keyword that is not there.
_Verdict = tuple[bool, str]
_Judge = Callable[[Any, Any], _Verdict]


def _judged(keyword: str, before: object, after: object) -> _Verdict:
    try:
        return _JUDGES.get(keyword, _unknown)(before, after)
    except TypeError:  # a keyword with a value that JSON Schema knows nothing of
        return True, "not a JSON Schema"


def _unknown(before: object, after: object) -> _Verdict:
    if after is None:
        return False, "asks for less"
    return True, "may refuse what was valid" if before is None else "may ask for something else"


def _note(_before: object, _after: object) -> _Verdict:
    return False, "a note for people"


def _required(before: Any, after: Any) -> _Verdict:
    new = sorted(_names(after) - _names(before))
    if new:
        return True, f"now required: {', '.join(new)}"
    return False, "fewer are required"


def _types(before: Any, after: Any) -> _Verdict:
    if after is None:
        return False, "any type will do"
    if before is None:
        return True, "any type would do before"
    gone = _listed(before) - _listed(after)
    if "integer" in gone and "number" in _listed(after):
        gone -= {"integer"}
    if gone:
        return True, f"no longer accepted: {', '.join(sorted(gone))}"
    return False, "more types are accepted"


def _names(required: Any) -> set[str]:
    return {str(name) for name in required} if isinstance(required, list) else set()


def _objects(*values: object) -> bool:
    """Whether each is an object, or is not there."""
    return all(isinstance(value, dict | None) for value in values)


def _listed(types: Any) -> set[str]:
    return {types} if isinstance(types, str) else set(types)


def _enum(before: Any, after: Any) -> _Verdict:
    if after is None:
        return False, "any value will do"
    if before is None:
        return True, "any value would do before"
    gone = [value for value in before if not any(same(value, kept) for kept in after)]
    if gone:
        return True, f"no longer accepted: {', '.join(str(value) for value in gone[:_SHOWN])}"
    return False, "more values are accepted"


def _least(before: Any, after: Any) -> _Verdict:
    if after is None or (before is not None and after < before):
        return False, "smaller is accepted"
    return True, "what was large enough may be too small"


def _most(before: Any, after: Any) -> _Verdict:
    if after is None or (before is not None and after > before):
        return False, "larger is accepted"
    return True, "what was small enough may be too large"


def _additional(before: Any, after: Any) -> _Verdict:
    if after in (None, True):
        return False, "other members are accepted"
    if before is False:
        return False, "some other members are accepted"
    return True, "members beside those named may be refused"


_JUDGES: Mapping[str, _Judge] = {
    **dict.fromkeys(_NOTES, _note),
    **dict.fromkeys(_LEAST, _least),
    **dict.fromkeys(_MOST, _most),
    "additionalProperties": _additional,
    "enum": _enum,
    "required": _required,
    "type": _types,
}
