"""Boot of a server: load the model, warm it up, become ready."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from mmap import mmap
from pathlib import Path
from time import perf_counter
from typing import TypeVar

from inference_server.data_plane.call_spans import CallSpans
from inference_server.data_plane.executor import BatchExecutor
from inference_server.data_plane.inputs import InputReader
from inference_server.data_plane.responses import ResponseEncoder
from inference_server.data_plane.run_limit import RunLimit
from inference_server.data_plane.served_model import ServedModel
from inference_server.errors import InferenceError, as_inference_error
from inference_server.lifecycle import BootPhase, Lifecycle, LifecycleState
from inference_server.metrics import ModelMetrics
from inference_server.model_info import ModelInfo
from inference_server.runtime.host import MemoryLimit, plan_threads
from inference_server.runtime.row_check import row_proof
from inference_server.runtime.session import ModelSession, RunOptions
from inference_server.runtime.warmup import WarmupResult, warm_up
from inference_server.settings import ENVIRONMENT_PREFIX, Settings
from model_store.errors import StoreError
from model_store.folder_store import FolderStore
from model_store.locations import open_store, parse_options
from model_store.manifest import Manifest, RowProof
from model_store.names import MODEL_FILE
from protos.errors import ErrorCode
from telemetry.logs import logger
from telemetry.traces import Tracer

_FIRST_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 1.0, 10.0
"""Between attempts to fetch a model from a store that cannot be reached."""

Result = TypeVar("Result")


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
        *,
        memory_limit: MemoryLimit,
        running_call: mmap | None,
        open_tracer: Callable[[], Tracer | None],
        on_stuck: Callable[[str], None],
    ) -> None:
        """Prepare a boot, which counts the model in `memory_limit`.

        `running_call` is where the call that runs is named, see BatchExecutor. `open_tracer` may
        take a moment; it returns None where calls are not traced. `on_stuck` is called
        with the reason when a load, or later a run, does not end in time.
        """
        self._on_stuck = on_stuck
        self._settings = settings
        self._lifecycle = lifecycle
        self._model = model
        self._info = info
        self._metrics = metrics
        self._memory_limit = memory_limit
        self._running_call = running_call
        self._open_tracer = open_tracer
        self._spans: CallSpans | None = None
        # Not asyncio's default executor: the loop would wait for it when stopped during a load.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="boot")
        self._log = logger(__name__)

    async def run(self) -> None:
        """Leave the lifecycle ready, or failed with the reason. Raises nothing."""
        try:
            await self._load_and_warm_up()
        except Exception as error:  # noqa: BLE001 - the process stays up to report the reason
            if self._lifecycle.state is LifecycleState.BOOTING:
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
        store = FolderStore(await self._store_folder())
        with self._phase(BootPhase.LOADING):
            loading = loop.run_in_executor(self._thread, self._load, store, intra_op)
            session, manifest, rows = await self._within(
                settings.load_seconds, loading, "loading the model", "LOAD_SECONDS"
            )
        with self._phase(BootPhase.WARMING):
            warmup = await self._warm_up(session, rows)
        self._log.info(
            "warmed_up",
            run_seconds=warmup.samples[0][1] if warmup.samples else None,
            max_batch_size=warmup.max_batch_size,
            refusal=warmup.refusal,
            rows_may_meet=rows.reason,
            batching=settings.batching,
        )
        self._connect(session, manifest, warmup, by_owner=rows.reason is not None)

    async def _store_folder(self) -> Path:
        """Return the folder of the store; of a bucket, that in which the model is kept now."""
        settings = self._settings
        if settings.cache is None:
            return Path(settings.store)
        with self._phase(BootPhase.FETCHING):
            loop, pause = asyncio.get_running_loop(), _FIRST_PAUSE_SECONDS
            while True:
                try:
                    return await loop.run_in_executor(
                        self._thread, _fetch, settings, settings.cache
                    )
                except (StoreError, OSError) as error:
                    code = ErrorCode.INFERENCE_SERVER_FAILED
                    if getattr(error, "code", code) is not ErrorCode.MODEL_STORE_UNAVAILABLE:
                        raise InferenceError(code, str(error)) from error
                    self._log.warning("model_not_fetched", reason=str(error), retry_seconds=pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _MAX_PAUSE_SECONDS)

    async def _warm_up(self, session: ModelSession, rows: RowProof) -> WarmupResult:
        """Return what the first runs found out until the time for them was over.

        Calls share no run unless it is proved that `rows` do not meet, or declared.

        Raises:
            InferenceError: INFERENCE_SERVER_FAILED if none of them ended.
        """
        settings, options = self._settings, RunOptions()
        shares = settings.batching == "declared" or (
            settings.batching == "auto" and rows.reason is None
        )
        max_rows = settings.max_batch_size if shares else 1
        running = asyncio.get_running_loop().run_in_executor(
            self._thread,
            partial(warm_up, session, max_rows=max_rows, options=options),
        )
        try:
            in_time, _ = await asyncio.wait({running}, timeout=settings.warm_up_seconds)
        finally:
            options.terminate = True  # without effect on a warm-up that has ended
        warmup = await self._within(
            settings.run_grace_seconds, running, "ending the first run", "RUN_GRACE_SECONDS"
        )
        if not (in_time or warmup.samples):
            raise _timed_out("the first run", settings.warm_up_seconds, "WARM_UP_SECONDS")
        return warmup

    async def _within(
        self, seconds: float, work: asyncio.Future[Result], title: str, setting: str
    ) -> Result:
        """Return the result of `work` on the thread; where it takes longer, nothing can end it."""
        done, _ = await asyncio.wait({work}, timeout=seconds)
        if done:
            return await work
        failure = _timed_out(title, seconds, setting)
        self._lifecycle.fail(failure)
        self._on_stuck(failure.message)
        raise failure

    def _load(self, store: FolderStore, intra_op: int) -> tuple[ModelSession, Manifest, RowProof]:
        settings = self._settings
        tracer = self._open_tracer()
        self._spans = None if tracer is None else CallSpans(tracer)
        try:
            manifest = store.manifest(settings.model, settings.version)
            model = store.folder(settings.model, settings.version) / MODEL_FILE
        except StoreError as error:
            raise InferenceError(ErrorCode.INFERENCE_SERVER_FAILED, str(error)) from error
        except OSError as error:
            message = f"the model's files cannot be read: {error.strerror}"
            raise InferenceError(ErrorCode.INFERENCE_SERVER_FAILED, message) from error
        self._memory_limit.add_model(self._model, manifest.size, fixed=settings.memory_bytes)
        specs = (*manifest.inputs, *manifest.outputs)
        unranked = [spec.name for spec in specs if spec.shape is None]
        labels = {spec.name: spec.class_labels for spec in specs if spec.class_labels}
        session = ModelSession(model, threads=intra_op, unranked=unranked, class_labels=labels)
        return session, manifest, row_proof(manifest, model)

    def _connect(
        self, session: ModelSession, manifest: Manifest, warmup: WarmupResult, *, by_owner: bool
    ) -> None:
        """Give the served model its input reader, response encoder and executor.

        Where calls share runs, they do so `by_owner`, or all of them.
        """
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
            bounded_by_shapes=manifest.bounded_by_shapes,
            run_limit=RunLimit(settings.max_run_seconds, warmup),
            running_call=self._running_call,
            spans=self._spans,
            run_grace_seconds=settings.run_grace_seconds,
            on_stuck=lambda seconds: self._on_stuck(
                f"a run went on for {seconds:.1f} s after its last caller had gone"
            ),
        )
        self._metrics.record_limits(instances=settings.instances, queue_calls=settings.queue_calls)
        self._info.load(signature, warmup)
        by_owner = by_owner and executor.can_batch
        self._model.load(
            InputReader(signature), encoder, executor, by_owner=by_owner, spans=self._spans
        )

    @contextmanager
    def _phase(self, phase: BootPhase) -> Iterator[None]:
        self._lifecycle.enter_phase(phase)
        started_at = perf_counter()
        yield
        self._metrics.record_phase(phase, perf_counter() - started_at)


def _fetch(settings: Settings, cache: Path) -> Path:
    """Have the model in a folder store below `cache`; return its root.

    Raises:
        StoreError, OSError: as the store.
    """
    options = ""
    if settings.store_options_file is not None:
        options = settings.store_options_file.read_text()
    store = open_store(
        settings.store,
        options=parse_options(options, source="--store-options-file"),
        cache=cache,
        cache_bytes=settings.cache_bytes,
    )
    return store.fetch(settings.model, settings.version)


def _timed_out(title: str, seconds: float, setting: str) -> InferenceError:
    message = f"{title} took longer than {seconds:g} s (setting {ENVIRONMENT_PREFIX}{setting})"
    return InferenceError(ErrorCode.INFERENCE_SERVER_FAILED, message)
