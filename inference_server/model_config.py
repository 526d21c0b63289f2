"""Triton's configuration of a model version, as far as it was read from the model or found out."""

from __future__ import annotations

from inference_server.runtime.signature import Signature, protocol_shape
from inference_server.runtime.warmup import WarmupResult
from model_store.manifest import PLATFORM, TensorSpec
from protos import open_inference_pb2 as pb

_BACKEND = "onnxruntime"


def model_config(
    name: str, version: int, signature: Signature, warmth: WarmupResult
) -> pb.ModelConfig:
    """Return the configuration that clients build their inputs by.

    Where `max_batch_size` is not 0 they leave the first dimension of every tensor to it.
    """
    batches = warmth.batch_axis and _all_are_rows(signature)
    most_rows = warmth.max_batch_size if batches else 0
    config = pb.ModelConfig(
        name=name,
        platform=PLATFORM,
        backend=_BACKEND,
        version_policy=pb.ModelVersionPolicy(specific={"versions": [version]}),
        max_batch_size=most_rows,
    )
    skipped = 1 if most_rows else 0
    for spec in signature.inputs:
        data_type, dims = _data_type(spec), protocol_shape(spec)[skipped:]
        config.input.add(name=spec.name, data_type=data_type, dims=dims, optional=spec.optional)
    for spec in signature.outputs:
        config.output.add(
            name=spec.name, data_type=_data_type(spec), dims=protocol_shape(spec)[skipped:]
        )
    if most_rows > 1:
        config.dynamic_batching.SetInParent()
    return config


def _all_are_rows(signature: Signature) -> bool:
    """Whether the batch axis can be left out of every tensor.

    Triton's configuration has it for all or for none, so optional inputs must have it, too; and
    clients cannot send an input that has no other dimension.
    """
    inputs = [spec.shape or () for spec in signature.inputs]
    outputs = [spec.shape or () for spec in signature.outputs]
    return all(shape[:1] == (-1,) for shape in (*inputs, *outputs)) and all(
        len(shape) > 1 for shape in inputs
    )


def _data_type(spec: TensorSpec) -> str:
    return "TYPE_STRING" if spec.datatype == "BYTES" else f"TYPE_{spec.datatype}"
