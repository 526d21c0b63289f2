"""The models of one program, as the flow engine asks for them: JSON values in and out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any

import orjson

from gateway.deployments.fast_plan import FastInput, FastOutput, FastPlan
from gateway.errors import GatewayError
from gateway.fast_path.tensors import TensorCodec
from gateway.flows.ports import InferenceCall
from gateway.models.pins import Pin
from gateway.upstream.inference_stream import InferenceStream
from gateway.upstream.servers import InferenceServers
from protos.errors import ErrorCode

_LOOK_SECONDS = 0.02
_PASSING = frozenset({ErrorCode.INFERENCE_SERVER_BOOTING, ErrorCode.INFERENCE_SERVER_UNAVAILABLE})
"""What is over in a moment: the server boots, or the connection to it is being made anew."""


class PinnedModels:
    """The model versions that a deployment's version has pinned, by the nodes that ask them."""

    def __init__(self, pins: Mapping[str, Pin]) -> None:
        self._calls = {
            node_id: TensorCodec(pass_through_plan(pin)) for node_id, pin in pins.items()
        }

    @property
    def versions(self) -> Iterable[tuple[str, int]]:
        """The model versions, whose inference servers must be ready."""
        return {(call.plan.model, call.plan.version) for call in self._calls.values()}

    def client(self, servers: InferenceServers, *, boot_wait_seconds: float) -> InferenceClient:
        """Return them as the engine's port, on this process's connections.

        Args:
            servers: the inference servers.
            boot_wait_seconds: seconds to wait for one that boots.
        """
        return InferenceClient(self._calls, servers, boot_wait_seconds)


class InferenceClient:
    """The engine's InferencePort. A model has no side effects: what got lost is asked again."""

    def __init__(
        self, calls: Mapping[str, TensorCodec], servers: InferenceServers, boot_wait_seconds: float
    ) -> None:
        self._calls = calls
        self._servers = servers
        self._boot_wait_seconds = boot_wait_seconds
        self.boot_seconds: float | None = None
        """What a node has waited for a server that boots: the longest, if several have."""

    async def infer(self, call: InferenceCall, deadline: float) -> dict[str, Any]:
        """Return the model's outputs by name, as JSON values.

        Args:
            call: the model as its node names it, and its inputs.
            deadline: by `time.monotonic()`.

        Raises:
            GatewayError: INVALID_INPUT or INVALID_TENSOR; NO_ACTIVE_INFERENCE; the inference
                server's own refusals; DEADLINE_EXCEEDED.
        """
        model = self._calls[call.node_id]
        inputs = _inputs_of(model.plan, call)
        started_at = monotonic()
        patient_until = min(deadline, started_at + self._boot_wait_seconds)
        while True:
            try:
                return await self._ask(model, inputs, deadline)
            except GatewayError as error:
                if error.code not in _PASSING or monotonic() >= patient_until:
                    raise
            await asyncio.sleep(_LOOK_SECONDS)
            self.boot_seconds = max(self.boot_seconds or 0.0, monotonic() - started_at)

    async def _ask(
        self, model: TensorCodec, inputs: dict[str, Any], deadline: float
    ) -> dict[str, Any]:
        timeout = deadline - monotonic()
        if timeout <= 0:
            message = f"no time was left for {model.plan.model} version {model.plan.version}"
            raise GatewayError(ErrorCode.DEADLINE_EXCEEDED, message)
        template, raws = model.encode(inputs, timeout)
        stream: InferenceStream = self._servers.stream(model.plan.model, model.plan.version)
        reply = await stream.request(template, raws, timeout)
        outputs: dict[str, Any] = orjson.loads(model.decode(reply.message, reply.template))
        return outputs


def pass_through_plan(pin: Pin) -> FastPlan:
    """Return the plan that gives all of a model's inputs by their names, and takes all outputs."""
    return FastPlan(
        model=pin.model,
        version=pin.version,
        inputs=tuple(FastInput(name=it.name, path=(it.name,), spec=it) for it in pin.inputs),
        outputs=tuple(FastOutput(field=it.name, name=it.name, spec=it) for it in pin.outputs),
    )


def _inputs_of(plan: FastPlan, call: InferenceCall) -> dict[str, Any]:
    """Return the inputs to send: all that are given, or those of them that the model knows."""
    known = {source.name for source in plan.inputs}
    if not call.exact:
        return {name: value for name, value in call.inputs.items() if name in known}
    for name in call.inputs:
        if name not in known:
            listed = ", ".join(f"'{one.name}'" for one in plan.inputs)
            message = f"{plan.model} has no input '{name}', it has {listed}"
            raise GatewayError(ErrorCode.INVALID_INPUT, message)
    return dict(call.inputs)
