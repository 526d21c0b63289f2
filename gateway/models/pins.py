"""A model version pinned by a deployment: its digest, inputs and outputs.

A pin is a copy. Published versions never change, so a deployment can be loaded and called without
access to the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from model_store.manifest import Manifest
from model_store.tensor_spec import ClassLabels, TensorSpec, parse_tensor, tensor_json

__all__ = ["ClassLabels", "Pin", "TensorSpec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One pinned version of a model."""

    model: str
    version: int
    sha256: str
    """Of model.onnx, in hexadecimal."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    unsupported_inputs: Mapping[str, str]
    """Inputs that are not tensors: name → ONNX type."""
    unsupported_outputs: Mapping[str, str]

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Return the pin of a published version."""
        return cls(
            model=manifest.name,
            version=manifest.version,
            sha256=manifest.sha256,
            inputs=manifest.inputs,
            outputs=manifest.outputs,
            unsupported_inputs=manifest.unsupported_inputs,
            unsupported_outputs=manifest.unsupported_outputs,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the pin as stored in a JSON column."""
        tensors = {
            "inputs": [tensor_json(spec) for spec in self.inputs],
            "outputs": [tensor_json(spec) for spec in self.outputs],
        }
        return asdict(self) | tensors

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned."""
        tensors = {field: _tensors(stored[field]) for field in ("inputs", "outputs")}
        return cls(**{**stored, **tensors})


def _tensors(stored: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(parse_tensor(raw) for raw in stored)
