"""A server stays awake for the next call of a client in a hurry, and for nobody else."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import numpy as np
import pytest

from protos import open_inference_pb2 as pb
from protos.methods import method_path
from tests.inference_server.conftest import Serve
from tests.inference_server.process import InferenceProcess
from tests.inference_server.requests import arrays, infer_request
from transport import ClientStream, GrpcConnection, Status, connect

LINGER = ("--linger-microseconds", "50000")
"""Far more than any pause of the test's own: the machine may be busy."""


class Caller:
    """A stream on which call follows call."""

    def __init__(self, connection: GrpcConnection) -> None:
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()
        self.ended: asyncio.Future[Status] = asyncio.get_running_loop().create_future()
        self._stream: ClientStream = connection.open_stream(
            method_path("ModelStreamInfer"),
            on_message=self._answers.put_nowait,
            on_end=self.ended.set_result,
        )

    async def call(self, rows: np.ndarray) -> np.ndarray:
        """Return what the model makes of `rows`."""
        self._stream.send(infer_request("mlp", {"x": ("FP32", rows)}).SerializeToString())
        raw = await self._answers.get()
        answer = pb.ModelStreamInferResponse.FromString(raw)
        assert not answer.error_message
        return arrays(answer.infer_response)["y"]


def sleeps(server: InferenceProcess) -> int:
    """Return how often the server's main thread has gone to sleep."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("voluntary_ctxt_switches")]
    return int(line.split()[1])


@pytest.mark.parametrize(("arguments", "awake"), [(LINGER, True), ((*LINGER[:1], "0"), False)])
async def test_it_stays_awake_if_it_is_to(
    served: Serve, arguments: tuple[str, ...], awake: bool
) -> None:
    server = served("mlp", *arguments)
    connection = await connect(server.address)
    caller = Caller(connection)
    row = np.ones((1, 4), "f4")
    for _ in range(60):
        expected = await caller.call(row)
    before = sleeps(server)
    for _ in range(200):
        np.testing.assert_array_equal(await caller.call(row), expected)
    slept = sleeps(server) - before
    assert slept < 100 if awake else slept > 150
    connection.close()


async def test_large_messages_pass_unharmed_while_it_is_awake(served: Serve) -> None:
    connection = await connect(served("mlp", *LINGER).address)
    caller = Caller(connection)
    source = np.random.default_rng(3)
    small = source.random((1, 4), np.float32)
    large = np.concatenate([small, source.random((200_000, 4), np.float32)])  # 3 MB
    for _ in range(40):
        alone = await caller.call(small)
    for _ in range(5):
        for rows in (large, small):
            np.testing.assert_allclose((await caller.call(rows))[:1], alone, rtol=1e-5)
    connection.close()


async def test_a_client_that_leaves_and_a_second_one_do_not_hold_it_up(served: Serve) -> None:
    server = served("mlp", *LINGER)
    first, second = await connect(server.address), await connect(server.address)
    row = np.ones((1, 4), "f4")
    hasty = Caller(first)
    for _ in range(60):
        expected = await hasty.call(row)
    other = Caller(second)
    for _ in range(20):
        for caller in (hasty, other):
            np.testing.assert_array_equal(await caller.call(row), expected)
    first.close()
    for _ in range(60):
        np.testing.assert_array_equal(await other.call(row), expected)
    server.process.send_signal(signal.SIGTERM)
    assert (await other.ended).code.name == "UNAVAILABLE"
    assert await asyncio.to_thread(server.process.wait, 10) == 0
