"""Loads a model once and reports on it: the child process that a hostile file may crash.

`python -m inference_server.runtime.verify MODEL --report FD --memory-bytes N --cpu-seconds N`, or
without MODEL and `--memory-bytes`, for several; `model_store.verification.Verifier` starts it and
documents what it reads, and writes to FD.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import onnx
import onnxruntime as ort
import orjson
from google.protobuf.message import DecodeError, Message
from onnx import ModelProto, TensorProto, TypeProto

from inference_server.runtime.child_limits import limit_process
from inference_server.runtime.class_labels import class_labels
from inference_server.runtime.host import no_locale
from inference_server.runtime.rows.proof import prove
from inference_server.runtime.shape_bounds import bounded_by_shapes
from inference_server.runtime.signature import read_signature
from model_store.errors import MissingDataError, StoreError, invalid_model
from model_store.foreign_formats import describe_file
from model_store.manifest import Inspection
from model_store.names import check_location

_STANDARD_OPERATORS = "ai.onnx"
_MAX_REASON_LENGTH = 600
_NO_LOCALE = re.compile(r"Failed to construct locale with name:\s*([\w.@-]+)")
_RUNTIME_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")


def main() -> None:
    """Inspect the model that the command line names, or each that stdin names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--report", type=int, required=True, metavar="FD")
    parser.add_argument("--memory-bytes", type=int)
    parser.add_argument("--cpu-seconds", type=int, required=True)
    arguments = parser.parse_args()
    with os.fdopen(arguments.report, "wb") as report:
        if arguments.model is not None:
            _inspect(arguments.model, arguments.memory_bytes, arguments.cpu_seconds, report)
            return
        for line in sys.stdin.buffer:
            asked = orjson.loads(line)
            _fork(Path(asked["model"]), asked["memory_bytes"], arguments.cpu_seconds, report)


def _fork(model: Path, memory_bytes: int, cpu_seconds: int, replies: IO[bytes]) -> None:
    """Inspect a model in a child of this process, which itself opens none."""
    with TemporaryFile() as report:
        child = os.fork()
        if not child:
            try:
                _inspect(model, memory_bytes, cpu_seconds, report)
                report.flush()
                os._exit(0)
            except BaseException:  # noqa: BLE001 - else it would go on as its parent
                traceback.print_exc()
                os._exit(1)
        _, status = os.waitpid(child, 0)
        report.seek(0)
        text = report.read().decode(errors="replace")
    reply = {"status": os.waitstatus_to_exitcode(status), "report": text}
    replies.write(orjson.dumps(reply, option=orjson.OPT_APPEND_NEWLINE))
    replies.flush()


def _inspect(model: Path, memory_bytes: int, cpu_seconds: int, report: IO[bytes]) -> None:
    """Write the report on a model; from then on this process is under limits."""
    limit_process(memory_bytes, cpu_seconds)
    report.write(orjson.dumps(_report(model)))


def inspect(model: Path) -> Inspection:
    """Load `model` as an inference server would, and describe it.

    Raises MissingDataError if its external data is not beside it, and StoreError (INVALID_MODEL) if
    the file is not a model or refers to files outside its folder; both before ONNX Runtime follows
    any path. What ONNX Runtime rejects raises its own exceptions.
    """
    proto = _parsed(model)
    external_data = _external_data(proto, model.parent)
    unranked = _unranked(proto)
    opset = {entry.domain or _STANDARD_OPERATORS: entry.version for entry in proto.opset_import}
    ir_version = proto.ir_version
    producer = f"{proto.producer_name} {proto.producer_version}".strip()
    bounded = bounded_by_shapes(proto)
    rows = prove(proto)
    labels = class_labels(proto)
    del proto  # as large as the file, and loading needs the memory
    signature = read_signature(_session(model), unranked=unranked, class_labels=labels)
    return Inspection(
        inputs=signature.inputs,
        outputs=signature.outputs,
        unsupported_inputs=signature.unsupported_inputs,
        unsupported_outputs=signature.unsupported_outputs,
        opset=opset,
        ir_version=ir_version,
        producer=producer,
        external_data=external_data,
        bounded_by_shapes=bounded,
        rows=rows,
    )


