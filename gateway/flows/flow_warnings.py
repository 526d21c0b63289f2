"""Warnings about a flow that can be saved, but not deployed as things are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.errors import GatewayError
from gateway.flows.node_types.inference import Inference
from gateway.flows.spec import parse_flow

ResolveVersion = Callable[[str, str], Awaitable[int]]
"""(model, `latest`, a number or a label) → version; raises GatewayError if there is none."""


class FlowWarningCode(StrEnum):
    """What a warning is about."""

    UNKNOWN_MODEL = "unknown_model"
    """The model store has no such model, version or label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowWarning:
    """A warning: a code, a JSON pointer to the node, and a sentence that says what to do."""

    code: FlowWarningCode
    pointer: str
    """Such as `#/nodes/2/config/model`."""
    message: str


async def flow_warnings(
    definition: Mapping[str, Any], resolve_version: ResolveVersion
) -> list[FlowWarning]:
    """Return the warnings about a valid definition, in the order of its nodes. Any: JSON."""
    problems: dict[tuple[str, str], str | None] = {}
    warnings: list[FlowWarning] = []
    for at, node in enumerate(parse_flow(definition).nodes):
        if not isinstance(node.config, Inference):
            continue
        wanted = (node.config.model, node.config.version)
        if wanted not in problems:
            problems[wanted] = await _problem(*wanted, resolve_version)
        if problem := problems[wanted]:
            message = (
                f"node '{node.id}': {problem}, so the flow cannot be deployed: add the model with "
                "`slipstream models add` or POST /node/models/, or correct the node"
            )
            pointer = f"#/nodes/{at}/config/model"
            warnings.append(
                FlowWarning(code=FlowWarningCode.UNKNOWN_MODEL, pointer=pointer, message=message)
            )
    return warnings


async def _problem(model: str, version: str, resolve_version: ResolveVersion) -> str | None:
    try:
        await resolve_version(model, version)
    except GatewayError as error:  # also for a name that no model can have
        return error.message
    return None
