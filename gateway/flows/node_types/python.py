"""python: calls a function of an installed package, never code received through the API.

A package registers functions under the entry-point group `slipstream.nodes`. A function takes one
argument, the node's inputs as a dict, and returns JSON; it may be async. Any exception fails the
node. TimeoutError, ConnectionError, and exceptions with a true attribute `retryable` are retryable.
Functions are imported and called in processes of their own, see `gateway.flows.function_process`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from gateway.flows.compile_context import CompileContext, FunctionName
from gateway.flows.config_fields import ConfigForm, Widget, expressions_field, text_field
from gateway.flows.config_reader import ConfigReader
from gateway.flows.node_types.handler import NodeHandler, Perform, Prepare, RunContext
from gateway.flows.node_types.presentation import NodeGroup, NodePresentation
from gateway.flows.validation import ProblemCode

GROUP = "slipstream.nodes"
_FUNCTION = text_field(
    "function",
    "Function",
    "The installed Python node to call.",
    expected=f"the name of an entry point of {GROUP}",
    widget=Widget.FUNCTION,
)
_INPUTS = expressions_field(
    "inputs", "Inputs", "Name → expression. Without inputs: the preceding outputs, by node."
)
_FORM = ConfigForm(fields=(_FUNCTION, _INPUTS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """The configuration."""

    function: str
    """The name of the entry point."""
    inputs: Mapping[str, str] | None
    """Name → expression; None: the outputs of the preceding nodes, by id."""


def _read(reader: ConfigReader) -> Python:
    reader.allow_only(_FORM.names)
    return Python(function=_FUNCTION.read(reader), inputs=_INPUTS.read(reader))


def _prepare(config: Python, context: CompileContext) -> Prepare:
    if config.inputs is not None:
        return context.fields("inputs", config.inputs).evaluate
    before = context.before
    return lambda values: {one: values[one] for one in before}


def _perform(config: Python, context: CompileContext) -> Perform:
    _check_installed(config.function, context)

    async def call(run: RunContext, inputs: dict[str, Any]) -> Any:
        return await run.ports.functions.call(config.function, inputs, run.deadline)

    return call


def _check_installed(name: str, context: CompileContext) -> None:
    """Report a name that is not installed. It is not imported here: that may take seconds."""
    names = entry_points(group=GROUP).names
    if name in names:
        context.function("function", FunctionName(name))
        return
    if names:
        installed = f"expected one of {', '.join(sorted(names))}"
    else:
        installed = "no Python nodes are installed"
    detail = f"unknown Python node '{name}': {installed}"
    context.add_error("function", detail, ProblemCode.UNKNOWN_FUNCTION)


HANDLER = NodeHandler(
    type="python",
    shown=NodePresentation(
        title="Python",
        description="Calls a function of an installed package.",
        icon="code",
        group=NodeGroup.INTEGRATION,
        initial={"function": ""},
    ),
    form=_FORM,
    read=_read,
    prepare=_prepare,
    perform=_perform,
)
