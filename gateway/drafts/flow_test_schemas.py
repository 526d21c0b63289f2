"""Request bodies of test runs."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from gateway.drafts.flow_tests import FlowTest
from gateway.drafts.schemas import DraftIn
from gateway.flows.plan_selection import NodeSelection
from gateway.flows.schemas import EXAMPLE_GRAPH

DEFAULT_TIMEOUT_SECONDS = 60.0
MAX_TIMEOUT_SECONDS = 3600.0

# Any, throughout: JSON


class FlowTestIn(DraftIn):
    """A flow to run once, whole or in part."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {**EXAMPLE_GRAPH, "input_data": {"x": [[5.1, 3.5, 1.4, 0.2]]}, "until": "model"}
            ]
        },
    )

    flow_id: str | None = None
    """The flow that this is the draft of."""
    input_data: dict[str, Any] | None = None
    """null: the test data of the `api_input`."""
    until: str | None = None
    """Id of a node: only this node runs, and those that it needs."""
    only: str | None = None
    """Id of a node: only this node runs; what it reads is in `pins`, or is the input."""
    pins: Annotated[dict[str, Any], Field(default_factory=dict)]
    """Node id → output, in place of running the node."""
    timeout_seconds: Annotated[float, Field(gt=0, le=MAX_TIMEOUT_SECONDS)] = DEFAULT_TIMEOUT_SECONDS
    """Maximum duration of the run."""

    def test(self) -> FlowTest:
        """Convert to the service's type."""
        return FlowTest(
            definition=self.definition,
            selection=NodeSelection(until=self.until, only=self.only, pins=self.pins),
            input_data=self.input_data,
            flow_id=self.flow_id,
            timeout_seconds=self.timeout_seconds,
        )
