"""The description of a published version: `manifest.json` beside its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Self

import orjson

from model_store.errors import StoreError
from model_store.tensor_names import NO_NAMES, TensorNames
from model_store.tensor_spec import TensorSpec, parse_tensor, tensor_json
from protos.errors import ErrorCode

PLATFORM = "onnxruntime_onnx"
"""The platform's name in the Open Inference Protocol's model metadata."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of a version."""

    path: str
    """Relative to the version's folder, with forward slashes."""
    sha256: str
    """Of its content, in hexadecimal."""
    size: int
    """In bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowProof:
    """Whether row i of a model's outputs depends on row i of its inputs alone.

    Then calls can share a run.
    """

    version: int
    """Of the rules that it was checked with."""
    reason: str | None
    """Why that is not known, with the first node in which rows may meet; null: it is proved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What the verifier reports about a model that it could load."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    unsupported_inputs: Mapping[str, str]
    """Inputs that the protocol cannot carry: name → ONNX type, such as `seq(tensor(float))`."""
    unsupported_outputs: Mapping[str, str]
    opset: Mapping[str, int]
    """Operator set → version; the standard set is `ai.onnx`."""
    ir_version: int
    producer: str
    """The tool that wrote the model, with its version if known; may be empty."""
    external_data: tuple[str, ...]
    """Files with weights, relative to the model."""
    bounded_by_shapes: bool = False
    """Whether the shapes of the inputs bound the work of a run, whatever the inputs' values are."""
    rows: RowProof | None = None
    """Whether calls can share a run; None: it was not checked."""

    def to_json(self) -> bytes:
        """Return the inspection as JSON; `from_json` reads it back."""
        return orjson.dumps(self)

    @classmethod
    def from_json(cls, document: bytes) -> Self:
        """Read what `to_json` wrote; raise ValueError, TypeError or KeyError on anything else."""
        return cls(**_parsed_fields(orjson.loads(document), cls))


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The description of one version. Written at publication and never changed."""

    name: str
    version: int
    created_at: str
    """UTC, ISO 8601."""
    sha256: str
    """Of model.onnx, in hexadecimal."""
    files: tuple[File, ...]
    """model.onnx first, then its external data."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    unsupported_inputs: Mapping[str, str]
    unsupported_outputs: Mapping[str, str]
    opset: Mapping[str, int]
    ir_version: int
    producer: str
    bounded_by_shapes: bool = False
    """See Inspection. False in a manifest that does not have it: then it is not known."""
    rows: RowProof | None = None
    """See Inspection. A server checks what has None here, or was checked with other rules."""
    names: TensorNames = NO_NAMES
    """Of columns and classes, as the publisher has given them; `inputs` and `outputs` have them."""
    platform: str = PLATFORM

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def to_json(self) -> bytes:
        """Return the manifest as indented JSON; `from_json` reads it back.

        The inputs have no `columns` there: older releases, which cannot read those, can serve it.
        """
        document = {field.name: getattr(self, field.name) for field in fields(self)}
        for key in ("inputs", "outputs"):
            document[key] = [tensor_json(replace(spec, columns=None)) for spec in document[key]]
        return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def from_json(cls, document: bytes) -> Self:
        """Read what `to_json` wrote; raise StoreError (INVALID_MODEL) on anything else."""
        try:
            members = _parsed_fields(orjson.loads(document), cls)
            names = members.get("names", NO_NAMES)
            members["inputs"], _ = replace(names, classes=()).given_to(members["inputs"], ())
            return cls(**members)
        except (ValueError, TypeError, KeyError) as error:
            message = f"the manifest is damaged ({error}): publish the model again"
            raise StoreError(ErrorCode.INVALID_MODEL, message) from error


def manifest_of(
    name: str,
    version: int,
    copies: tuple[File, ...],
    inspection: Inspection,
    names: TensorNames = NO_NAMES,
) -> Manifest:
    """Return the manifest of a version that is published now, with the `names` given to it.

    Raises:
        StoreError: as `TensorNames.given_to`.
    """
    inputs, outputs = names.given_to(inspection.inputs, inspection.outputs)
    return Manifest(
        name=name,
        version=version,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        sha256=copies[0].sha256,
        files=copies,
        inputs=inputs,
        outputs=outputs,
        names=names,
        unsupported_inputs=inspection.unsupported_inputs,
        unsupported_outputs=inspection.unsupported_outputs,
        opset=inspection.opset,
        ir_version=inspection.ir_version,
        bounded_by_shapes=inspection.bounded_by_shapes,
        rows=inspection.rows,
        producer=inspection.producer,
    )


def _parsed_fields(document: dict[str, Any], cls: type[Inspection | Manifest]) -> dict[str, Any]:
    """Return the arguments of `cls`, with tuples instead of lists; unknown keys are dropped.

    Any: the values of a JSON document.
    """
    known = {field.name: document[field.name] for field in fields(cls) if field.name in document}
    for key in ("inputs", "outputs"):
        known[key] = tuple(parse_tensor(spec) for spec in known[key])
    if "files" in known:
        known["files"] = tuple(map(_parse_file, known["files"]))
    if "external_data" in known:
        known["external_data"] = tuple(known["external_data"])
    if known.get("rows") is not None:
        known["rows"] = parse_rows(known["rows"])
    if "names" in known:
        known["names"] = TensorNames.from_json(known["names"])
    return known


def parse_rows(document: Mapping[str, Any]) -> RowProof:
    """Read a RowProof from JSON (Any); raise TypeError or KeyError for others."""
    version, reason = document["version"], document["reason"]
    if type(version) is not int or not isinstance(reason, str | None):
        raise TypeError(f"rows {document!r}")
    return RowProof(version=version, reason=reason)


def _parse_file(document: Mapping[str, Any]) -> File:
    file = File(**document)
    if not (isinstance(file.path, str) and isinstance(file.sha256, str) and type(file.size) is int):
        raise TypeError(f"file {document!r}")
    return file
