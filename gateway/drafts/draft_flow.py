"""The flow of a test run, which no deployment has: as it is stored with the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.flows.plan import FlowPlan, compile_plan, reachable_part
from gateway.flows.plan_selection import NodeSelection, select_nodes
from gateway.flows.spec import parse_flow
from gateway.models.pins import Pin
from gateway.storage.stored_json import dump_stored


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftFlow:
    """A draft, what runs of it, and the models that it calls. Any: JSON."""

    definition: Mapping[str, Any]
    selection: NodeSelection
    models: Mapping[str, Pin]
    """Node id → model version."""

    def plan(self) -> FlowPlan:
        """Compile what runs.

        Raises:
            GatewayError: INVALID_FLOW; VALIDATION_FAILED as `select_nodes`.
        """
        spec = reachable_part(parse_flow(self.definition))
        return select_nodes(compile_plan(spec), self.selection)

    def dump(self) -> bytes:
        """Return the draft as it is stored."""
        selection = self.selection
        return dump_stored(
            {
                "definition": self.definition,
                "until": selection.until,
                "only": selection.only,
                "pins": selection.pins,
                "models": {node_id: pin.to_json() for node_id, pin in self.models.items()},
            }
        )

    @classmethod
    def load(cls, stored: bytes) -> DraftFlow:
        """Read what `dump` returned."""
        members = json.loads(stored)  # not orjson, which reads large integers as floats
        selection = {name: members[name] for name in ("until", "only", "pins")}
        pins = members["models"].items()
        return cls(
            definition=members["definition"],
            selection=NodeSelection(**selection),
            models={node_id: Pin.from_json(pin) for node_id, pin in pins},
        )
