"""Reports the operators of a model and how they are connected: a child process, as `verify`.

`python -m inference_server.runtime.graph MODEL --report FD --memory-bytes N --cpu-seconds N`;
`model_store.graph.GraphReader` starts it and documents what it writes to FD. Weights in files of
their own are not read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import orjson
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, NodeProto

from inference_server.runtime.child_limits import begin
from model_store.graph import MAX_EDGES, MAX_NODES, MAX_OPERATORS

_STANDARD = ("", "ai.onnx")
_MAX_NAME = 200
"""Characters of a name."""


def main() -> None:
    """Report on the model that the command line names."""
    model, report = begin(__doc__)
    with report:
        report.write(orjson.dumps(_report(model)))


# Any, here and below: a JSON document
def _report(model: Path) -> dict[str, Any]:
    try:
        proto = onnx.load(model, format="protobuf", load_external_data=False)
        return {"graph": graph_of(proto.graph)}
    except (DecodeError, UnicodeDecodeError):
        return {"refused": "not a valid ONNX model"}
    except MemoryError:
        return {"refused": "reading its graph needs more memory than is allowed"}


def graph_of(graph: GraphProto) -> dict[str, Any]:
    """Return operators, nodes and edges; nodes beyond MAX_NODES are only counted.

    Operators within other ones, as in the branches of `If`, are counted, and are no nodes.
    """
    nodes: list[dict[str, str]] = []
    makers: dict[str, int] = {}
    """Tensor → the node that it comes from."""
    edges: dict[tuple[int, int], str] = {}

    def add(kind: str, name: str, op: str, takes: Iterator[str], makes: Iterator[str]) -> None:
        if len(nodes) >= MAX_NODES:
            return
        for tensor in takes:
            if tensor in makers and len(edges) < MAX_EDGES:
                edges.setdefault((makers[tensor], len(nodes)), tensor[:_MAX_NAME])
        makers.update(dict.fromkeys(makes, len(nodes)))
        nodes.append({"kind": kind, "name": name[:_MAX_NAME], "op": op})

    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in weights]
    for name in inputs:
        add("input", name, "", iter(()), iter((name,)))
    for node in graph.node:
        add("operator", node.name, _operator(node), iter(node.input), iter(node.output))
    for value in graph.output:
        add("output", value.name, "", iter((value.name,)), iter(()))
    counts = Counter(_operator(node) for node in _all_nodes(graph))
    return {
        "ops": dict(counts.most_common(MAX_OPERATORS)),
        "nodes": nodes,
        "edges": [
            {"source": source, "target": target, "tensor": tensor}
            for (source, target), tensor in edges.items()
        ],
        "folded": len(inputs) + len(graph.node) + len(graph.output) - len(nodes),
    }


def _all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield the nodes of a graph and of the graphs within them."""
    waiting = [graph]
    while waiting:
        for node in waiting.pop().node:
            yield node
            for attribute in node.attribute:
                if attribute.type == AttributeProto.GRAPH:
                    waiting.append(attribute.g)
                elif attribute.type == AttributeProto.GRAPHS:
                    waiting.extend(attribute.graphs)


def _operator(node: NodeProto) -> str:
    """Return `Gemm`, or `com.microsoft.Gelu` for one that is not of the standard set; cut."""
    name = node.op_type if node.domain in _STANDARD else f"{node.domain}.{node.op_type}"
    return name[:_MAX_NAME]


if __name__ == "__main__":
    main()
