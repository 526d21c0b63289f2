"""Tensors of every datatype, encoding and shape pass through a model unchanged."""

from __future__ import annotations

import grpc
import grpc.aio
import numpy as np
import pytest

from protos import open_inference_pb2 as pb
from protos.datatypes import DATATYPES
from protos.tensors import encode_raw
from tests.inference_server.conftest import NUMERIC, TYPED, Connect, StartServer
from tests.inference_server.requests import arrays, fp32, infer_request, strings


def extremes(datatype: str) -> np.ndarray:
    """Two rows of three, with the smallest and largest values."""
    dtype = DATATYPES[datatype].dtype
    if datatype == "BYTES":
        return np.array([[b"", b"a\0b", "ä€🙂".encode()], [b"b'x'", b" ", b"1"]], object)
    if datatype == "BOOL":
        return np.array([[True, False, True], [False, False, True]])
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return np.array([[limits.min, 0, limits.max], [1, 2, 3]], dtype)
    return np.array([[-np.inf, 0.5, np.inf], [-0.0, np.nan, -3.0]]).astype(dtype)


def assert_same(array: np.ndarray, datatype: str) -> None:
    """Check that `array` is `extremes(datatype)`, bit for bit."""
    expected = extremes(datatype)
    assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
    assert encode_raw(array, DATATYPES[datatype]) == encode_raw(expected, DATATYPES[datatype])


async def test_every_numeric_datatype_passes_raw(
    shared_server: StartServer, connect: Connect
) -> None:
    sent = {f"{name}_in": (name, extremes(name)) for name in NUMERIC}
    response = await connect(shared_server("numeric")).ModelInfer(infer_request("numeric", sent))
    assert [output.datatype for output in response.outputs] == list(NUMERIC)
    for name, array in arrays(response).items():
        assert_same(array, name.removesuffix("_out"))


@pytest.mark.parametrize("typed", [True, False])
async def test_the_response_is_typed_if_the_request_is(
    shared_server: StartServer, connect: Connect, typed: bool
) -> None:
    sent = {f"{name}_in": (name, extremes(name)) for name in TYPED}
    request = infer_request("typed", sent, typed=typed)
    response = await connect(shared_server("typed")).ModelInfer(request)
    assert bool(response.raw_output_contents) is not typed
    for name, array in arrays(response).items():
        assert_same(array, name.removesuffix("_out"))


async def test_a_response_with_half_precision_is_raw_as_a_whole(
    shared_server: StartServer, connect: Connect
) -> None:
    stub = connect(shared_server("narrowing"))
    request = infer_request("narrowing", {"x": ("FP32", np.ones(2, "f4"))}, typed=True)
    response = await stub.ModelInfer(request)
    assert [array.dtype.str for array in arrays(response).values()] == ["<f2", "<f4"]
    request.outputs.add(name="same")
    assert not (await stub.ModelInfer(request)).raw_output_contents


@pytest.mark.parametrize("name", NUMERIC)
async def test_tensors_without_elements_pass(
    shared_server: StartServer, connect: Connect, name: str
) -> None:
    empty = {f"{name}_in": (name, extremes(name)[:0]) for name in NUMERIC}
    request = infer_request("numeric", empty, outputs=[f"{name}_out"])
    (array,) = arrays(await connect(shared_server("numeric")).ModelInfer(request)).values()
    assert array.shape == (0, 3)


async def test_string_tensors_without_elements_pass(
    shared_server: StartServer, connect: Connect
) -> None:
    sent = {f"{name}_in": (name, extremes(name)[:0]) for name in TYPED}
    response = await connect(shared_server("typed")).ModelInfer(infer_request("typed", sent))
    assert arrays(response)["BYTES_out"].shape == (0, 3)


async def test_a_scalar_has_no_dimensions(shared_server: StartServer, connect: Connect) -> None:
    request = infer_request("scalar", {"x": ("FP32", np.array(1.5, "f4"))})
    response = await connect(shared_server("scalar")).ModelInfer(request)
    assert list(response.outputs[0].shape) == []
    assert arrays(response)["y"] == 3.0


@pytest.mark.parametrize("shape", [(), (2,), (1, 2, 3, 4)])
async def test_a_model_of_any_rank_takes_any_shape(
    shared_server: StartServer, connect: Connect, shape: tuple[int, ...]
) -> None:
    request = infer_request("any_rank", {"x": ("FP32", np.ones(shape, "f4"))})
    response = await connect(shared_server("any_rank")).ModelInfer(request)
    assert arrays(response)["y"].shape == shape


