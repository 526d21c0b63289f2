"""Checks a draft for an editor: all problems, and what the flow could be deployed as."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.deployments.fast_plan import compile_plan
from gateway.deployments.input_schema import describe_input
from gateway.errors import GatewayError
from gateway.flows.flow_check import inspect_flow
from gateway.flows.flow_warnings import node_warnings
from gateway.flows.node_types.inference import Inference
from gateway.flows.processes import FlowProcesses
from gateway.flows.spec import Node, NodeType, ParsedFlow
from gateway.flows.validation import ProblemCode, ValidationError
from gateway.models.pins import Pin
from gateway.models.service import ModelService
from telemetry.redaction import redact_message

_MAX_PROBLEMS = 500

# Any, throughout: JSON
Json = Mapping[str, Any]


class Severity(StrEnum):
    """What a problem keeps a flow from."""

    ERROR = "error"
    """From being saved."""
    WARNING = "warning"
    """From being deployed, as things are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem of a flow."""

    severity: Severity
    node_id: str | None
    """None: it is about an edge, or the flow."""
    pointer: str
    """JSON pointer, such as `#/nodes/2/config/model`."""
    code: ProblemCode
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUse:
    """A model that a node calls."""

    node_id: str
    model: str
    version: str
    """As written: `latest`, a number or a label."""
    resolved: int | None
    """The version that a deployment would pin; None: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftCheck:
    """The result of a check."""

    problems: Sequence[Problem]
    input_schema: Json | None
    """Of `input_data`, the flow's own or derived from its models; None: unknown."""
    not_fast: str | None
    """Why the flow cannot be deployed as fast; None: it can."""
    models: Sequence[ModelUse]


class DraftChecker:
    """Checks drafts with the validators of saving and deploying, and saves nothing."""

    def __init__(self, models: ModelService, processes: FlowProcesses) -> None:
        self._models = models
        self._processes = processes

    async def check(self, profile_id: str, definition: Json) -> DraftCheck:
        """Check a flow.

        Raises:
            GatewayError: OVERLOADED, DEADLINE_EXCEEDED or SHUTTING_DOWN if no evaluator is free.
        """
        await asyncio.sleep(0)  # each of these walks takes milliseconds for a large flow
        found = await inspect_flow(definition, self._processes.evaluator(profile_id))
        if found.parsed is None:
            return DraftCheck(
                problems=_problems(found.errors, Severity.ERROR, definition),
                input_schema=None,
                not_fast=_HAS_ERRORS,
                models=(),
            )
        await asyncio.sleep(0)
        pins, unknown = await self._pin(profile_id, found.parsed)
        errors = _problems(found.errors, Severity.ERROR, definition)
        known = {problem.pointer for problem in errors}
        warnings = [
            *_problems(found.warnings, Severity.WARNING, definition),
            *_problems(
                [one for one in unknown if one.pointer not in known], Severity.WARNING, definition
            ),
        ]
        is_deployable = not errors and not warnings
        schema, not_fast = _own_schema(found.parsed), _HAS_ERRORS
        if is_deployable:
            schema = describe_input(dict(definition), pins).schema
            not_fast = _reason_against_fast(found.parsed, pins)
        return DraftCheck(
            problems=[*errors, *warnings][:_MAX_PROBLEMS],
            input_schema=schema,
            not_fast=not_fast,
            models=_uses(found.parsed, pins),
        )

    async def _pin(
        self, profile_id: str, parsed: ParsedFlow
    ) -> tuple[Mapping[str, Pin], Sequence[ValidationError]]:
        """Return the model of each node that has one now, and errors about the others."""
        pinned: dict[tuple[str, str], Pin] = {}

        async def resolve(profile_id: str, model: str, version: str) -> int:
            pin = pinned[model, version] = await self._models.pin(profile_id, model, version)
            return pin.version

        warnings = await node_warnings(profile_id, parsed.nodes, resolve)
        pins = {
            node.id: pinned[config.model, config.version]
            for node, config in _inferences(parsed)
            if (config.model, config.version) in pinned
        }
        return pins, [
            ValidationError(warning.pointer, warning.message, ProblemCode.UNKNOWN_MODEL)
            for warning in warnings
        ]


_HAS_ERRORS: str | None = "the flow cannot be deployed: see its problems"


def _problems(
    errors: Sequence[ValidationError], severity: Severity, definition: Json
) -> list[Problem]:
    return [
        Problem(
            severity=severity,
            node_id=_node_id(error.pointer, definition),
            pointer=error.pointer,
            code=error.code,
            detail=redact_message(error.detail),
        )
        for error in errors
    ]


def _node_id(pointer: str, definition: Json) -> str | None:
    _, *path = pointer.split("/")
    if path[:1] != ["nodes"] or len(path) == 1:
        return None
    node_id = definition["nodes"][int(path[1])].get("id")
    return node_id if isinstance(node_id, str) else None


def _inferences(parsed: ParsedFlow) -> list[tuple[Node, Inference]]:
    nodes = parsed.nodes.values()
    return [(node, node.config) for node in nodes if isinstance(node.config, Inference)]


def _uses(parsed: ParsedFlow, pins: Mapping[str, Pin]) -> list[ModelUse]:
    return [
        ModelUse(
            node_id=node.id,
            model=config.model,
            version=config.version,
            resolved=pins[node.id].version if node.id in pins else None,
        )
        for node, config in _inferences(parsed)
        if config.model
    ]


def _own_schema(parsed: ParsedFlow) -> Json | None:
    for node in parsed.spec.of_type(NodeType.API_INPUT):
        schema: Json | None = node.config.schema
        return schema
    return None


def _reason_against_fast(parsed: ParsedFlow, pins: Mapping[str, Pin]) -> str | None:
    try:
        compile_plan(parsed.spec, pins)
    except GatewayError as error:
        return error.message
    return None
