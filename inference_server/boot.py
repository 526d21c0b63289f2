"""Boot of a server: load the model, warm it up, become ready."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from time import perf_counter

from inference_server.data_plane.executor import BatchExecutor
from inference_server.data_plane.inputs import InputReader
from inference_server.data_plane.responses import ResponseEncoder
from inference_server.data_plane.served_model import ServedModel
from inference_server.errors import InferenceError, as_inference_error
from inference_server.lifecycle import BootPhase, Lifecycle
from inference_server.metrics import ModelMetrics
from inference_server.model_info import ModelInfo
from inference_server.runtime.host import plan_threads
from inference_server.runtime.session import ModelSession
from inference_server.runtime.warmup import WarmupResult, warm_up
from inference_server.settings import Settings
from model_store.errors import StoreError
from model_store.names import MODEL_FILE
from model_store.store import ModelStore
from protos.errors import ErrorCode
from telemetry.logs import logger


class BootSequence:
    """Loads one model. Blocking work runs on a thread.

    ONNX Runtime releases the GIL while it loads and runs (measured: no pause over 5 ms during a
    load of a second), so probes are answered throughout.
    """

    def __init__(
        self,
        settings: Settings,
        lifecycle: Lifecycle,
        model: ServedModel,
        info: ModelInfo,
        metrics: ModelMetrics,
    ) -> None:
        self._settings = settings
        self._lifecycle = lifecycle
        self._model = model
        self._info = info
        self._metrics = metrics
        # Not asyncio's default executor: the loop would wait for it when stopped during a load.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="boot")
        self._log = logger(__name__)

    async def run(self) -> None:
        """Leave the lifecycle ready, or failed with the reason. Raises nothing."""
        try:
            await self._load_and_warm_up()
        except Exception as error:  # noqa: BLE001 - the process stays up to report the reason
            self._lifecycle.fail(as_inference_error(error))
        else:
            self._lifecycle.become_ready()
        finally:
            self._thread.shutdown(wait=False)

    async def _load_and_warm_up(self) -> None:
        settings = self._settings
        plan = plan_threads()
        intra_op = settings.threads or plan.intra_op
        self._log.info("threads_planned", threads=intra_op, cpus=plan.cpus, reason=plan.reason)
        loop = asyncio.get_running_loop()
        with self._phase(BootPhase.LOADING):
            session = await loop.run_in_executor(self._thread, self._load, intra_op)
        with self._phase(BootPhase.WARMING):
            warmup = await loop.run_in_executor(
                self._thread, partial(warm_up, session, max_rows=settings.max_batch_size)
            )
        self._log.info(
            "warmed_up",
            run_seconds=warmup.samples[0][1] if warmup.samples else None,
            max_batch_size=warmup.max_batch_size,
            refusal=warmup.refusal,
        )
        self._connect(session, warmup)

    def _load(self, intra_op: int) -> ModelSession:
        settings = self._settings
        store = ModelStore(settings.store)
        try:
            manifest = store.manifest(settings.model, settings.version)
            model = store.folder(settings.model, settings.version) / MODEL_FILE
        except (StoreError, OSError) as error:
            raise InferenceError(ErrorCode.INFERENCE_SERVER_FAILED, str(error)) from error
        specs = (*manifest.inputs, *manifest.outputs)
        unranked = [spec.name for spec in specs if spec.shape is None]
        return ModelSession(model, threads=intra_op, unranked=unranked)

    def _connect(self, session: ModelSession, warmup: WarmupResult) -> None:
        """Give the served model its input reader, response encoder and executor."""
        settings = self._settings
        signature = session.signature
        encoder = ResponseEncoder(
            settings.model,
            str(settings.version),
            signature,
            max_bytes=settings.max_message_bytes,
        )
        executor = BatchExecutor(
            session,
            warmup,
            encoder,
            self._metrics,
            threads=settings.instances,
            queue_calls=settings.queue_calls,
            queue_bytes=settings.queue_bytes,
        )
        self._info.load(signature, warmup)
        self._model.load(InputReader(signature), encoder, executor)

    @contextmanager
    def _phase(self, phase: BootPhase) -> Iterator[None]:
        self._lifecycle.enter_phase(phase)
        started_at = perf_counter()
        yield
        self._metrics.record_phase(phase, perf_counter() - started_at)
