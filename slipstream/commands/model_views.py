"""How models, their versions and their inference servers are shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from rich.console import RenderableType

from gateway.fleet.schemas import ServerOut
from gateway.fleet.states import Desired
from gateway.models.schemas import ModelOut
from gateway.storage.tables import InferenceServer
from model_store.manifest import Manifest
from slipstream.terminal import facts, table


def manifest_document(manifest: Manifest) -> Any:
    """Return the manifest as JSON. Any: a JSON document."""
    return orjson.loads(manifest.to_json())


def server_document(server: InferenceServer) -> dict[str, Any]:
    """Return an inference server as REST shows it. Any: a JSON document."""
    return ServerOut.model_validate(server).model_dump(mode="json")


def server_title(server: InferenceServer) -> str:
    """Return what to call an inference server."""
    return f"The inference server of '{server.model}' version {server.version}"


def wish(server: InferenceServer) -> str:
    """Return what becomes of an inference server that shall run."""
    seconds = server.idle_timeout_seconds
    sleeps = "" if seconds is None else f", and to sleep after {seconds} s without a call"
    return f"{server_title(server)} is to run{sleeps}."


def model_row(model: ModelOut, servers: Iterable[InferenceServer]) -> tuple[object, ...]:
    """Return the cells of a model: name, versions, labels, inference servers."""
    labels = [f"{label} = {version}" for label, version in sorted(model.labels.items())]
    states = [
        f"{server.version} {_state(server)}" for server in servers if server.model == model.name
    ]
    return (model.name, model.versions, labels, states)


def _state(server: InferenceServer) -> str:
    return server.desired if server.desired == Desired.ASLEEP else server.state


def manifest_facts(manifest: Manifest) -> RenderableType:
    """Return where a version comes from."""
    return facts(
        model=manifest.name,
        version=manifest.version,
        created=manifest.created_at,
        sha256=manifest.sha256,
        files=[f"{file.path} ({file.size:,} bytes)" for file in manifest.files],
        producer=manifest.producer,
        opset=[f"{domain} {number}" for domain, number in manifest.opset.items()],
    )


def manifest_tensors(manifest: Manifest) -> RenderableType:
    """Return what a version takes and gives."""
    rows = [
        (direction, spec.name, spec.datatype, _shape(spec.shape), "optional" * spec.optional)
        for direction, specs in (("in", manifest.inputs), ("out", manifest.outputs))
        for spec in specs
    ]
    rows += [("in", name, onnx, "", "not served") for name, onnx in _items(manifest, "inputs")]
    rows += [("out", name, onnx, "", "not served") for name, onnx in _items(manifest, "outputs")]
    return table(("", "tensor", "datatype", "shape", ""), rows, empty="It has no tensors.")


def _items(manifest: Manifest, direction: str) -> list[tuple[str, str]]:
    unsupported = {
        "inputs": manifest.unsupported_inputs,
        "outputs": manifest.unsupported_outputs,
    }
    return list(unsupported[direction].items())


def _shape(shape: tuple[int, ...] | None) -> str:
    if shape is None:
        return "any"
    return f"[{', '.join('any' if size < 0 else str(size) for size in shape)}]"
