"""Reading the graph of a model in a child process, under limits."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson

from model_store.errors import invalid_model
from model_store.verification import describe_failure, run_limited

MAX_NODES = 400
MAX_EDGES = 4_000
MAX_OPERATORS = 200
MAX_FILE_BYTES = 512 << 20
"""Of a model.onnx whose graph is read; weights in files of their own do not count."""
_MEMORY_BYTES = 1 << 30
_MEMORY_FACTOR = 3
"""Bytes of address space for each byte of the file, beside `_MEMORY_BYTES`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """An operator, input or output of a model."""

    kind: str
    """`input`, `operator` or `output`."""
    name: str
    """Its name in the model; may be empty."""
    op: str
    """The operator; empty for inputs and outputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphEdge:
    """A tensor that leads from one node to another, each by its place among the nodes."""

    source: int
    """Place of the node that gives it, in `nodes`, from 0 on."""
    target: int
    """Place of the node that takes it, in `nodes`, from 0 on."""
    tensor: str
    """Name of the tensor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelGraph:
    """The operators of a model, and the first of its nodes."""

    ops: Mapping[str, int]
    """Operator → how many there are, those within other ones included."""
    nodes: Sequence[GraphNode]
    edges: Sequence[GraphEdge]
    folded: int
    """How many nodes are left out."""
    reason: str | None = None
    """Why there is nothing; None: there is."""

    # Any: what the child has written
    @classmethod
    def from_json(cls, graph: Mapping[str, Any]) -> Self:
        """Read it; raise TypeError, ValueError or KeyError for anything else."""
        return cls(
            ops={str(name): int(count) for name, count in graph["ops"].items()},
            nodes=[GraphNode(**node) for node in graph["nodes"][:MAX_NODES]],
            edges=[GraphEdge(**edge) for edge in graph["edges"][:MAX_EDGES]],
            folded=int(graph["folded"]),
        )


def too_large(size: int) -> ModelGraph:
    """Return what there is instead of the graph of a model.onnx of `size` bytes."""
    reason = (
        f"model.onnx has {size >> 20} MiB, and graphs of up to {MAX_FILE_BYTES >> 20} MiB are read:"
        " export the model with its weights as external data"
    )
    return ModelGraph(ops={}, nodes=(), edges=(), folded=0, reason=reason)


class GraphReader:
    """Runs a command that reads a graph.

    The command gets the arguments `MODEL --report FD --memory-bytes N --cpu-seconds N`, and writes
    to the descriptor FD `{"graph": …}` or `{"refused": "why"}`.
    """

    def __init__(self, command: Sequence[str], *, timeout_seconds: float = 30.0) -> None:
        """Use `command`, as in `[sys.executable, "-m", "inference_server.runtime.graph"]`."""
        self._command = tuple(command)
        self._timeout_seconds = timeout_seconds
        self._ended = threading.Event()

    def close(self) -> None:
        """End the child that reads, and start no other."""
        self._ended.set()

    def read(self, model: Path) -> ModelGraph:
        """Return the graph of an .onnx file; blocks while the child reads it.

        Raises:
            StoreError: INVALID_MODEL if it cannot be read within the limits; INTERNAL if the child
                itself does not work; SHUTTING_DOWN after `close`.
        """
        memory_bytes = _MEMORY_BYTES + _MEMORY_FACTOR * model.stat().st_size
        report, status, log = run_limited(
            [*self._command, str(model)], memory_bytes, self._timeout_seconds, self._ended
        )
        try:
            document: dict[str, Any] = orjson.loads(report)  # Any: checked key by key
            if "refused" in document:
                raise invalid_model(str(document["refused"]))
            return ModelGraph.from_json(document["graph"])
        except (ValueError, TypeError, KeyError) as error:
            raise describe_failure(status, log, error) from error
