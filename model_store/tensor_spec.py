"""An input or output of a model, as manifests and deployments keep it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

ClassLabels = tuple[int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """An input or output of a model."""

    name: str
    """Name of the tensor."""
    datatype: str
    """Of the Open Inference Protocol: FP32, INT64, BYTES…"""
    shape: tuple[int, ...] | None
    """-1 is any size, an empty shape a scalar, null a tensor of any rank."""
    optional: bool = False
    """Whether a request may omit this input."""
    class_labels: ClassLabels | None = None
    """The class of each column, of an output with probabilities by class; it is a map in the model
    (ZipMap), and served as a tensor [N, classes]. Null for all others."""
    columns: tuple[str, ...] | None = None
    """The names of an input's last dimension, as its publisher has given them. Null: none."""


def tensor_json(spec: TensorSpec) -> dict[str, Any]:
    """Return a TensorSpec as JSON (Any); older releases cannot read `columns`."""
    members = asdict(spec)
    if spec.columns is None:
        del members["columns"]
    return members


def parse_tensor(spec: Mapping[str, Any]) -> TensorSpec:
    """Read a TensorSpec from JSON (Any); raise TypeError, ValueError or KeyError for others."""
    shape = spec["shape"]
    lists = {"shape": None if shape is None else tuple(map(int, shape))}
    for name in ("class_labels", "columns"):
        names = spec.get(name)
        lists[name] = None if names is None else tuple(names)
    return TensorSpec(**{**spec, **lists})
