"""From a name and a version to a model that answers: load, warm up, ready."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from time import perf_counter

from inference_server.data_plane.executor import BatchExecutor
from inference_server.data_plane.served_model import ServedModel
from inference_server.errors import InferenceError, as_inference_error
from inference_server.lifecycle import BootPhase, Lifecycle
from inference_server.metrics import ModelMetrics
from inference_server.runtime import threads
from inference_server.runtime.session import OnnxSession
from inference_server.runtime.warmup import warm_up
from inference_server.settings import Settings
from inference_server.triton_extensions import TritonExtensions
from model_store.errors import StoreError
from model_store.names import MODEL_FILE
from model_store.store import ModelStore
from protos.errors import ErrorCode
from telemetry.logs import logger


class BootSequence:
    """Brings one model up. Blocking work goes to threads.

    ONNX Runtime lets go of the GIL while it loads and while it runs (measured: no pause over 5 ms
    during a load of a second), so that probes are answered all the while.
    """

    def __init__(
        self,
        settings: Settings,
        lifecycle: Lifecycle,
        plane: ServedModel,
        repository: TritonExtensions,
        metrics: ModelMetrics,
    ) -> None:
        self._settings = settings
        self._lifecycle = lifecycle
        self._plane = plane
        self._repository = repository
        self._metrics = metrics
        # A thread of our own: asyncio would wait for its own ones when told to stop during a load.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="boot")
        self._log = logger(__name__)

    async def run(self) -> None:
        """Leave the lifecycle ready, or failed with the reason. Raises nothing."""
        try:
            await self._bring_up()
        except Exception as error:  # noqa: BLE001 - the process stays up to tell, whatever it is
            self._lifecycle.fail(as_inference_error(error))
        else:
            self._lifecycle.become_ready()
        finally:
            self._thread.shutdown(wait=False)

    async def _bring_up(self) -> None:
        plan = threads.plan()
        intra_op = self._settings.threads or plan.intra_op
        self._log.info("threads_planned", threads=intra_op, cpus=plan.cpus, reason=plan.reason)
        loop = asyncio.get_running_loop()
        with self._phase(BootPhase.LOADING):
            session = await loop.run_in_executor(self._thread, self._load, intra_op)
        with self._phase(BootPhase.WARMING):
            warmth = await loop.run_in_executor(
                self._thread, partial(warm_up, session, most_rows=self._settings.max_batch_size)
            )
        self._log.info(
            "warmed_up",
            run_seconds=warmth.samples[0][1] if warmth.samples else None,
            max_batch_size=warmth.max_batch_size,
            refusal=warmth.refusal,
        )
        executor = BatchExecutor(
            session,
            warmth,
            self._metrics,
            threads=self._settings.instances,
            queue_calls=self._settings.queue_calls,
            queue_bytes=self._settings.queue_bytes,
        )
        self._repository.loaded(session.signature, warmth)
        self._plane.serve(session.signature, executor, most_bytes=self._settings.max_message_bytes)

    def _load(self, intra_op: int) -> OnnxSession:
        settings = self._settings
        store = ModelStore(settings.store)
        try:
            manifest = store.manifest(settings.model, settings.version)
            model = store.folder(settings.model, settings.version) / MODEL_FILE
        except (StoreError, OSError) as error:
            raise InferenceError(ErrorCode.INFERENCE_SERVER_FAILED, str(error)) from error
        specs = (*manifest.inputs, *manifest.outputs)
        unranked = [spec.name for spec in specs if spec.shape is None]
        return OnnxSession(model, threads=intra_op, unranked=unranked)

    @contextmanager
    def _phase(self, phase: BootPhase) -> Iterator[None]:
        self._lifecycle.boot(phase)
        began = perf_counter()
        yield
        self._metrics.booted(phase, perf_counter() - began)
