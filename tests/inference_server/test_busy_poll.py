"""A server polls for the next call of a client in a tight loop, and for no other."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import numpy as np
import pytest

from protos import open_inference_pb2 as pb
from protos.methods import method_path
from tests.inference_server.conftest import StartServer
from tests.inference_server.process import InferenceProcess
from tests.inference_server.requests import arrays, infer_request
from transport import ClientStream, GrpcConnection, Status, connect

LINGER = ("--linger-microseconds", "50000")
"""Far more than any pause of the test's own: the machine may be busy."""


class SequentialCaller:
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


def context_switches(server: InferenceProcess) -> int:
    """Return how often the server's main thread has slept."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("voluntary_ctxt_switches")]
    return int(line.split()[1])


@pytest.mark.parametrize(("arguments", "polling"), [(LINGER, True), ((*LINGER[:1], "0"), False)])
async def test_a_server_polls_for_a_client_in_a_tight_loop_if_enabled(
    start_server: StartServer, arguments: tuple[str, ...], polling: bool
) -> None:
    server = start_server("mlp", *arguments)
    connection = await connect(server.address)
    caller = SequentialCaller(connection)
    row = np.ones((1, 4), "f4")
    for _ in range(60):
        expected = await caller.call(row)
    slept = []
    for _ in range(20):  # other processes change the count, but not that of every turn
        before = context_switches(server)
        for _ in range(200):
            np.testing.assert_array_equal(await caller.call(row), expected)
        slept.append(context_switches(server) - before)
        if (slept[-1] < 100) is polling:
            break
    connection.close()
    assert (slept[-1] < 100) is polling, slept


async def test_large_messages_are_intact_while_polling(start_server: StartServer) -> None:
    connection = await connect(start_server("mlp", *LINGER).address)
    caller = SequentialCaller(connection)
    source = np.random.default_rng(3)
    small = source.random((1, 4), np.float32)
    large = np.concatenate([small, source.random((200_000, 4), np.float32)])  # 3 MB
    for _ in range(40):
        alone = await caller.call(small)
    for _ in range(5):
        for rows in (large, small):
            np.testing.assert_allclose((await caller.call(rows))[:1], alone, rtol=1e-5)
    connection.close()


async def test_polling_delays_neither_a_second_client_nor_the_shutdown(
    start_server: StartServer,
) -> None:
    server = start_server("mlp", *LINGER)
    first, second = await connect(server.address), await connect(server.address)
    row = np.ones((1, 4), "f4")
    eager = SequentialCaller(first)
    for _ in range(60):
        expected = await eager.call(row)
    other = SequentialCaller(second)
    for _ in range(20):
        for caller in (eager, other):
            np.testing.assert_array_equal(await caller.call(row), expected)
    first.close()
    for _ in range(60):
        np.testing.assert_array_equal(await other.call(row), expected)
    server.process.send_signal(signal.SIGTERM)
    assert (await other.ended).code.name == "UNAVAILABLE"
    assert await asyncio.to_thread(server.process.wait, 10) == 0
