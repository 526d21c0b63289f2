"""Plain paths such as `input.x`, `model.probabilities` or `input["a b"].c`. Pure.

They are the only expressions of fast plans, and are evaluated without CEL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_STEP = re.compile(rf'\.({_NAME})|\["([^"\\]*)"\]|\[\'([^\'\\]*)\'\]')
_ROOT = re.compile(_NAME)
_MAX_SHOWN = 20
_TYPE_NAMES = {str: "string", list: "list", bool: "boolean", int: "number", float: "number"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A node, and the member names from its output to a value."""

    node: str
    names: tuple[str, ...]


def parse_path(expression: str) -> Path | None:
    """Parse a plain path; return None for any other expression."""
    text = expression.strip()
    root = _ROOT.match(text)
    if root is None:
        return None
    names: list[str] = []
    position = root.end()
    while position < len(text):
        step = _STEP.match(text, position)
        if step is None:
            return None
        names.append(next(name for name in step.groups() if name is not None))
        position = step.end()
    return Path(node=root.group(), names=tuple(names))


def follow(path: Path, value: Any) -> Any:
    """Return the value at `path`, starting at the node's output `value` (Any: JSON).

    Raises:
        LookupError: a member is missing; the message names it and the existing ones.
    """
    for at, name in enumerate(path.names):
        if type(value) is not dict:
            found = "null" if value is None else f"a {_TYPE_NAMES.get(type(value), 'value')}"
            message = f"{_prefix(path, at)}: expected an object with '{name}', got {found}"
            raise LookupError(message)
        try:
            value = value[name]
        except KeyError:
            if value:
                known = ", ".join(f"'{key}'" for key in list(value)[:_MAX_SHOWN])
                message = f"{_prefix(path, at)} has no '{name}', only {known}"
            else:
                message = f"{_prefix(path, at)} is empty: '{name}' is required"
            raise LookupError(message) from None
    return value


def _prefix(path: Path, steps: int) -> str:
    return ".".join((path.node, *path.names[:steps]))
