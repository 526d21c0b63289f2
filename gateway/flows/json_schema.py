"""JSON Schemas that strangers' data is checked by. Pure.

A reference never leaves its schema (the library would fetch it), and patterns are matched by CEL's
engine, whose time grows with the text and no faster; Python's can be made to hang.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, exceptions, validators
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from gateway.flows.cel_library import CEL_ERRORS, compile_cel
from gateway.flows.findings import pointer_token
from gateway.flows.input_check import SchemaError

_MATCH = compile_cel("text.matches(pattern)")


def validator_of(schema: Mapping[str, Any]) -> Any:
    """Return what checks values by `schema` (Any: a `jsonschema` validator, JSON).

    Raises:
        SchemaError: it is no JSON Schema, or one that is not taken here.
    """
    _check_schema(schema)
    return _Validator(schema, registry=Registry())


def _check_schema(schema: Mapping[str, Any]) -> None:
    try:
        Draft202012Validator.check_schema(schema)
    except exceptions.SchemaError as error:
        path = "".join(f"/{pointer_token(str(step))}" for step in error.absolute_path)
        raise SchemaError(path, f"no JSON Schema: {error.message[:300]}") from None
    resolver = Registry().resolver_with_root(DRAFT202012.create_resource(dict(schema)))
    for pointer, word, value in _words(schema, ""):
        if word == "patternProperties":  # matched by Python's engine
            raise SchemaError(pointer, f"{word} is not offered: name the properties")
        if word == "pattern" and isinstance(value, str):
            _check_pattern(pointer, value)
        if word in {"$ref", "$dynamicRef"} and isinstance(value, str):
            if not value.startswith("#"):
                raise SchemaError(pointer, f"'{value}' leaves the schema: refer to its own $defs")
            try:
                resolver.lookup(value)
            except Unresolvable:
                raise SchemaError(pointer, f"there is no '{value}' in the schema") from None


def _words(schema: Any, pointer: str) -> Iterator[tuple[str, str, Any]]:
    """Yield each member of an object at any depth, with its pointer."""
    if isinstance(schema, list):
        for index, one in enumerate(schema):
            yield from _words(one, f"{pointer}/{index}")
    elif isinstance(schema, dict):
        for word, value in schema.items():
            at = f"{pointer}/{pointer_token(word)}"
            yield at, word, value
            yield from _words(value, at)


def _check_pattern(pointer: str, pattern: str) -> None:
    try:
        _matches(pattern, "")
    except CEL_ERRORS:
        detail = "expected a regular expression without look-around and back-references"
        raise SchemaError(pointer, f"{detail}, got '{pattern[:200]}'") from None


def _matches(pattern: str, text: str) -> bool:
    found: bool = _MATCH.execute({"pattern": pattern, "text": text})
    return found


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[Any]:
    if isinstance(instance, str) and not _matches(pattern, instance):
        yield exceptions.ValidationError(f"{instance[:100]!r} does not match '{pattern}'")


# Any: the library has no types for what it makes here.
_Validator: Any = validators.extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {"pattern": _pattern}
)
