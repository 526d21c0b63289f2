"""The names of a model's columns and classes, which an ONNX file does not have. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from model_store.errors import invalid_request
from model_store.tensor_spec import TensorSpec

_MAX_NAMES = 10_000
_MAX_LENGTH = 128
_MAX_SHOWN = 5
_FLOATS = frozenset({"FP16", "BF16", "FP32", "FP64"})

Specs = tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorNames:
    """What a publisher says about a model."""

    columns: tuple[str, ...] = ()
    """Of the last dimension of an input: its rows may then be objects. Empty: there are none."""
    classes: tuple[str, ...] = ()
    """Of the last dimension of an output with probabilities. Empty: there are none, or the model
    itself has them."""

    @classmethod
    def parse(cls, columns: str | None, classes: str | None) -> Self:
        """Read lists such as `age,income`; raise StoreError (INVALID_REQUEST) for others."""
        return cls(columns=_parsed("columns", columns), classes=_parsed("classes", classes))

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read them from JSON (Any)."""
        return cls(columns=tuple(document["columns"]), classes=tuple(document["classes"]))

    def given_to(self, inputs: Specs, outputs: Specs) -> tuple[Specs, Specs]:
        """Return the tensors of a model with these names.

        Raises:
            StoreError: INVALID_REQUEST unless exactly one input, and one output, has as many
                columns.
        """
        if self.columns:
            fitting = [spec for spec in inputs if _may_have(spec, len(self.columns))]
            exact = [spec for spec in fitting if spec.shape and spec.shape[-1] > 0]
            named = _only(exact or fitting, inputs, self.columns, "columns: expected one input")
            inputs = _replaced(inputs, replace(named, columns=self.columns))
        if self.classes:
            fitting = [spec for spec in outputs if _is_by_class(spec, len(self.classes))]
            named = _only(fitting, outputs, self.classes, "classes: expected one FP output [N, …]")
            outputs = _replaced(outputs, replace(named, class_labels=self.classes))
        return inputs, outputs


NO_NAMES = TensorNames()


def _parsed(field: str, text: str | None) -> tuple[str, ...]:
    if not text or not text.strip():
        return ()
    names = tuple(name.strip() for name in text.split(","))
    problem = None
    if not all(names):
        problem = "an empty name"
    elif len(names) > _MAX_NAMES:
        problem = f"{len(names)} of them, and at most {_MAX_NAMES} are kept"
    elif len(set(names)) < len(names):
        [(twice, _)] = Counter(names).most_common(1)
        problem = f"'{twice[:_MAX_LENGTH]}' twice"
    elif any(len(name) > _MAX_LENGTH for name in names):
        problem = f"one with more than {_MAX_LENGTH} characters"
    if problem is not None:
        raise invalid_request(f"{field}: expected names with commas between them, got {problem}")
    return names


def _may_have(spec: TensorSpec, count: int) -> bool:
    """Whether the last dimension of an input has, or may have, as many places."""
    return spec.shape is not None and spec.shape[-1:] in ((count,), (-1,))


def _is_by_class(spec: TensorSpec, count: int) -> bool:
    """Whether an output is [N, classes] without names of its own."""
    return (
        spec.datatype in _FLOATS
        and spec.class_labels is None
        and spec.shape is not None
        and spec.shape[1:] == (count,)
    )


def _only(fitting: Sequence[TensorSpec], of: Specs, names: Sequence[str], what: str) -> TensorSpec:
    if len(fitting) != 1:
        shown = "; ".join(map(_shown, of[:_MAX_SHOWN])) + "; …" * (len(of) > _MAX_SHOWN)
        message = f"{what} with {len(names)} columns, got {shown or 'none'}"
        raise invalid_request(message)
    return fitting[0]


def _shown(spec: TensorSpec) -> str:
    shape = "any shape" if spec.shape is None else list(spec.shape)
    classes = "" if spec.class_labels is None else ", with classes of the model's own"
    return f"'{spec.name}' {spec.datatype} {shape}{classes}"


def _replaced(specs: Specs, named: TensorSpec) -> Specs:
    return tuple(named if spec.name == named.name else spec for spec in specs)
