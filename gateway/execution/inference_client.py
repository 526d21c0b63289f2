"""Calls the models of a flow, as the flow engine's inference port: JSON values in and out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any

from gateway.deployments.fast_plan import FastInput, FastOutput, FastPlan
from gateway.errors import GatewayError
from gateway.execution.run_trace import RunTrace
from gateway.fast_path.tensors import TensorCodec
from gateway.flows.ports import ModelCall
from gateway.models.pins import Pin
from gateway.steps import in_turns
from gateway.upstream.inference_stream import InferenceStreamClient
from gateway.upstream.servers import InferenceServers
from protos.errors import ErrorCode
from protos.parameters import encoded_trace
from telemetry.trace_context import TraceContext

_RETRY_SECONDS = 0.02
_LARGE_REPLY_BYTES = 1 << 16
"""Larger replies become values in steps. A byte becomes several of JSON."""
_TRANSIENT = frozenset(
    {
        ErrorCode.INFERENCE_SERVER_BOOTING,
        ErrorCode.INFERENCE_SERVER_UNAVAILABLE,
        ErrorCode.SHUTTING_DOWN,
    }
)
"""Transient errors: the server boots, or its connection is being re-established."""


class PinnedModels:
    """The model versions pinned by a deployment version, by the nodes that call them."""

    def __init__(self, pins: Mapping[str, Pin], owner: str) -> None:
        """Hold the models of a flow that belongs to the profile `owner`."""
        self._calls = {
            node_id: TensorCodec(pass_through_plan(pin), owner) for node_id, pin in pins.items()
        }

    @property
    def versions(self) -> Iterable[tuple[str, int]]:
        """The model versions whose inference servers are needed."""
        return {(call.plan.model, call.plan.version) for call in self._calls.values()}

    def client(
        self,
        servers: InferenceServers,
        *,
        boot_wait_seconds: float,
        caller: str,
        trace: RunTrace | None = None,
    ) -> InferenceClient:
        """Return the engine's port to these models.

        Args:
            servers: the inference servers.
            caller: whose calls they are: a key, or a user without one.
            boot_wait_seconds: seconds to wait for one that boots.
            trace: of the run whose nodes call; None: it is not traced.
        """
        return InferenceClient(self._calls, servers, boot_wait_seconds, caller, trace)


class InferenceClient:
    """The engine's InferencePort. Models have no side effects, so lost calls are retried."""

    def __init__(
        self,
        calls: Mapping[str, TensorCodec],
        servers: InferenceServers,
        boot_wait_seconds: float,
        caller: str,
        trace: RunTrace | None,
    ) -> None:
        self._caller = caller
        self._trace = trace
        self._calls = calls
        self._servers = servers
        self._boot_wait_seconds = boot_wait_seconds
        self.boot_seconds: float | None = None
        """The longest time a node has waited for a booting server; None: no node had to wait."""

    async def infer(self, call: ModelCall, deadline: float) -> dict[str, Any]:
        """Return the model's outputs by name, as JSON values; NaN and infinities are numbers.

        Args:
            call: the model as named by its node, and the inputs.
            deadline: `time.monotonic()`.

        Raises:
            GatewayError: INVALID_INPUT or INVALID_TENSOR; NO_ACTIVE_INFERENCE; errors of the
                inference server; DEADLINE_EXCEEDED.
        """
        model = self._calls[call.node_id]
        span = None if self._trace is None else self._trace.node(call.node_id)
        inputs = _select_inputs(model.plan, call)
        started_at = monotonic()
        wait_until = min(deadline, started_at + self._boot_wait_seconds)
        while True:
            try:
                return await self._infer(model, inputs, deadline, span)
            except GatewayError as error:
                if error.code not in _TRANSIENT or monotonic() >= wait_until:
                    raise
            await asyncio.sleep(_RETRY_SECONDS)
            self.boot_seconds = max(self.boot_seconds or 0.0, monotonic() - started_at)

    async def _infer(
        self,
        model: TensorCodec,
        inputs: dict[str, Any],
        deadline: float,
        span: TraceContext | None,
    ) -> dict[str, Any]:
        timeout = deadline - monotonic()
        if timeout <= 0:
            message = f"no time is left to call {model.plan.model} version {model.plan.version}"
            raise GatewayError(ErrorCode.DEADLINE_EXCEEDED, message)
        template, raws = model.encode(inputs, timeout)
        self._servers.crashes.check(self._caller, model.plan.model)
        stream: InferenceStreamClient = self._servers.stream(model.plan.model, model.plan.version)
        model.by_owner = stream.by_owner
        trace = b"" if span is None else encoded_trace(span.headers)
        reply = await stream.request(template, raws, timeout, self._caller, trace=trace)
        if len(reply.message) > _LARGE_REPLY_BYTES:
            return await in_turns(model.value_steps(reply.message, reply.template))
        return model.values(reply.message, reply.template)


def pass_through_plan(pin: Pin) -> FastPlan:
    """Return the plan that maps all inputs and outputs of a model by name."""
    return FastPlan(
        model=pin.model,
        version=pin.version,
        inputs=tuple(FastInput(name=it.name, path=(it.name,), spec=it) for it in pin.inputs),
        outputs=tuple(FastOutput(field=it.name, name=it.name, spec=it) for it in pin.outputs),
    )


def _select_inputs(plan: FastPlan, call: ModelCall) -> dict[str, Any]:
    """Return the inputs to send; unless `exact`, only those that the model has."""
    known = {source.name for source in plan.inputs}
    if not call.exact:
        return {name: value for name, value in call.inputs.items() if name in known}
    for name in call.inputs:
        if name not in known:
            listed = ", ".join(f"'{one.name}'" for one in plan.inputs)
            message = f"{plan.model} has no input '{name}', only {listed}"
            raise GatewayError(ErrorCode.INVALID_INPUT, message)
    return dict(call.inputs)
