"""Reads the members of one JSON object, and complains about those of another form. Pure."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Mapping
from typing import Any

from gateway.flows.expressions import number
from gateway.flows.findings import Findings, pointer_token


class Reader:
    """One object of a flow, such as a node's `config`. Any: members are JSON."""

    def __init__(self, members: Mapping[str, Any], pointer: str, findings: Findings) -> None:
        self.members = members
        self.pointer = pointer
        self._findings = findings

    def complain(self, field: str, detail: str) -> None:
        """Note that the member `field` is not as expected."""
        self._findings.add(f"{self.pointer}/{field}", detail)

    def object(self, field: str) -> Mapping[str, Any] | None:
        """Return an object; None where there is none."""
        value = self.members.get(field)
        if value is None or isinstance(value, dict):
            return value
        self.complain(field, "expected an object")
        return None

    def text(self, field: str, expected: str, default: str | None = None) -> str:
        """Return a string that is not blank."""
        value = self.members.get(field, default)
        if isinstance(value, str) and value.strip():
            return value
        self.complain(field, f"expected {expected}{_got(self.members, field)}")
        return ""

    def choice(self, field: str, choices: Collection[str], default: str) -> str:
        """Return one of `choices`."""
        value = self.members.get(field, default)
        if isinstance(value, str) and value in choices:
            return value
        self.complain(field, f"expected one of {', '.join(choices)}, got {reprlib.repr(value)}")
        return default

    def number(self, field: str, default: float, *, least: float, most: float) -> float:
        """Return a number within limits."""
        value = number(self.members.get(field, default))
        if value is not None and least <= value <= most:
            return value
        got = _got(self.members, field)
        self.complain(field, f"expected a number from {least:g} to {most:g}{got}")
        return default

    def count(self, field: str, default: int, *, least: int, most: int) -> int:
        """Return a whole number within limits."""
        value = self.members.get(field, default)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        got = _got(self.members, field)
        self.complain(field, f"expected a whole number from {least} to {most}{got}")
        return default

    def objects(self, field: str) -> list[Reader]:
        """Return a reader for each object of a list."""
        values = self.members.get(field, [])
        if isinstance(values, list) and all(isinstance(value, dict) for value in values):
            pointers = (f"{self.pointer}/{field}/{at}" for at in range(len(values)))
            return [
                Reader(value, pointer, self._findings)
                for value, pointer in zip(values, pointers, strict=True)
            ]
        self.complain(field, "expected a list of objects")
        return []

    def expressions(self, field: str) -> Mapping[str, str] | None:
        """Return expressions by name; None where there are none."""
        values = self.object(field)
        if values is None:
            return None
        if not values:
            self.complain(field, "names nothing: leave it out to take everything")
        return self.texts(field, "an expression, such as 'input.x'")

    def texts(self, field: str, expected: str) -> Mapping[str, str]:
        """Return strings by name; {} where there are none."""
        values = self.object(field) or {}
        for name, value in values.items():
            if not isinstance(value, str) or not value.strip():
                self.complain(f"{field}/{pointer_token(name)}", f"expected {expected}")
        return values

    def known(self, fields: Collection[str]) -> None:
        """Complain about members that nobody reads: they are misspelt."""
        for field in self.members:
            if field not in fields:
                known = ", ".join(sorted(fields))
                self.complain(pointer_token(field), f"no such member; there are {known}")


def _got(members: Mapping[str, Any], field: str) -> str:
    return f", got {reprlib.repr(members[field])}" if field in members else ""