def _report(model: Path) -> dict[str, object]:
    try:
        return {"inspection": inspect(model)}
    except MissingDataError as missing:
        return {"missing": missing.locations}
    except StoreError as refusal:
        return {"refused": refusal.message}
    except UnicodeDecodeError:  # ONNX Runtime quotes the name in an error message
        return {"refused": "the file is damaged: a name in it is not valid UTF-8"}
    except Exception as error:  # noqa: BLE001 (damaged files raise anything)
        return {"refused": _reason(error, model)}


def _reason(error: Exception, model: Path) -> str:
    """Return ONNX Runtime's message as one line, without its prefix and the path of our copy."""
    message = " ".join(str(error).split()).replace(f"{model.parent}/", "")
    if isinstance(error, MemoryError) or "bad_alloc" in message:
        return "loading it needs more memory than the verifier is allowed to use"
    if missing := _NO_LOCALE.search(message):
        return no_locale(missing[1])
    return _RUNTIME_PREFIX.sub("", message)[:_MAX_REASON_LENGTH]


def _parsed(model: Path) -> ModelProto:
    try:
        proto = onnx.load(model, format="protobuf", load_external_data=False)
    except DecodeError as error:
        raise _no_model(model) from error
    present = {field.name for field, _ in proto.ListFields()}
    for field in ("ir_version", "graph", "opset_import"):
        # A file cut between two fields still parses, and so do some files of other formats.
        if field not in present:
            raise _no_model(model, f": it has no {field}")
    return proto


def _no_model(model: Path, reason: str = "") -> StoreError:
    if (description := describe_file(model)) is not None:
        return invalid_model(f"not an ONNX model, but {description}")
    return invalid_model(f"not a valid ONNX model, or the file is truncated{reason}")


def _external_data(proto: ModelProto, folder: Path) -> tuple[str, ...]:
    """Return the files that `proto` keeps weights in, all of which exist inside `folder`."""
    locations: set[str] = set()
    for tensor in _external_tensors(proto):
        entries = [entry.value for entry in tensor.external_data if entry.key == "location"]
        if len(entries) != 1 or not isinstance(entries[0], str):  # bytes where it is not UTF-8
            raise invalid_model(
                f"tensor '{tensor.name}' must name exactly one file of external data"
            )
        locations.add(str(check_location(entries[0])))
    if missing := sorted(location for location in locations if not (folder / location).is_file()):
        raise MissingDataError(missing)
    for location in locations:
        if (folder / location).resolve() != folder.resolve() / location:
            raise invalid_model(f"external data at '{location}' is a symbolic link")
    return tuple(sorted(locations))


def _external_tensors(message: Message) -> Iterator[TensorProto]:
    """Yield the tensors with external data anywhere in `message`.

    That is in initializers, attributes, subgraphs, functions and fields of future versions.
    """
    if isinstance(message, TensorProto) and message.data_location == TensorProto.EXTERNAL:
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in [value] if isinstance(value, Message) else value:
                yield from _external_tensors(inner)


def _unranked(proto: ModelProto) -> frozenset[str]:
    """Return the names of inputs and outputs that are declared as tensors of any rank."""
    declared = (*proto.graph.input, *proto.graph.output)
    return frozenset(value.name for value in declared if _is_unranked(value.type))


def _is_unranked(kind: TypeProto) -> bool:
    inner = kind.optional_type.elem_type if kind.HasField("optional_type") else kind
    return inner.HasField("tensor_type") and not inner.tensor_type.HasField("shape")


def _session(model: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    # The fallback would print to stdout and load the same file again.
    providers = ["CPUExecutionProvider"]
    return ort.InferenceSession(model, options, providers=providers, enable_fallback=0)


if __name__ == "__main__":
    main()
