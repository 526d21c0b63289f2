"""What of a model can be served, and what cannot. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from model_store.errors import invalid_model
from model_store.manifest import Inspection, Manifest

_OPTIONAL = "optional("


class ModelWarningCode(StrEnum):
    """What a warning is about."""

    UNSUPPORTED_INPUT = "unsupported_input"
    """An optional input that calls cannot give."""
    UNSUPPORTED_OUTPUT = "unsupported_output"
    """An output that calls do not get."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelWarning:
    """An input or output that is not served."""

    code: ModelWarningCode
    """`unsupported_input`: an optional input that calls cannot give; `unsupported_output`: an
    output that calls do not get."""
    name: str
    """Name of the input or output."""
    type: str
    """Its ONNX type, such as `seq(tensor(float))`."""
    message: str
    """The warning as a sentence for people."""


def warnings_of(model: Inspection | Manifest) -> Sequence[ModelWarning]:
    """Return what of a model is not served."""
    inputs = [
        ModelWarning(
            code=ModelWarningCode.UNSUPPORTED_INPUT,
            name=name,
            type=onnx_type,
            message=f"input '{name}' cannot be given: expected a tensor, got {onnx_type}",
        )
        for name, onnx_type in model.unsupported_inputs.items()
    ]
    outputs = [
        ModelWarning(
            code=ModelWarningCode.UNSUPPORTED_OUTPUT,
            name=name,
            type=onnx_type,
            message=(
                f"output '{name}' is not served: expected a tensor, got {onnx_type}; {_ADVICE}"
            ),
        )
        for name, onnx_type in model.unsupported_outputs.items()
    ]
    return [*inputs, *outputs]


def check_servable(inspection: Inspection) -> None:
    """Raise StoreError (INVALID_MODEL) if nothing of the model can be served."""
    for name, onnx_type in required_unsupported(inspection.unsupported_inputs).items():
        message = (
            f"input '{name}': expected a tensor, got {onnx_type}; no call can run the model without"
            f" it: {_ADVICE}"
        )
        raise invalid_model(message)
    if not inspection.outputs:
        found = inspection.unsupported_outputs.items()
        listed = ", ".join(f"'{name}' of type {onnx_type}" for name, onnx_type in found)
        message = f"outputs: expected at least one tensor, got {listed or 'none'}; {_ADVICE}"
        raise invalid_model(message)


def required_unsupported(unsupported_inputs: Mapping[str, str]) -> dict[str, str]:
    """Return those of the unsupported inputs without which the model does not run."""
    return {
        name: onnx_type
        for name, onnx_type in unsupported_inputs.items()
        if not onnx_type.startswith(_OPTIONAL)
    }


_ADVICE = (
    "export the model with tensors of bool, string, float, double, float16, bfloat16 or integers of"
    " 8 to 64 bits there"
)
