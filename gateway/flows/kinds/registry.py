"""The kinds that there are. A new one is one file beside this one, and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.flows.kinds import (
    api_input,
    api_output,
    branch,
    http_request,
    inference,
    python,
    transform,
    wait,
)
from gateway.flows.kinds.kind import Kind

# Any: each kind has a configuration of its own.
KINDS: Mapping[str, Kind[Any]] = {
    kind.type: kind
    for kind in (
        api_input.KIND,
        inference.KIND,
        transform.KIND,
        branch.KIND,
        http_request.KIND,
        wait.KIND,
        python.KIND,
        api_output.KIND,
    )
}
