"""Reads the members of one JSON object and reports those of the wrong type. Pure."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Mapping
from typing import Any

from gateway.flows.cel.values import finite_number
from gateway.flows.validation import ValidationErrors, pointer_token


class ConfigReader:
    """One object of a flow, such as a node's `config`. Any: members are JSON."""

    def __init__(self, members: Mapping[str, Any], pointer: str, errors: ValidationErrors) -> None:
        self.members = members
        self.pointer = pointer
        self._errors = errors

    def add_error(self, field: str, detail: str) -> None:
        """Report an error about the member `field`."""
        self._errors.add(f"{self.pointer}/{field}", detail)

    def object(self, field: str) -> Mapping[str, Any] | None:
        """Return an object, or None if the member is absent or invalid."""
        value = self.members.get(field)
        if value is None or isinstance(value, dict):
            return value
        self.add_error(field, "expected an object")
        return None

    def text(self, field: str, expected: str, default: str | None = None) -> str:
        """Return a non-blank string."""
        value = self.members.get(field, default)
        if isinstance(value, str) and value.strip():
            return value
        self.add_error(field, f"expected {expected}{_got(self.members, field)}")
        return ""

    def choice(self, field: str, choices: Collection[str], default: str) -> str:
        """Return one of `choices`."""
        value = self.members.get(field, default)
        if isinstance(value, str) and value in choices:
            return value
        self.add_error(field, f"expected one of {', '.join(choices)}, got {reprlib.repr(value)}")
        return default

    def number(self, field: str, default: float, *, minimum: float, maximum: float) -> float:
        """Return a number from `minimum` to `maximum`."""
        value = finite_number(self.members.get(field, default))
        if value is not None and minimum <= value <= maximum:
            return value
        got = _got(self.members, field)
        self.add_error(field, f"expected a number from {minimum:g} to {maximum:g}{got}")
        return default

    def count(self, field: str, default: int, *, minimum: int, maximum: int) -> int:
        """Return an integer from `minimum` to `maximum`."""
        value = self.members.get(field, default)
        if isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= maximum:
            return value
        got = _got(self.members, field)
        self.add_error(field, f"expected a whole number from {minimum} to {maximum}{got}")
        return default

    def objects(self, field: str) -> list[ConfigReader] | None:
        """Return a reader for each object of a list, or None if the member is not such a list."""
        values = self.members.get(field, [])
        if isinstance(values, list) and all(isinstance(value, dict) for value in values):
            pointers = (f"{self.pointer}/{field}/{at}" for at in range(len(values)))
            return [
                ConfigReader(value, pointer, self._errors)
                for value, pointer in zip(values, pointers, strict=True)
            ]
        self.add_error(field, "expected a list of objects")
        return None

    def expressions(self, field: str) -> Mapping[str, str] | None:
        """Return expressions by name, or None if the member is absent."""
        values = self.object(field)
        if values is None:
            return None
        if not values:
            self.add_error(field, "expected at least one member: omit it to use all outputs")
        return self.texts(field, "an expression, such as 'input.x'")

    def texts(self, field: str, expected: str) -> Mapping[str, str]:
        """Return the valid strings by name; {} if the member is absent."""
        found: dict[str, str] = {}
        for name, value in (self.object(field) or {}).items():
            if isinstance(value, str) and value.strip():
                found[name] = value
            else:
                self.add_error(f"{field}/{pointer_token(name)}", f"expected {expected}")
        return found

    def allow_only(self, fields: Collection[str]) -> None:
        """Report unknown members, which are probably misspelt."""
        for field in self.members:
            if field not in fields:
                known = ", ".join(sorted(fields))
                self.add_error(pointer_token(field), f"unknown member; expected one of {known}")


def _got(members: Mapping[str, Any], field: str) -> str:
    return f", got {reprlib.repr(members[field])}" if field in members else ""
