"""What earlier calls of others have sent is in no later answer, whatever is reused between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from protos import open_inference_pb2 as pb
from tests.inference_server.conftest import Connect, StartServer
from tests.inference_server.requests import arrays, infer_request

MARK = np.float32(7e30)
TEXT = "a secret of an earlier caller"


def calls_of(rows: Sequence[int], *, marked: bool, typed: bool) -> list[pb.ModelInferRequest]:
    """Return calls of so many rows, with the marks of the earlier caller or without."""
    found = []
    for number, count in enumerate(rows):
        value = MARK if marked else np.float32(number)
        text = TEXT if marked else "x"
        tensors = {
            "number": ("FP32", np.full((count, 2), value, "f4")),
            "count": ("INT64", np.arange(count)),
            "text": ("BYTES", np.array([text.encode()] * count, object)),
        }
        found.append(infer_request("mixed", tensors, typed=typed, call_id=f"{number:08}"))
    return found


@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
async def test_nothing_of_an_earlier_call_is_in_a_later_answer(
    shared_server: StartServer, connect: Connect, *, streamed: bool, typed: bool
) -> None:
    stub = connect(shared_server("mixed"))

    async def answers(calls: list[pb.ModelInferRequest]) -> list[pb.ModelInferResponse]:
        if not streamed:
            return [await stub.ModelInfer(call) for call in calls]
        stream = stub.ModelStreamInfer()
        for call in calls:
            await stream.write(call)
        await stream.done_writing()
        found = {answer.infer_response.id: answer.infer_response async for answer in stream}
        return [found[call.id] for call in calls]

    await answers(calls_of([64, 3, 1, 500, 2], marked=True, typed=typed))
    later = calls_of([1, 3, 2, 64, 500, 5, 1], marked=False, typed=typed)
    for number, (call, answer) in enumerate(zip(later, await answers(later), strict=True)):
        written = answer.SerializeToString()
        assert not [mark for mark in (MARK, 2 * MARK) if mark.tobytes() in written]
        assert TEXT.encode() not in written
        rows, found = call.inputs[0].shape[0], arrays(answer)
        np.testing.assert_array_equal(found["doubled"], np.full((rows, 2), 2 * number, "f4"))
        np.testing.assert_array_equal(found["next"], np.arange(rows) + 1)
        assert found["echo"].tolist() == [b"x"] * rows
