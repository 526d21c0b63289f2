"""Plain paths such as `input.x`, `model.probabilities` or `input["a b"].c`: the simplest CEL.

Pure. Other CEL is for the flow engine; the fast plan reads paths only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_STEP = re.compile(rf'\.({_NAME})|\["([^"\\]*)"\]|\[\'([^\'\\]*)\'\]')
_ROOT = re.compile(_NAME)


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
