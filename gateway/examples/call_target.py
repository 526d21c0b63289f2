"""What is known of the deployment that an example calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.deployments.settings import ExecutionMode, ResponseFormat
from gateway.models.pins import TensorSpec

# Any, throughout: JSON
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcInput:
    """A tensor of a model, and where its value lies in `input_data`."""

    name: str
    path: tuple[str, ...]
    spec: TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcTarget:
    """The model of a flow that has only one, as clients of gRPC call it."""

    address: str
    uses_tls: bool
    model: str
    version: int
    inputs: Sequence[GrpcInput]
    outputs: Sequence[str]
    key_mask: str | None
    """Of a key that is not limited to deployments, which no model accepts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTarget:
    """A version of a deployment, with the settings that decide what its callers have to do."""

    base_url: str
    deployment_id: str
    name: str
    mode: ExecutionMode
    response_format: ResponseFormat
    timeout_seconds: int
    requires_idempotency_key: bool
    has_webhook: bool
    input_data: Json
    input_schema: Json | None
    output_tensors: Sequence[tuple[str, TensorSpec]] | None
    """Field of `output_data` → tensor, in mode fast; None: not known."""
    key_mask: str | None
    """None: no active key covers the deployment."""
    grpc: GrpcTarget | str
    """Or why its model cannot be called by gRPC."""
