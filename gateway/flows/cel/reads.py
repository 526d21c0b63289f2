"""What expressions may read, found without parsing them. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from gateway.flows.cel.values import NodeValues

Reads = Mapping[str, frozenset[str] | None]
"""Node id → the members that may be read; None: the whole output."""

_MENTION = re.compile(
    r"""(?<![A-Za-z0-9_]) (?<![A-Za-z0-9_\])]\.)
        ([A-Za-z_][A-Za-z0-9_]*)
        (?:\.([A-Za-z_][A-Za-z0-9_]*)(?![A-Za-z0-9_]|\s*\())?""",
    re.VERBOSE,
)
"""A name that is not a member of another, and its own member. Names in texts are found, too."""


def mentioned(sources: Iterable[str], nodes: Collection[str]) -> Reads:
    """Return which of `nodes` the expressions mention; more than they read, but not less."""
    found: dict[str, frozenset[str] | None] = {}
    for source in sources:
        for node, member in _MENTION.findall(source):
            if node not in nodes:
                continue
            known = found.get(node, frozenset())
            found[node] = None if known is None or not member else known | {member}
    return found


def select(values: NodeValues, reads: Reads) -> dict[str, Any]:
    """Return what may be read of `values`."""
    return {node: _part(values[node], names) for node, names in reads.items()}


def _part(value: Any, names: frozenset[str] | None) -> Any:
    # Of an object without one of the members all is needed, for an error that lists what it has.
    if names is None or type(value) is not dict or not names <= value.keys():
        return value
    return {name: value[name] for name in names}
