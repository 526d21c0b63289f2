"""What is evaluated elsewhere: the expressions of one node, and the values that they read. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from gateway.flows.cel.reads import Reads, mentioned, select
from gateway.flows.cel.values import NodeValues


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The expressions of one node."""

    text: str
    """The node as JSON: `id`, `type`, `config` and `before`."""
    reads: Reads

    @classmethod
    def of(
        cls,
        node: Mapping[str, Any],
        sources: Iterable[str],
        *,
        before: Collection[str],
        earlier: Collection[str],
    ) -> Self:
        """Return the program of a node as the flow has it (Any: JSON).

        Args:
            node: the node.
            sources: its expressions.
            before: its direct predecessors.
            earlier: all nodes that end before it starts.
        """
        members = {"id": node["id"], "type": node["type"], "config": node.get("config", {})}
        # Not orjson, which refuses large integers.
        text = json.dumps({**members, "before": list(before)}, ensure_ascii=False)
        return cls(text=text, reads=mentioned(sources, earlier))

    def select(self, values: NodeValues) -> dict[str, Any]:
        """Return what the program may read of `values`."""
        return select(values, self.reads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """The value of a program. Any: JSON."""

    value: Any
    notes: tuple[str, ...] = ()
    """Remarks about changes to the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """The result of compiling an expression or a JSON Schema."""

    roots: Sequence[str] = ()
    """The ids of the nodes that the expression reads."""
    error: str | None = None
    pointer: str = ""
    """Where in the schema the error is."""
