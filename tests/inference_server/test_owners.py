"""Of a model whose rows are declared independent, only calls of one owner share a run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from time import perf_counter

import grpc
import numpy as np
import pytest
import pytest_asyncio

from inference_server.data_plane.call_spans import CallSpans
from inference_server.data_plane.executor import BatchExecutor
from inference_server.data_plane.inputs import InputReader
from inference_server.data_plane.responses import ResponseEncoder
from inference_server.data_plane.run_limit import RunLimit
from inference_server.data_plane.served_model import ServedModel
from inference_server.lifecycle import BootPhase, Lifecycle
from inference_server.metrics import ModelMetrics
from inference_server.runtime.session import ModelSession
from inference_server.runtime.warmup import WarmupResult
from protos import open_inference_pb2 as pb
from protos.parameters import OWNER, OWNERS, set_owner
from telemetry.instruments import Registry
from tests import onnx_models
from tests.inference_server.conftest import StartServer
from tests.inference_server.requests import fp32, infer_request
from tests.inference_server.test_executor import CallResult, FutureResponder, Outcome
from tests.stub import InferenceStub


class Served:
    """A model that copies the other rows of a run where it has a value of 1,000 or more."""

    def __init__(self, folder: Path, *, by_owner: bool, spans: CallSpans | None = None) -> None:
        session = ModelSession(onnx_models.copies_rows(folder / "model.onnx"), threads=1)
        lifecycle = Lifecycle("model 1")
        self.metrics = ModelMetrics(Registry(), "model", 1)
        encoder = ResponseEncoder("model", "1", session.signature, max_bytes=1 << 20)
        executor = BatchExecutor(
            session,
            WarmupResult(samples=(), max_batch_size=8, batch_axis=True),
            encoder,
            self.metrics,
            threads=1,
            queue_calls=64,
            queue_bytes=1 << 20,
            bounded_by_shapes=True,
            run_limit=RunLimit(None, WarmupResult(samples=())),
            run_grace_seconds=1.0,
            on_stuck=lambda _: None,
            spans=spans,
        )
        self.model = ServedModel("model", 1, lifecycle, self.metrics)
        self.model.load(
            InputReader(session.signature), encoder, executor, by_owner=by_owner, spans=spans
        )
        lifecycle.enter_phase(BootPhase.WARMING)
        lifecycle.become_ready()

    def submit(self, first: float, owner: str | None) -> asyncio.Future[Outcome]:
        """Submit a call of one row that begins with `first`."""
        request = infer_request("model", {"x": fp32((first, 1))}, call_id="12345678")
        set_owner(request, owner)
        responder = FutureResponder()
        self.model.submit(request.SerializeToString(), responder, perf_counter())
        return responder.outcome

    @property
    def runs(self) -> dict[int, int]:
        """Rows of a run → how many there were."""
        return {rows: totals.runs for rows, totals in self.metrics.runs.by_rows.items()}


@pytest_asyncio.fixture
async def served(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    """A served model; the parameter says whether calls share runs by owner."""
    found = Served(tmp_path, by_owner=request.param)
    yield found
    found.model.close()


async def first_values(*outcomes: asyncio.Future[Outcome]) -> list[float]:
    """Return the first value of each answer."""
    found = []
    for outcome in await asyncio.gather(*outcomes):
        assert isinstance(outcome, CallResult)
        found.append(float(outcome.arrays[0][0, 0]))
    return found


@pytest.mark.parametrize("served", [True], indirect=True)
async def test_calls_of_one_owner_share_a_run_and_no_others(served: Served) -> None:
    for _ in range(2):  # the second time, their templates are known
        outcomes = [
            served.submit(first, owner)
            for first, owner in [
                (1000, "mallory"),
                (1, "ada"),
                (2, "ada"),
                (3, "bob"),
                (4, None),
                (5, None),
            ]
        ]
        served.model.flush()
        assert await first_values(*outcomes) == [1000, 1, 2, 3, 4, 5]
    await asyncio.sleep(0)  # runs are counted after their responses
    assert served.runs == {1: 8, 2: 2}


@pytest.mark.parametrize("served", [False], indirect=True)
async def test_owners_make_no_difference_where_rows_are_proved_apart(served: Served) -> None:
    outcomes = [served.submit(1, owner) for owner in ("ada", "bob", None)]
    served.model.flush()
    assert await first_values(*outcomes) == [1, 1, 1]
    await asyncio.sleep(0)
    assert served.runs == {3: 1}


@pytest.mark.parametrize(
    ("model", "arguments", "rows", "by_owner"),
    [
        ("copies_rows", (), 1, False),
        ("copies_rows", ("--batching", "declared"), 2, True),
        ("copies_rows", ("--batching", "declared", "--max-batch-size", "1"), 1, False),
        ("mlp", ("--batching", "declared"), 2, False),
        ("mlp", ("--batching", "off"), 1, False),
    ],
)
async def test_a_server_does_as_it_is_told_and_says_so(
    start_server: StartServer, model: str, arguments: tuple[str, ...], rows: int, by_owner: bool
) -> None:
    async with grpc.aio.insecure_channel(start_server(model, *arguments).address) as channel:
        stub = InferenceStub(channel)
        config = (await stub.ModelConfig(pb.ModelConfigRequest(name=model))).config
        about = await stub.ServerMetadata(pb.ServerMetadataRequest())
    assert config.max_batch_size >= rows
    assert (config.max_batch_size > 1) is (rows > 1)
    assert (OWNERS in about.extensions) is by_owner


def test_what_a_caller_says_of_its_owner_is_removed() -> None:
    request = infer_request("m", {"x": ("FP32", np.zeros(1, "f4"))})
    request.parameters[OWNER].string_param = "another user"
    set_owner(request, None)
    assert OWNER not in request.parameters
