"""A model in ONNX Runtime, with numpy arrays of the protocol's datatypes as inputs and outputs.

Works around two gaps of its Python API: bfloat16 passes only through the memory of an OrtValue,
and an OrtValue cannot be made of strings.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
import onnxruntime as ort

from inference_server.errors import InferenceError
from inference_server.runtime.signature import Signature, read_signature
from model_store.servable import required_unsupported
from model_store.tensor_spec import ClassLabels, TensorSpec
from protos.errors import ErrorCode

RunOptions: TypeAlias = ort.RunOptions
"""Given to a run, it can end it: once `terminate` is True, the run fails before its next operator.
One object serves one run."""
_FATAL = 4
_BFLOAT16 = 16
"""TensorProto.BFLOAT16"""
_ERROR_NOISE = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : |Name:'' |"
    r"/\S+\.(?:cc|h):\d+ (?:[^()]*\([^()]*\) (?:const )?)?"
)
"""In ONNX Runtime's messages: the prefix, and the location in its source code."""
_OF_THE_INPUT = ("Non-zero status code returned while running", ": INVALID_ARGUMENT : ")
"""In ONNX Runtime's messages about an operator or a check that a caller's tensors do not pass."""
_NO_MEMORY = ("bad_alloc", "Failed to allocate memory")
"""In ONNX Runtime's messages about an allocation that failed."""


class ModelSession:
    """A loaded model. `run` may be called from several threads at once."""

    def __init__(
        self,
        model: Path,
        *,
        threads: int,
        unranked: Collection[str] = (),
        class_labels: Mapping[str, ClassLabels] | None = None,
    ) -> None:
        """Load the file `model`, with `threads` threads per run. Blocks, without holding the GIL.

        `unranked` names the tensors that the file declares without a shape, `class_labels` the
        classes of maps, by output.

        Raises:
            InferenceError: INFERENCE_SERVER_FAILED if ONNX Runtime rejects the file, and
                NOT_IMPLEMENTED if a required input is not a tensor, or no output is.
        """
        ort.set_default_logger_severity(_FATAL)
        try:
            self._session = ort.InferenceSession(
                model, _options(threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            reason = _reason(error).replace(f"{model.parent}/", "")
            message = f"ONNX Runtime cannot load the model: {reason}"
            raise InferenceError(ErrorCode.INFERENCE_SERVER_FAILED, message) from error
        self.signature = read_signature(self._session, unranked=unranked, class_labels=class_labels)
        _check_servable(self.signature)
        self._class_labels = {
            spec.name: spec.class_labels for spec in self.signature.outputs if spec.class_labels
        }
        self._bfloat_inputs = _names_of("BF16", self.signature.inputs)
        self._bfloat_outputs = _names_of("BF16", self.signature.outputs)
        # `InferenceSession.run` checks the inputs once more in Python, which takes as long as half
        # a run of a tiny model. The object behind it has the same method without the checks.
        self._run = getattr(self._session, "_sess", self._session).run

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        outputs: Sequence[str],
        options: RunOptions | None = None,
    ) -> list[np.ndarray]:
        """Return the named outputs for `feeds`; strings are `str` in object arrays.

        Raises:
            InferenceError: INPUT_REJECTED, with ONNX Runtime's reason, where an operator cannot
                compute with the input; INFERENCE_TOO_LARGE if the run needs more memory than this
                process may use; else INFERENCE_FAILED.
        """
        try:
            if not (self._bfloat_inputs or self._bfloat_outputs) and outputs:
                arrays: list[np.ndarray] = self._run(outputs, feeds, options)
                if self._class_labels:
                    return self._without_maps(outputs, arrays)
                return arrays
            if not self._bfloat_outputs.isdisjoint(outputs):
                values = {name: _to_ort_value(array) for name, array in feeds.items()}
                results = self._session.run_with_ort_values(outputs, values, options)
                return [_from_ort_value(value) for value in results]
            if self._bfloat_inputs:
                feeds = {
                    name: _to_ort_value(array) if name in self._bfloat_inputs else array
                    for name, array in feeds.items()
                }
            arrays = self._without_maps(outputs, self._session.run(outputs, feeds, options))
        except UnicodeDecodeError as error:
            message = "the model returned a string that is not valid UTF-8"
            raise InferenceError(ErrorCode.INFERENCE_FAILED, message) from error
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise _run_error(error) from error
        return arrays

    # Any: ONNX Runtime returns lists of maps and numpy arrays
    def _without_maps(self, outputs: Sequence[str], values: Sequence[Any]) -> list[np.ndarray]:
        """Return tensors FP32 [N, classes] in place of maps, class → probability."""
        labels_of = self._class_labels
        return [
            _tensor_of_maps(value, labels_of[name]) if name in labels_of else value
            for name, value in zip(outputs, values, strict=True)
        ]


def _tensor_of_maps(rows: Sequence[Mapping[int | str, float]], labels: ClassLabels) -> np.ndarray:
    flat = [row[label] for row in rows for label in labels]
    return np.array(flat, np.float32).reshape(len(rows), len(labels))


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Every failed run is reported to its caller; ONNX Runtime would repeat it on stderr.
    options.log_severity_level = _FATAL
    # The arena never returns memory: one large request would stay resident. Without it runs were
    # no slower, tiny or convolutional. Memory patterns are kept for every shape ever seen.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # Threads spin during a run, not between runs: an idle server must cost nothing.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _check_servable(signature: Signature) -> None:
    """Refuse a model that an older release has published although nothing of it can be served."""
    required = required_unsupported(signature.unsupported_inputs)
    message = ""
    if required:
        message = f"the model takes input {_listed(required)}: only tensors are supported"
    elif not signature.outputs:
        found = _listed(signature.unsupported_outputs) or "nothing"
        message = f"the model returns only {found}: only tensors are supported"
    if message:
        raise InferenceError(ErrorCode.NOT_IMPLEMENTED, message)


def _listed(unsupported: Mapping[str, str]) -> str:
    return ", ".join(f"'{name}' of type {onnx_type}" for name, onnx_type in unsupported.items())


def _names_of(datatype: str, specs: Sequence[TensorSpec]) -> frozenset[str]:
    return frozenset(spec.name for spec in specs if spec.datatype == datatype)


def _to_ort_value(array: np.ndarray) -> ort.OrtValue:
    """Return a value that shares the memory of `array`, and keeps it alive."""
    if array.dtype == ml_dtypes.bfloat16:
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), _BFLOAT16)
    return ort.OrtValue.ortvalue_from_numpy(array)


def _from_ort_value(value: ort.OrtValue) -> np.ndarray:
    if value.element_type() != _BFLOAT16:
        array: np.ndarray = value.numpy()
        return array
    raw = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return np.frombuffer(raw, ml_dtypes.bfloat16).reshape(value.shape())


def _run_error(error: Exception) -> InferenceError:
    reason = _reason(error)
    if isinstance(error, MemoryError) or any(text in reason for text in _NO_MEMORY):
        message = (
            "the model needs more memory for this input than the inference server may use: send "
            f"less per call ({reason})"
        )
        return InferenceError(ErrorCode.INFERENCE_TOO_LARGE, message)
    is_rejected = any(text in str(error) for text in _OF_THE_INPUT)
    code = ErrorCode.INPUT_REJECTED if is_rejected else ErrorCode.INFERENCE_FAILED
    return InferenceError(code, reason)


def _reason(error: Exception) -> str:
    return _ERROR_NOISE.sub("", str(error)).strip() or type(error).__name__
