"""The generated messages: up to date, complete, and usable next to tritonclient's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor import FileDescriptor
from tritonclient.grpc import model_config_pb2, service_pb2  # type: ignore[import-untyped]

from protos import generate
from protos import open_inference_pb2 as pb
from protos.methods import RPC_METHODS, SERVICE

pytestmark = pytest.mark.processes

OURS, THEIRS = "protos.open_inference_pb2", "tritonclient.grpc.service_pb2"

EXCHANGE_MESSAGES = """
import importlib, sys
first, second = (importlib.import_module(name) for name in sys.argv[1:3])
ours, theirs = (first, second) if first.__name__.startswith("protos") else (second, first)
for one, other in ((ours, theirs), (theirs, ours)):
    request = one.ModelInferRequest(model_name="m", model_version="3", id="i")
    tensor = request.inputs.add(name="x", datatype="INT8", shape=[2, -1])
    tensor.contents.int_contents.extend([1, -2])
    tensor.contents.bytes_contents.append(b"a")
    request.outputs.add(name="y").parameters["classification"].int64_param = -5
    request.parameters["flag"].bool_param = True
    request.parameters["text"].string_param = "t"
    request.parameters["real"].double_param = 0.5
    request.parameters["huge"].uint64_param = 2**64 - 1
    request.raw_input_contents.append(b"raw")
    read = other.ModelInferRequest.FromString(request.SerializeToString(deterministic=True))
    assert read.SerializeToString(deterministic=True) == request.SerializeToString(
        deterministic=True
    )
    assert str(read) == str(request)
    answer = one.ModelStreamInferResponse(error_message="no")
    answer.infer_response.outputs.add(name="y", datatype="BYTES", shape=[1])
    answer.infer_response.raw_output_contents.append(b"raw")
    assert str(other.ModelStreamInferResponse.FromString(answer.SerializeToString())) == str(answer)
    model = one.ModelMetadataResponse(name="m", versions=["1"], platform="p")
    model.inputs.add(name="x", datatype="FP32", shape=[-1])
    assert str(other.ModelMetadataResponse.FromString(model.SerializeToString())) == str(model)
print("read")
"""


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python in a subprocess."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("order", [(OURS, THEIRS), (THEIRS, OURS)], ids=["ours first", "theirs"])
def test_our_messages_and_tritonclients_parse_each_others_bytes(order: tuple[str, str]) -> None:
    process = run("-W", "error", "-c", EXCHANGE_MESSAGES, *order)
    assert (process.stdout, process.stderr) == ("read\n", "")


NOT_TRITONS = "inference.ModelMetadataResponse.properties"
"""The standard has it."""


def test_every_field_has_tritons_name_number_and_type() -> None:
    tritons = _fields(model_config_pb2.DESCRIPTOR) | _fields(service_pb2.DESCRIPTOR)
    ours = _fields(pb.DESCRIPTOR)
    assert ours.pop(NOT_TRITONS)
    assert ours == {name: tritons[name] for name in ours}


def test_datatypes_have_tritons_numbers() -> None:
    assert pb.DataType.items() == model_config_pb2.DataType.items()
    assert all(getattr(pb, name) == number for name, number in pb.DataType.items())


def _fields(file: FileDescriptor) -> dict[str, tuple[int, int, bool]]:
    """Return number, type and whether there are many, of every field outside of maps."""
    found = {}
    messages = list(file.message_types_by_name.values())
    while messages:
        message = messages.pop()
        if not message.GetOptions().map_entry:
            messages += message.nested_types
            for field in message.fields:
                found[field.full_name] = (field.number, field.type, field.is_repeated)
    return found


def test_the_generated_code_is_up_to_date() -> None:
    process = run(generate.__file__, "--check")
    assert (process.returncode, process.stderr) == (0, "")


def test_stale_generated_code_is_reported(tmp_path: Path) -> None:
    for path in (generate.PROTO, generate.MODULE, generate.STUB, Path(generate.__file__)):
        shutil.copy(path, tmp_path)
    proto = tmp_path / generate.PROTO.name
    proto.write_text(proto.read_text() + "message Another { bool more = 1; }\n")
    script = tmp_path / Path(generate.__file__).name
    stale = run(script, "--check")
    assert stale.returncode == 1
    assert stale.stderr.startswith("open_inference_pb2.py is stale: run `make protos`")
    assert run(script).returncode == 0
    assert run(script, "--check").returncode == 0


def test_the_method_table_matches_the_service() -> None:
    service = pb.POOL.FindServiceByName(SERVICE)
    described = {
        method.name: (
            method.input_type.full_name,
            method.output_type.full_name,
            method.client_streaming,
            method.server_streaming,
        )
        for method in service.methods
    }
    assert described == {
        name: (
            rpc.request.DESCRIPTOR.full_name,
            rpc.response.DESCRIPTOR.full_name,
            rpc.streaming,
            rpc.streaming,
        )
        for name, rpc in RPC_METHODS.items()
    }