async def test_dynamic_axes_take_any_size(shared_server: StartServer, connect: Connect) -> None:
    stub = connect(shared_server("mlp"))
    rows = np.random.default_rng(0).normal(size=(40, 4)).astype("f4")
    together = arrays(await stub.ModelInfer(infer_request("mlp", {"x": ("FP32", rows)})))["y"]
    for row, expected in zip(rows, together, strict=True):
        alone = await stub.ModelInfer(infer_request("mlp", {"x": fp32(row)}))
        np.testing.assert_allclose(arrays(alone)["y"][0], expected, rtol=1e-5)


async def test_an_optional_input_may_be_left_out(
    shared_server: StartServer, connect: Connect
) -> None:
    stub = connect(shared_server("optional"))
    x, scale = ("FP32", np.array([3], "f4")), ("FP32", np.array([10], "f4"))
    default = await stub.ModelInfer(infer_request("optional", {"x": x}))
    given = await stub.ModelInfer(infer_request("optional", {"x": x, "scale": scale}))
    assert [arrays(answer)["y"].tolist() for answer in (default, given)] == [[6.0], [30.0]]


async def test_an_input_of_an_optional_type_may_be_left_out(
    shared_server: StartServer, connect: Connect
) -> None:
    stub = connect(shared_server("optional_type"))
    without = await stub.ModelInfer(infer_request("optional_type", {}))
    assert not arrays(without)["given"]
    request = infer_request("optional_type", {"x": ("FP32", np.ones(2, "f4"))})
    assert arrays(await stub.ModelInfer(request))["given"]


async def test_outputs_have_the_order_of_the_request(
    shared_server: StartServer, connect: Connect
) -> None:
    tensors = {
        "text": strings(b"a"),
        "count": ("INT64", np.array([1])),
        "number": fp32([1, 2]),
    }
    stub = connect(shared_server("mixed"))
    for asked in (["echo", "doubled"], ["next"], ["next", "echo", "doubled"]):
        response = await stub.ModelInfer(infer_request("mixed", tensors, outputs=asked))
        assert list(arrays(response)) == asked
    everything = await stub.ModelInfer(infer_request("mixed", tensors))
    assert list(arrays(everything)) == ["doubled", "next", "echo"]


async def test_outputs_that_are_not_tensors_are_left_out_unless_requested(
    shared_server: StartServer, connect: Connect
) -> None:
    stub = connect(shared_server("float8"))
    request = infer_request("float8", {"x": ("FP32", np.array([0.5, 2], np.float32))})
    assert arrays(await stub.ModelInfer(request))["y"].tolist() == [0.5, 2]
    request.outputs.add(name="small")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ModelInfer(request)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "'small' is of type tensor(float8e4m3fn)" in (caught.value.details() or "")


@pytest.mark.parametrize("model", ["maps", "text_maps"])
async def test_probabilities_by_class_are_a_tensor(
    shared_server: StartServer, connect: Connect, model: str
) -> None:
    stub = connect(shared_server(model))
    rows = np.array([[0.1, 0.7, 0.2], [0.5, 0.25, np.nan]], np.float32)
    for part in (rows, rows[:1], rows[:0]):
        response = await stub.ModelInfer(infer_request(model, {"x": ("FP32", part)}))
        probabilities = arrays(response)["probabilities"]
        assert probabilities.dtype == np.float32
        np.testing.assert_array_equal(probabilities, part, strict=True)
    metadata = await stub.ModelMetadata(pb.ModelMetadataRequest(name=model))
    (found,) = (one for one in metadata.outputs if one.name == "probabilities")
    assert (found.datatype, list(found.shape)) == ("FP32", [-1, 3])


async def test_bfloat16_outputs_beside_string_inputs_are_left_out(
    shared_server: StartServer, connect: Connect
) -> None:
    sent = {"BF16_in": ("BF16", extremes("BF16")), "BYTES_in": ("BYTES", extremes("BYTES"))}
    stub = connect(shared_server("bfloat_and_text"))
    response = await stub.ModelInfer(infer_request("bfloat_and_text", sent))
    assert list(arrays(response)) == ["BYTES_out"]
    assert_same(arrays(response)["BYTES_out"], "BYTES")
