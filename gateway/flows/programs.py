"""What is evaluated elsewhere: the expressions of one node, and the values that they read. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gateway.flows.cel.reads import Reads, mentioned, select
from gateway.flows.cel.values import NodeValues


class Program:
    """The expressions of one node. What takes time is done when it is first evaluated."""

    def __init__(
        self,
        node: Mapping[str, Any],
        sources: Sequence[str],
        *,
        before: Sequence[str],
        earlier: Collection[str],
    ) -> None:
        """Create the program of a node as the flow has it (Any: JSON).

        Args:
            node: the node.
            sources: its expressions.
            before: its direct predecessors.
            earlier: all nodes that end before it starts.
        """
        self._node = node
        self._sources = sources
        self._before = before
        self._earlier = earlier

    @cached_property
    def text(self) -> str:
        """The node as JSON: `id`, `type`, `config` and `before`."""
        node = self._node
        members = {"id": node["id"], "type": node["type"], "config": node.get("config", {})}
        # Not orjson, which refuses large integers.
        return json.dumps({**members, "before": self._before}, ensure_ascii=False)

    @cached_property
    def reads(self) -> Reads:
        """The values that the expressions may read."""
        return mentioned(self._sources, self._earlier)

    def select(self, values: NodeValues) -> dict[str, Any]:
        """Return what the program may read of `values`."""
        return select(values, self.reads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """The result of compiling an expression or a JSON Schema."""

    roots: Sequence[str] = ()
    """The ids of the nodes that the expression reads."""
    error: str | None = None
    pointer: str = ""
    """Where in the schema the error is."""
