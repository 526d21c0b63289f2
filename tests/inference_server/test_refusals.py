"""Invalid tensors are refused: the message names the tensor, what was expected and what came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
import numpy as np
import pytest

from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.status import CODE_KEY
from tests.inference_server.conftest import Connect, StartServer
from tests.inference_server.process import InferenceProcess
from tests.inference_server.requests import fp32, infer_request, strings
from tests.stub import InferenceStub


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The status of a failed call."""

    status: grpc.StatusCode
    code: ErrorCode
    message: str


async def refused_call(stub: InferenceStub, request: pb.ModelInferRequest) -> Refusal:
    """Send a request that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ModelInfer(request)
    error = caught.value
    code = ErrorCode(dict(error.trailing_metadata() or ())[CODE_KEY])
    return Refusal(status=error.code(), code=code, message=error.details() or "")


def good() -> pb.ModelInferRequest:
    """Return a request that the model `mixed` would answer; the cases below break it."""
    tensors = {"number": fp32([1, 2]), "count": ("INT64", np.array([3])), "text": strings(b"a")}
    return infer_request("mixed", tensors)


Breakage = Callable[[pb.ModelInferRequest], object]
CASES: dict[str, tuple[list[Breakage], str]] = {
    "a missing input": (
        [lambda r: r.inputs.pop(2), lambda r: r.raw_input_contents.pop(2)],
        "input 'text' is missing: the model takes 'number', 'count', 'text'",
    ),
    "no input at all": (
        [lambda r: r.ClearField("inputs"), lambda r: r.ClearField("raw_input_contents")],
        "input 'count', 'number', 'text' is missing",
    ),
    "an unknown input": (
        [lambda r: setattr(r.inputs[0], "name", "numbr")],
        "input 'numbr': unknown, the model takes 'number', 'count', 'text'",
    ),
    "an input sent twice": (
        [lambda r: r.inputs.append(r.inputs[0]), lambda r: r.raw_input_contents.append(b"")],
        "input 'number' is sent twice",
    ),
    "another datatype": (
        [lambda r: setattr(r.inputs[0], "datatype", "FP64")],
        "tensor 'number': expected datatype FP32, got FP64",
    ),
    "an unknown datatype": (
        [lambda r: setattr(r.inputs[0], "datatype", "float")],
        "tensor 'number': unknown datatype 'float', expected one of BOOL, UINT8",
    ),
    "another rank": (
        [lambda r: r.inputs[0].shape.pop()],
        "tensor 'number': expected shape [-1, 2], got [1]",
    ),
    "another fixed dimension": (
        [lambda r: r.inputs[0].shape.__setitem__(1, 3)],
        "tensor 'number': expected shape [-1, 2], got [1, 3]",
    ),
    "a negative dimension": (
        [lambda r: r.inputs[0].shape.__setitem__(0, -1)],
        "tensor 'number': negative dimension in shape [-1, 2]",
    ),
    "a huge dimension": (
        [lambda r: r.inputs[0].shape.__setitem__(0, 2**62)],
        "tensor 'number': shape [4611686018427387904, 2] is too large",
    ),
    "too few bytes": (
        [lambda r: r.raw_input_contents.__setitem__(0, bytes(7))],
        "tensor 'number': expected 8 bytes for datatype FP32 and shape [1, 2], got 7",
    ),
    "BYTES that do not divide": (
        [lambda r: r.raw_input_contents.__setitem__(2, b"\xff\xff\xff\xffa")],
        "tensor 'text': expected 1 BYTES elements, each a 4-byte length and that many bytes, got 5",
    ),
    "BYTES that are not UTF-8": (
        [lambda r: r.raw_input_contents.__setitem__(2, b"\x02\0\0\0a\xff")],
        "tensor 'text': element 0 is not valid UTF-8 (invalid start byte at byte 1)",
    ),
    "fewer raw contents than inputs": (
        [lambda r: r.raw_input_contents.pop()],
        "raw_input_contents: expected 3 entries, one for each input, got 2",
    ),
    "more raw contents than inputs": (
        [lambda r: r.raw_input_contents.append(b"")],
        "raw_input_contents: expected 3 entries, one for each input, got 4",
    ),
    "typed beside raw contents": (
        [lambda r: r.inputs[1].contents.int64_contents.append(3)],
        "input 'count': contents must not be set beside raw_input_contents",
    ),
    "typed contents of another field": (
        [
            lambda r: r.ClearField("raw_input_contents"),
            lambda r: r.inputs[0].contents.fp64_contents.extend([1, 2]),
        ],
        "tensor 'number': expected fp32_contents for FP32, got fp64_contents",
    ),
    "too many typed elements": (
        [
            lambda r: r.ClearField("raw_input_contents"),
            lambda r: r.inputs[0].contents.fp32_contents.extend([1, 2, 3]),
        ],
        "tensor 'number': expected 2 elements for shape [1, 2], got 3",
    ),
    "an unknown output": (
        [lambda r: r.outputs.add(name="tripled")],
        "output 'tripled': unknown, the model has 'doubled', 'next', 'echo'",
    ),
    "an output requested twice": (
        [lambda r: r.outputs.add(name="next"), lambda r: r.outputs.add(name="next")],
        "output 'next' is requested twice",
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_bad_tensor_is_an_invalid_argument(
    shared_server: StartServer, connect: Connect, case: str
) -> None:
    breakages, expected = CASES[case]
    request = good()
    for breakage in breakages:
        breakage(request)
    stub = connect(shared_server("mixed"))
    refused = await refused_call(stub, request)
    assert refused.message.startswith(expected)
    assert refused.status is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.code is ErrorCode.INVALID_TENSOR
    await stub.ModelInfer(good())


@pytest.mark.parametrize("shape", [(0, 2**61), (2**62, 0, 2**62), (1,) * 33, (2**32, 2**32)])
async def test_absurd_shapes_are_refused_even_with_any_rank(
    shared_server: StartServer, connect: Connect, shape: tuple[int, ...]
) -> None:
    request = infer_request("any_rank", {"x": fp32([1])})
    request.inputs[0].shape[:] = shape
    request.raw_input_contents[0] = b""
    refused = await refused_call(connect(shared_server("any_rank")), request)
    assert refused.code is ErrorCode.INVALID_TENSOR
    assert "'x'" in refused.message


@pytest.mark.parametrize("parameter", ["classification", "shared_memory_region"])
async def test_unsupported_output_parameters_are_unimplemented(
    shared_server: StartServer, connect: Connect, parameter: str
) -> None:
    request = good()
    request.outputs.add(name="next").parameters[parameter].int64_param = 1
    refused = await refused_call(connect(shared_server("mixed")), request)
    assert refused.status is grpc.StatusCode.UNIMPLEMENTED
    assert parameter in refused.message


async def test_inputs_in_shared_memory_are_unimplemented(
    shared_server: StartServer, connect: Connect
) -> None:
    request = good()
    request.inputs[0].parameters["shared_memory_region"].string_param = "region"
    refused = await refused_call(connect(shared_server("mixed")), request)
    assert refused.code is ErrorCode.NOT_IMPLEMENTED
    assert refused.message.startswith("input 'number': shared memory is not supported")


async def test_a_failed_run_returns_the_reason_of_onnx_runtime(
    shared_server: StartServer, connect: Connect
) -> None:
    request = infer_request("gather", {"index": ("INT64", np.array([7]))})
    refused = await refused_call(connect(shared_server("gather")), request)
    assert (refused.status, refused.code) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        ErrorCode.INPUT_REJECTED,
    )
    assert "indices element out of data bounds, idx=7" in refused.message
    assert "onnxruntime" not in refused.message.lower()


@pytest.mark.parametrize("shape", [[2**25], [750_000_000], [2**45]])
async def test_a_call_that_needs_too_much_memory_fails_alone(
    shared_server: StartServer, connect: Connect, shape: list[int]
) -> None:
    stub = connect(shared_server("fill"))
    asked = infer_request("fill", {"shape": ("INT64", np.array(shape))})
    refused = await refused_call(stub, asked)
    assert refused.code is ErrorCode.INFERENCE_TOO_LARGE
    assert refused.status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "send less per call" in refused.message
    small = infer_request("fill", {"shape": ("INT64", np.array([2]))})
    assert (await stub.ModelInfer(small)).outputs[0].shape == [2]


async def test_large_tensors_take_no_memory_beyond_the_limit(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server("fill", "--memory-bytes", str(1 << 30), "--max-run-seconds", "600")
    stub = connect(server)
    for size in (750_000_000, 200_000_000):
        asked = infer_request("fill", {"shape": ("INT64", np.array([size]))})
        assert (await refused_call(stub, asked)).code is ErrorCode.INFERENCE_TOO_LARGE
    assert peak_kibibytes(server) < 1 << 20


def peak_kibibytes(server: InferenceProcess) -> int:
    """Return the most memory that a server ever had."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


