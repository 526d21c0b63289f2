"""Plain paths such as `input.x`, `model.probabilities` or `input["a b"].c`: the simplest CEL.

Pure. Other CEL is for the flow engine; the fast plan reads paths only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_STEP = re.compile(rf'\.({_NAME})|\["([^"\\]*)"\]|\[\'([^\'\\]*)\'\]')
_ROOT = re.compile(_NAME)
_SHOWN = 20
_KINDS = {str: "string", list: "list", bool: "boolean", int: "number", float: "number"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A node, and the names that lead from its output to a value."""

    node: str
    names: tuple[str, ...]


def parse_path(expression: str) -> Path | None:
    """Return the path that `expression` spells, or None where it is other CEL."""
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
    """Return what lies at the end of `path`, which starts at `value` (Any: JSON).

    Raises:
        LookupError: there is no such member; the message says which, and what there is.
    """
    for at, name in enumerate(path.names):
        if type(value) is not dict:
            found = "null" if value is None else f"a {_KINDS.get(type(value), 'value')}"
            message = f"{_spelled(path, at)} is {found}: it has no '{name}'"
            raise LookupError(message)
        try:
            value = value[name]
        except KeyError:
            known = ", ".join(f"'{key}'" for key in list(value)[:_SHOWN]) or "nothing"
            message = f"{_spelled(path, at)} has no '{name}', it has {known}"
            raise LookupError(message) from None
    return value


def _spelled(path: Path, steps: int) -> str:
    return ".".join((path.node, *path.names[:steps]))
