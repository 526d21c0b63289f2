"""How `slipstream models` shows models, their versions and their inference servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from rich.console import RenderableType

from gateway.fleet.hosts import HostStore
from gateway.fleet.labels import format_labels
from gateway.fleet.schemas import ServerOut
from gateway.fleet.states import Batching, Desired, State
from gateway.models.schemas import ModelOut
from gateway.storage.tables import InferenceServer
from model_store.manifest import Manifest
from model_store.tensor_spec import TensorSpec
from slipstream.commands.tables import Columns, shortened
from slipstream.session import CommandSession
from slipstream.terminal import facts, table

_MAX_CLASSES_LENGTH = 60
"""Characters."""
_SHARING: Mapping[str, str] = {
    Batching.AUTO: "",
    Batching.OFF: "; its calls run alone",
    Batching.DECLARED: "; calls whose keys have the same owner share runs",
}

_AT_NEXT_START: Mapping[str, str] = {
    "batching": "--batching",
    "max_run_seconds": "--max-run-seconds",
}
"""Setting → option, of those that a process reads when it starts."""


def model_columns(
    servers: Sequence[InferenceServer], owners: Mapping[str, str]
) -> Columns[ModelOut]:
    """Return what `models list` shows; `owners` are e-mail addresses by profile."""

    def states(model: ModelOut) -> list[str]:
        return [
            f"{server.version} {server_state(server)}"
            for server in servers
            if server.model == model.name
        ]

    return {
        "name": "name",
        "versions": "versions",
        "inference servers": states,
        "labels": "labels",
        "visibility": "visibility",
        "owner": lambda model: owners.get(model.owner_id or "", "installation"),
    }


def server_state(server: InferenceServer) -> str:
    """Return the state of an inference server in words: `ready (2 of 3 replicas)`."""
    if server.desired == Desired.ASLEEP:
        return server.desired
    if server.reason and server.state in {State.FAILED, State.UNRESPONSIVE, State.STOPPED}:
        return f"{server.state}: {server.reason}"
    if len(server.replicas) == 1:
        return server.state
    return f"{server.state} ({server.ready_replicas} of {len(server.replicas)} replicas)"


def server_document(server: InferenceServer) -> dict[str, Any]:
    """Return an inference server as REST does. Any: a JSON document."""
    return ServerOut.model_validate(server).model_dump(mode="json")


def server_title(server: InferenceServer) -> str:
    """Return how messages name a server."""
    return f"the inference server for {server.model} v{server.version}"


def started_lines(
    session: CommandSession, server: InferenceServer, given: Mapping[str, object] | None = None
) -> list[str]:
    """Return what is said of a server that was told to start, with the settings `given`."""
    idle = server.idle_timeout_seconds
    sleeps = "" if idle is None else f"; it sleeps after {idle} s without a call"
    replicas = "" if server.replica_count == 1 else f" with {server.replica_count} replicas"
    if server.scales:
        replicas = f" with {server.min_replicas} to {server.max_replicas} replicas"
    where = f" on hosts with {format_labels(server.host_labels)}" if server.host_labels else ""
    seconds = server.max_run_seconds
    ends = "" if seconds is None else f"; runs end after {seconds:g} s"
    rest = f"{replicas}{where}{sleeps}{_SHARING[server.batching]}{ends}"
    if not any(host.is_alive for host in session.run(HostStore(session.workspace.db).all())):
        return [f"`slipstream up` will start {server_title(server)}{rest}; it is not running."]
    started = f"Starting {server_title(server)}{rest}."
    later = [option for name, option in _AT_NEXT_START.items() if name in (given or {})]
    if not later or not any(it.pid for it in server.replicas):
        return [started]
    return [
        started,
        f"What runs applies {' and '.join(later)} at its next start: `slipstream reload` replaces "
        "it without a failed call.",
    ]


def manifest_document(manifest: Manifest) -> Any:
    """Return the manifest as JSON. Any: a JSON document."""
    return orjson.loads(manifest.to_json())


def manifest_facts(manifest: Manifest, batching: str) -> RenderableType:
    """Return what is shown of a version, line by line; `batching` is that of its server."""
    return facts(
        model=manifest.name,
        version=manifest.version,
        created=manifest.created_at,
        sha256=manifest.sha256,
        files=[f"{file.path} ({file.size:,} bytes)" for file in manifest.files],
        producer=manifest.producer,
        opset=[f"{domain} {number}" for domain, number in manifest.opset.items()],
        calls=_sharing(manifest, batching),
    )


def _sharing(manifest: Manifest, batching: str) -> str:
    """Return whether calls share runs, and why not."""
    if batching == Batching.OFF:
        return "run alone: its inference server has --batching off"
    if manifest.rows is None:
        return "checked when its inference server starts, and run alone until then"
    if manifest.rows.reason is None:
        return "share runs: each row of an answer depends on that row of the inputs alone"
    if batching == Batching.DECLARED:
        return f"share runs if their keys have one owner, as declared: {manifest.rows.reason}"
    return f"run alone: {manifest.rows.reason}"


def manifest_tensors(manifest: Manifest) -> RenderableType:
    """Return the inputs and outputs of a version as a table."""
    rows = [
        (direction, spec.name, spec.datatype, _shape(spec.shape), _remark(spec))
        for direction, specs in (("in", manifest.inputs), ("out", manifest.outputs))
        for spec in specs
    ]
    rows += [("in", n, kind, "", "not served") for n, kind in manifest.unsupported_inputs.items()]
    rows += [("out", n, kind, "", "not served") for n, kind in manifest.unsupported_outputs.items()]
    return table(("", "tensor", "datatype", "shape", ""), rows, empty="It has no tensors.")


def _remark(spec: TensorSpec) -> str:
    if spec.class_labels is not None:
        return f"classes {shortened(', '.join(map(str, spec.class_labels)), _MAX_CLASSES_LENGTH)}"
    if spec.columns is not None:
        return f"columns {shortened(', '.join(spec.columns), _MAX_CLASSES_LENGTH)}"
    return "optional" * spec.optional


def _shape(shape: tuple[int, ...] | None) -> str:
    if shape is None:
        return "any"
    return f"[{', '.join('any' if size < 0 else str(size) for size in shape)}]"
