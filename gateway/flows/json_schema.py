"""Validators for untrusted JSON Schemas and untrusted data, in an evaluator. Pure.

References to other documents are refused, as the library would fetch them. Patterns are matched by
CEL's regex engine, which takes linear time; Python's `re` is vulnerable to catastrophic
backtracking.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import orjson
from jsonschema import Draft202012Validator, exceptions, validators
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from gateway.flows.cel.library import CEL_ERRORS, compile_cel
from gateway.flows.validation import InvalidSchemaError, pointer_token

_MAX_PARTS = 5_000
"""Checking a schema against its meta-schema takes about 0.5 ms per subschema."""
_SHOWN = 20
_ROOT = "#/input_data"
_MAX_PATTERN = 1_000
"""Characters of a pattern. Python's `re` takes 2 µs for each, and recurses into groups."""


def build_validator(schema: Mapping[str, Any]) -> Any:
    """Return a validator for `schema` (Any: a `jsonschema` validator, JSON).

    Raises:
        InvalidSchemaError: not a JSON Schema, or one with an unsupported keyword.
    """
    _check_schema(schema)
    return _Validator(schema, registry=Registry())


def schema_errors(validator: Any, input_data: Any) -> list[dict[str, str]]:
    """Return the first errors of `input_data` by `validator`, each with its pointer."""
    try:
        return [_error_item(error) for error in islice(validator.iter_errors(input_data), _SHOWN)]
    except RecursionError:
        return [{"detail": "nested too deeply to be validated", "pointer": _ROOT}]


def _error_item(error: Any) -> dict[str, str]:
    pointer = "/".join([_ROOT, *(pointer_token(str(step)) for step in error.absolute_path)])
    return {"detail": error.message[:500], "pointer": pointer}


def _check_schema(schema: Mapping[str, Any]) -> None:
    parts = _count_subschemas(schema)
    if parts > _MAX_PARTS:
        raise InvalidSchemaError(
            "", f"expected at most {_MAX_PARTS} keywords and subschemas, got {parts}"
        )
    _check_patterns(schema)
    try:
        Draft202012Validator.check_schema(schema)
    except exceptions.SchemaError as error:
        path = "".join(f"/{pointer_token(str(step))}" for step in error.absolute_path)
        raise InvalidSchemaError(path, f"not a valid JSON Schema: {error.message[:300]}") from None
    except RecursionError:
        raise InvalidSchemaError("", "a pattern or subschema is nested too deeply") from None
    resolver = Registry().resolver_with_root(DRAFT202012.create_resource(dict(schema)))
    for pointer, keyword, value in _keywords(schema, ""):
        if keyword == "pattern" and isinstance(value, str):
            _check_pattern(pointer, value)
        if keyword in {"$ref", "$dynamicRef"} and isinstance(value, str):
            if not value.startswith("#"):
                detail = f"expected a reference within the schema, such as #/$defs/x, got '{value}'"
                raise InvalidSchemaError(pointer, detail)
            try:
                resolver.lookup(value)
            except Unresolvable:
                raise InvalidSchemaError(
                    pointer, f"'{value}' does not exist in the schema"
                ) from None


def _check_patterns(schema: Mapping[str, Any]) -> None:
    """Check patterns before the library sees them, which compiles them with Python's `re`."""
    for pointer, keyword, value in _keywords(schema, ""):
        if keyword == "patternProperties":
            raise InvalidSchemaError(pointer, f"{keyword} is not supported: use properties")
        if keyword == "pattern" and isinstance(value, str) and len(value) > _MAX_PATTERN:
            detail = f"expected a pattern of at most {_MAX_PATTERN} characters, got {len(value)}"
            raise InvalidSchemaError(pointer, detail)


def _count_subschemas(schema: Any) -> int:
    """Count the subschemas and keywords."""
    if isinstance(schema, dict):
        return 1 + len(schema) + sum(_count_subschemas(value) for value in schema.values())
    if isinstance(schema, list):
        return sum(_count_subschemas(value) for value in schema)
    return int(isinstance(schema, bool))


def _keywords(schema: Any, pointer: str) -> Iterator[tuple[str, str, Any]]:
    """Yield each member of an object at any depth, with its pointer."""
    if isinstance(schema, list):
        for index, one in enumerate(schema):
            yield from _keywords(one, f"{pointer}/{index}")
    elif isinstance(schema, dict):
        for keyword, value in schema.items():
            at = f"{pointer}/{pointer_token(keyword)}"
            yield at, keyword, value
            yield from _keywords(value, at)


def _check_pattern(pointer: str, pattern: str) -> None:
    try:
        _matches(pattern, "")
    except CEL_ERRORS:
        detail = "expected a regular expression without look-around and back-references"
        raise InvalidSchemaError(pointer, f"{detail}, got '{pattern[:200]}'") from None


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[Any]:
    if not isinstance(instance, str):
        return
    if not _matches(pattern, instance):
        yield exceptions.ValidationError(f"{instance[:100]!r} does not match '{pattern}'")


def _unique_items(_validator: Any, wanted: bool, instance: Any, _schema: Any) -> Iterator[Any]:
    """Compare serialized items: the library's comparison of all pairs is quadratic."""
    if not wanted or not isinstance(instance, list):
        return
    if len(
        {orjson.dumps(_canonical(item), option=orjson.OPT_SORT_KEYS) for item in instance}
    ) < len(instance):
        yield exceptions.ValidationError("has duplicate items, expected unique ones")


def _canonical(value: Any) -> Any:
    """Return the value with 1 in place of 1.0, which JSON Schema treats as equal."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _MAX_INTEGER else value
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, dict):
        return {name: _canonical(item) for name, item in value.items()}
    return value


def _matches(pattern: str, text: str) -> bool:
    """Whether `pattern` is found in `text`; raises one of CEL_ERRORS if the pattern is invalid."""
    found: bool = _MATCH.execute({"pattern": pattern, "text": text})
    return found


_MATCH = compile_cel("text.matches(pattern)")
_MAX_INTEGER = 2.0**63
# Any: the library has no types for what it makes here.
_Validator: Any = validators.extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {"pattern": _pattern, "uniqueItems": _unique_items}
)
