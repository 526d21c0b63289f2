"""From a run to the encoded answers of its calls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inference_server.data_plane.batching import BatchResult
from inference_server.data_plane.outputs import OutputWriter
from inference_server.metrics import ModelMetrics
from protos import open_inference_pb2 as pb
from protos.message_templates import InferResponseTemplate, pack_double
from protos.parameters import INFER_SECONDS, QUEUE_SECONDS

_MOST_FORMS = 1024

Shapes = tuple[tuple[int, ...], ...]


class ResponseEncoder:
    """Writes the answers of one model version: by their form, or as protobuf does."""

    def __init__(
        self, model: str, version: str, writer: OutputWriter, metrics: ModelMetrics
    ) -> None:
        self.metrics = metrics
        self._model = model
        self._version = version
        self._writer = writer
        self._forms: dict[object, InferResponseTemplate] = {}

    def encode(
        self,
        run: BatchResult,
        start: int,
        rows: int,
        outputs: Sequence[str],
        *,
        call_id: bytes,
        queued: float,
        typed: bool,
        streamed: bool,
    ) -> bytes:
        """Return the answer to one call of `run`.

        Args:
            run: what was run.
            start: the call's first row in it.
            rows: how many there are, where the run was shared.
            outputs: the names of the run's arrays.
            call_id: is echoed.
            queued: the `perf_counter()` at which the call arrived.
            typed: whether it wants typed contents where there can be some.
            streamed: whether the answer is to be a part of a stream.

        Raises:
            InferenceError: INFERENCE_FAILED where an output has no value, or all are too large.
        """
        key = (rows, len(call_id), streamed)
        if typed:
            form = None
        elif key in run.forms:
            form = run.forms[key]
        else:
            form = run.forms[key] = self._form(run, rows, outputs, len(call_id), streamed)
        waited = run.began - queued
        if form is None:
            arrays = [array[start : start + rows] for array in run.arrays] if run.shared else None
            return self._written(
                run, arrays or run.arrays, outputs, call_id, waited, typed=typed, streamed=streamed
            )
        timings = (call_id, pack_double(run.infer_seconds), pack_double(waited))
        if not run.shared:
            return form.render((*timings, *self._raws(run)))
        parts = [
            raw[start * size : (start + rows) * size]
            for raw, size in zip(self._raws(run), run.row_sizes, strict=True)
        ]
        return form.render((*timings, *parts))

    def _form(
        self, run: BatchResult, rows: int, outputs: Sequence[str], id_size: int, streamed: bool
    ) -> InferResponseTemplate | None:
        """Return the form of the answers; None where they go through protobuf."""
        if not self._writer.plain(outputs) or any(array is None for array in run.arrays):
            return None
        shapes: Shapes = tuple(
            [(rows, *array.shape[1:]) if run.shared else array.shape for array in run.arrays]
        )
        key = (tuple(outputs), shapes, id_size, streamed)
        form = self._forms.get(key)
        if form is None:
            head = pb.ModelInferResponse(model_name=self._model, model_version=self._version)
            sizes = self._writer.describe(head, outputs, shapes)
            if len(self._forms) >= _MOST_FORMS:
                self._forms.clear()
            form = self._forms[key] = InferResponseTemplate(head, id_size, sizes, streamed=streamed)
        return form

    @staticmethod
    def _raws(run: BatchResult) -> list[bytes]:
        """Return the bytes of the run's arrays."""
        if run.raws is None:
            run.raws = [array.tobytes() for array in run.arrays]
            if run.shared:
                run.row_sizes = [array.nbytes // len(array) for array in run.arrays]
        return run.raws

    def _written(
        self,
        run: BatchResult,
        arrays: Sequence[np.ndarray],
        outputs: Sequence[str],
        call_id: bytes,
        waited: float,
        *,
        typed: bool,
        streamed: bool,
    ) -> bytes:
        response = pb.ModelInferResponse(
            model_name=self._model,
            model_version=self._version,
            id=call_id.decode("utf-8", "replace"),
        )
        self._writer.write(response, outputs, arrays, typed=typed)
        response.parameters[QUEUE_SECONDS].double_param = waited
        response.parameters[INFER_SECONDS].double_param = run.infer_seconds
        if streamed:
            return pb.ModelStreamInferResponse(infer_response=response).SerializeToString()
        return response.SerializeToString()
