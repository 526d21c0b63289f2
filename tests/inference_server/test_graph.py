"""The graph of a model, as a child process reads it."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from inference_server.runtime.graph import graph_of
from model_store.errors import StoreError
from model_store.graph import MAX_FILE_BYTES, MAX_NODES, GraphReader, too_large
from protos.errors import ErrorCode
from tests import onnx_models

READER = GraphReader([sys.executable, "-m", "inference_server.runtime.graph"])


def chain(path: Path, length: int, op: str = "Relu") -> Path:
    """Write a model with so many operators one after the other."""
    names = ["x", *(f"t{at}" for at in range(length - 1)), "y"]
    nodes = [helper.make_node(op, [names[at]], [names[at + 1]]) for at in range(length)]
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in "xy"]
    onnx.save(helper.make_model(helper.make_graph(nodes, "chain", tensors[:1], tensors[1:])), path)
    return path


def test_operators_within_other_ones_are_counted(tmp_path: Path) -> None:
    graph = graph_of(onnx.load(onnx_models.loop(tmp_path / "loop.onnx")).graph)
    inner = sum(graph["ops"].values()) - 1
    assert graph["ops"]["Loop"] == 1
    assert inner > 0
    shown = [node["op"] for node in graph["nodes"] if node["kind"] == "operator"]
    assert "Loop" in shown
    assert len(shown) < inner + 1


def test_of_a_large_graph_the_first_nodes_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    graph = graph_of(onnx.load(chain(tmp_path / "long.onnx", 1_000)).graph)
    assert graph["ops"] == {"Relu": 1_000}
    assert len(graph["nodes"]) == MAX_NODES
    assert graph["folded"] == 1_002 - MAX_NODES
    assert all(edge["target"] < MAX_NODES for edge in graph["edges"])


def test_long_names_are_cut(tmp_path: Path) -> None:
    graph = graph_of(onnx.load(chain(tmp_path / "names.onnx", 1, op="A" * 10_000)).graph)
    assert max(len(node["op"]) for node in graph["nodes"]) == 200
    assert [len(op) for op in graph["ops"]] == [200]


@pytest.mark.processes
def test_external_data_is_not_read(tmp_path: Path) -> None:
    path = onnx_models.external_data(tmp_path / "heavy.onnx", write=False)
    graph = READER.read(path)
    assert sum(graph.ops.values()) > 0
    assert graph.reason is None


@pytest.mark.processes
def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"\xff" * 1_000)
    with pytest.raises(StoreError, match="not a valid ONNX model"):
        READER.read(path)


@pytest.mark.processes
def test_a_reader_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    path = onnx_models.mlp(tmp_path / "mlp.onnx")
    sleeping = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(StoreError, match="takes longer than"):
        GraphReader(sleeping, timeout_seconds=0.2).read(path)


@pytest.mark.processes
def test_a_reader_that_is_closed_ends_its_child(tmp_path: Path) -> None:
    path, started = onnx_models.mlp(tmp_path / "mlp.onnx"), tmp_path / "started"
    os.mkfifo(started)
    sleeping = f"import time; open({str(started)!r}, 'w').close(); time.sleep(60)"
    reader = GraphReader([sys.executable, "-c", sleeping])
    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(reader.read, path)
        started.read_bytes()  # waits for the child
        reader.close()
        with pytest.raises(StoreError) as ended:
            reading.result(30)
    assert ended.value.code is ErrorCode.SHUTTING_DOWN


def test_a_file_over_the_limit_has_a_reason_in_place_of_a_graph() -> None:
    graph = too_large(MAX_FILE_BYTES + 1)
    assert (graph.ops, graph.nodes) == ({}, ())
    assert graph.reason is not None
    assert "external data" in graph.reason
