"""Warnings about a flow that can be saved, but not deployed as things are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.errors import GatewayError
from gateway.flows.node_types.inference import Inference
from gateway.flows.spec import Node, parse_flow

ResolveVersion = Callable[[str, str, str], Awaitable[int]]
"""(profile id, model, `latest`, a number or a label) → version; raises GatewayError if there is
none that the user may use."""


class FlowWarningCode(StrEnum):
    """What a warning is about."""

    UNKNOWN_MODEL = "unknown_model"
    """There is no such model, version or label that the user may use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowWarning:
    """A warning: a code, a JSON pointer to the node, and a sentence that says what to do."""

    code: FlowWarningCode
    pointer: str
    """Such as `#/nodes/2/config/model`."""
    message: str


async def flow_warnings(
    profile_id: str, definition: Mapping[str, Any], resolve_version: ResolveVersion
) -> list[FlowWarning]:
    """Return the warnings about a valid definition, in the order of its nodes. Any: JSON."""
    nodes = dict(enumerate(parse_flow(definition).nodes))
    return await node_warnings(profile_id, nodes, resolve_version)


async def node_warnings(
    profile_id: str, nodes: Mapping[int, Node], resolve_version: ResolveVersion
) -> list[FlowWarning]:
    """Return the warnings about nodes, which are given by position."""
    problems: dict[tuple[str, str], str | None] = {}
    warnings: list[FlowWarning] = []
    for at, node in nodes.items():
        if not isinstance(node.config, Inference):
            continue
        wanted = (node.config.model, node.config.version)
        if wanted not in problems:
            problems[wanted] = await _problem(profile_id, *wanted, resolve_version)
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


async def _problem(
    profile_id: str, model: str, version: str, resolve_version: ResolveVersion
) -> str | None:
    try:
        await resolve_version(profile_id, model, version)
    except GatewayError as error:  # also for a name that no model can have
        return error.message
    return None
