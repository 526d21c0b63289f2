"""All node types. A new one is one module in this package and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.flows.node_types import (
    api_input,
    api_output,
    branch,
    http_request,
    inference,
    python,
    transform,
    wait,
)
from gateway.flows.node_types.handler import NodeHandler

# Any: each type has its own configuration class.
HANDLERS: Mapping[str, NodeHandler[Any]] = {
    kind.type: kind
    for kind in (
        api_input.HANDLER,
        inference.HANDLER,
        transform.HANDLER,
        branch.HANDLER,
        http_request.HANDLER,
        wait.HANDLER,
        python.HANDLER,
        api_output.HANDLER,
    )
}
