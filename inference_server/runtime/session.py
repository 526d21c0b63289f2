"""One model in ONNX Runtime. Arrays of the protocol's datatypes go in and come out.

What its Python API cannot do with them is dealt with here: bfloat16 passes only through the memory
of an OrtValue, and an OrtValue cannot be made of strings.
"""

from __future__ import annotations

import ctypes
import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import ml_dtypes
import numpy as np
import onnxruntime as ort

from inference_server.errors import InferenceError
from inference_server.runtime.signature import Signature, read_signature
from model_store.manifest import TensorSpec
from protos.errors import ErrorCode

_FATAL = 4
_BFLOAT16 = 16
"""TensorProto.BFLOAT16"""
_NOISE = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : |Name:'' |"
    r"/\S+\.(?:cc|h):\d+ (?:[^()]*\([^()]*\) (?:const )?)?"
)
"""In ONNX Runtime's messages: its prefix, and the place in its source that the rest came from."""


class OnnxSession:
    """A loaded model. `run` may be called from several threads at once."""

    def __init__(self, model: Path, *, threads: int, unranked: Collection[str] = ()) -> None:
        """Load the file `model`, with `threads` threads for each run; blocks, without the GIL.

        `unranked` has the names of the tensors that the file declares without a shape.

        Raises:
            InferenceError: INFERENCE_SERVER_FAILED where ONNX Runtime refuses the file, and
                NOT_IMPLEMENTED where a needed input is no tensor.
        """
        ort.set_default_logger_severity(_FATAL)
        try:
            self._session = ort.InferenceSession(
                model, _options(threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            message = f"ONNX Runtime cannot load the model: {_reason(error)}"
            raise InferenceError(ErrorCode.INFERENCE_SERVER_FAILED, message) from error
        self.signature = _carried(read_signature(self._session, unranked=unranked))
        self._bfloat_inputs = _names_of("BF16", self.signature.inputs)
        self._bfloat_outputs = _names_of("BF16", self.signature.outputs)

    def run(self, feeds: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """Return the named outputs for `feeds`; strings are `str` in object arrays.

        Raises:
            InferenceError: INFERENCE_FAILED, with ONNX Runtime's reason.
        """
        try:
            if not self._bfloat_outputs.isdisjoint(outputs):
                values = {name: _value(array) for name, array in feeds.items()}
                results = self._session.run_with_ort_values(outputs, values)
                return [_array(value) for value in results]
            if self._bfloat_inputs:
                feeds = {
                    name: _value(array) if name in self._bfloat_inputs else array
                    for name, array in feeds.items()
                }
            arrays: list[np.ndarray] = self._session.run(outputs, feeds)
        except UnicodeDecodeError as error:
            message = "the model gave a string that is not UTF-8"
            raise InferenceError(ErrorCode.INFERENCE_FAILED, message) from error
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise InferenceError(ErrorCode.INFERENCE_FAILED, _reason(error)) from error
        return arrays


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Every failed run reaches its caller; ONNX Runtime's own lines on stderr would only repeat it.
    options.log_severity_level = _FATAL
    # The arena never gives memory back: one big request would stay resident for good. Without it
    # runs were no slower, tiny or convolutional. The patterns are kept for every shape ever seen.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # Threads spin while a run is on, not between runs: an idle server must cost nothing.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _carried(signature: Signature) -> Signature:
    """Return `signature` without outputs that cannot be had; refuse inputs that cannot be given."""
    needed = {
        name: onnx_type
        for name, onnx_type in signature.unsupported_inputs.items()
        if not onnx_type.startswith("optional(")
    }
    if needed:
        listed = ", ".join(f"'{name}' of type {onnx_type}" for name, onnx_type in needed.items())
        message = f"the model takes input {listed}: only tensors can be served"
        raise InferenceError(ErrorCode.NOT_IMPLEMENTED, message)
    bfloats = _names_of("BF16", signature.outputs)
    if not (bfloats and _names_of("BYTES", signature.inputs)):
        return signature
    reason = "tensor(bfloat16) of a model that takes strings"
    return dataclasses.replace(
        signature,
        outputs=tuple(spec for spec in signature.outputs if spec.name not in bfloats),
        unsupported_outputs={**signature.unsupported_outputs, **dict.fromkeys(bfloats, reason)},
    )


def _names_of(datatype: str, specs: Sequence[TensorSpec]) -> frozenset[str]:
    return frozenset(spec.name for spec in specs if spec.datatype == datatype)


def _value(array: np.ndarray) -> ort.OrtValue:
    """Return a value that shares the memory of `array`, and keeps it."""
    if array.dtype == ml_dtypes.bfloat16:
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), _BFLOAT16)
    return ort.OrtValue.ortvalue_from_numpy(array)


def _array(value: ort.OrtValue) -> np.ndarray:
    if value.element_type() != _BFLOAT16:
        array: np.ndarray = value.numpy()
        return array
    raw = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return np.frombuffer(raw, ml_dtypes.bfloat16).reshape(value.shape())


def _reason(error: Exception) -> str:
    return _NOISE.sub("", str(error)).strip() or type(error).__name__