@pytest.mark.parametrize("shape", [[2**62], [2**40, 2**40], [-1]])
async def test_a_shape_that_does_not_exist_fails_alone(
    shared_server: StartServer, connect: Connect, shape: list[int]
) -> None:
    stub = connect(shared_server("fill"))
    asked = infer_request("fill", {"shape": ("INT64", np.array(shape))})
    refused = await refused_call(stub, asked)
    assert refused.code is ErrorCode.INPUT_REJECTED
    assert (refused.code.http_status, refused.code.v2_status) == (422, 400)
    small = infer_request("fill", {"shape": ("INT64", np.array([2]))})
    assert (await stub.ModelInfer(small)).outputs[0].shape == [2]


async def test_bytes_that_are_not_a_message_are_an_invalid_argument(
    shared_server: StartServer,
) -> None:
    async with grpc.aio.insecure_channel(shared_server("mixed").address) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer"
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"\xff\xff\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_message_too_long_for_a_trailer_is_cut(
    shared_server: StartServer, connect: Connect
) -> None:
    request = good()
    request.inputs[0].name = "x" * 100_000
    assert len((await refused_call(connect(shared_server("mixed")), request)).message) <= 1000
    request = good()
    request.model_name = "m" * 100_000
    assert len((await refused_call(connect(shared_server("mixed")), request)).message) <= 1000
