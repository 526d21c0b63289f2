"""The ports through which the flow engine calls models, HTTP services, evaluators and functions.

The engine does not close a port and may use one for several nodes and several runs at once. If it
cancels a call, at the deadline or because the run was cancelled, the port must stop the work behind
that call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.flows.cel.values import NodeValues
from gateway.flows.programs import Program
from gateway.outbound.messages import OutboundRequest, OutboundResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One call of a model."""

    node_id: str
    """The calling node. A deployment pins model versions by node id."""
    model: str
    version: str
    """As the flow says: `latest`, a number or a label."""
    inputs: Mapping[str, Any]
    """Tensor → JSON value: numbers, strings, or lists of them."""
    exact: bool
    """False if `inputs` is the whole output of the preceding node: inputs that the model does not
    have are then ignored instead of refused."""


class InferencePort(Protocol):
    """Calls models."""

    async def infer(self, call: ModelCall, deadline: float) -> dict[str, Any]:
        """Return the outputs, tensor → JSON value, before `deadline` (`time.monotonic()`).

        Raises:
            GatewayError: the error of the model, or why no inference server answered.
        """
        ...


class HttpPort(Protocol):
    """Sends HTTP requests to allowed targets; `gateway.outbound.http.GuardedHttpClient` is one."""

    async def send(self, call: OutboundRequest, deadline: float) -> OutboundResponse:
        """Return the response before `deadline` (`time.monotonic()`). Follows no redirect.

        Raises:
            GatewayError: BLOCKED_TARGET if the URL leads to a blocked address,
                UPSTREAM_UNREACHABLE if there is no response, or it is too long.
        """
        ...


class EvaluatorPort(Protocol):
    """Evaluates what a tenant wrote, where it can be killed."""

    async def evaluate(self, program: Program, values: NodeValues, deadline: float) -> Any:
        """Return the program's value (Any: JSON) before `deadline` (`time.monotonic()`).

        Raises:
            NodeError: the evaluation failed.
            GatewayError: EVALUATION_LIMIT if it takes too much; DEADLINE_EXCEEDED.
        """
        ...


class FunctionPort(Protocol):
    """Calls functions of installed packages, where they can be killed."""

    async def call(self, function: str, inputs: Any, deadline: float) -> Any:
        """Return what the entry point `function` returns, before `deadline` (`time.monotonic()`).

        Any: JSON, which the function takes.

        Raises:
            NodeError: the call failed.
            GatewayError: DEADLINE_EXCEEDED, OVERLOADED, SHUTTING_DOWN.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of one run."""

    inference: InferencePort
    http: HttpPort
    evaluator: EvaluatorPort
    functions: FunctionPort
