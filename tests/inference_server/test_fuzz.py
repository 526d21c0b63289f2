"""Invalid messages are refused without crash, traceback or growth; valid ones work afterwards."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import grpc
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos import open_inference_pb2 as pb
from protos.datatypes import DATATYPES
from tests.inference_server.conftest import StartServer
from tests.inference_server.requests import fp32, infer_request, strings

_GROWTH_BYTES = 30 << 20
_REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED,
}


def good() -> pb.ModelInferRequest:
    """Return a request that is answered."""
    tensors = {"number": fp32([1, 2]), "count": ("INT64", np.array([3])), "text": strings(b"a")}
    return infer_request("mixed", tensors)


def or_text(*likely: str) -> st.SearchStrategy[str]:
    """Return one of the likely words, or any text at all."""
    return st.sampled_from(likely) | st.text(max_size=20)


sizes = st.sampled_from([0, 1, 2, 3, -1, 2**31, 2**62, 2**63 - 1, -(2**63)]) | st.integers(0, 4)
contents = st.builds(
    pb.InferTensorContents,
    bool_contents=st.lists(st.booleans(), max_size=2),
    int_contents=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=2),
    int64_contents=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=2),
    fp32_contents=st.lists(st.floats(width=32), max_size=3),
    fp64_contents=st.lists(st.floats(), max_size=2),
    bytes_contents=st.lists(st.binary(max_size=9), max_size=2),
)
parameters = st.dictionaries(
    or_text("shared_memory_region", "classification", "timeout", "sequence_id"),
    st.builds(pb.InferParameter, int64_param=st.integers(-(2**63), 2**63 - 1)),
    max_size=1,
)
tensors = st.builds(
    pb.ModelInferRequest.InferInputTensor,
    name=or_text("number", "count", "text"),
    datatype=or_text(*DATATYPES),
    shape=st.lists(sizes, max_size=3),
    parameters=parameters,
    contents=st.none() | contents,
)
requests = st.builds(
    pb.ModelInferRequest,
    model_name=st.just("mixed") | st.text(max_size=9),
    model_version=st.sampled_from(["", "1", "2", "x"]),
    id=st.text(max_size=9),
    parameters=parameters,
    inputs=st.lists(tensors, max_size=4),
    outputs=st.lists(
        st.builds(
            pb.ModelInferRequest.InferRequestedOutputTensor,
            name=or_text("doubled", "next", "echo"),
            parameters=parameters,
        ),
        max_size=3,
    ),
    raw_input_contents=st.lists(st.binary(max_size=17), max_size=4),
)


@st.composite
def corrupted(draw: st.DrawFn) -> bytes:
    """Return the bytes of a good request with some of them changed, removed or inserted."""
    raw = bytearray(good().SerializeToString())
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(raw)))
        raw[start : start + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(raw)


Send = Callable[[bytes], None]


@pytest.fixture(scope="module")
def send(shared_server: StartServer) -> Iterator[Send]:
    """Send bytes to ModelInfer, to be answered or refused; the server must not change."""
    server = shared_server("mixed")
    process = psutil.Process(server.process.pid)
    with grpc.insecure_channel(server.address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer"
        )

        def sent(request: bytes) -> None:
            try:
                call(request)
            except grpc.RpcError as error:
                refusal = error
            else:
                return
            assert refusal.code() in _REFUSALS, refusal
            assert refusal.details()

        for _ in range(200):
            call(good().SerializeToString())
        before = process.memory_info().rss
        yield sent
        call(good().SerializeToString())
    assert process.memory_info().rss - before < _GROWTH_BYTES
    assert not re.search("Traceback|unexpected_error|Exception", server.log())


@given(request=requests)
def test_any_message_is_answered_or_refused(send: Send, request: pb.ModelInferRequest) -> None:
    send(request.SerializeToString())


@given(request=corrupted())
def test_any_corrupted_message_is_answered_or_refused(send: Send, request: bytes) -> None:
    send(request)


@given(request=st.binary(max_size=200))
def test_any_bytes_are_answered_or_refused(send: Send, request: bytes) -> None:
    send(request)
