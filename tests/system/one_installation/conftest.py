"""One installation for all tests of this folder, with two gateways and a few models."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import onnx_models
from tests.gateway.flows.installed_package import write_nodes
from tests.slipstream.running import NO_WORKER, Up
from tests.system.grpcio_gateway import grpcio_gateway
from tests.system.installation import Installation


@pytest.fixture(scope="package")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Serve `iris` (the demo), `mixed`, `mlp` and `nan`; the package `flow_nodes` is installed."""
    folder = tmp_path_factory.mktemp("system")
    write_nodes(folder)
    up = Up(folder / "state", "--workers", "2", *NO_WORKER, PYTHONPATH=str(folder))
    up.until("documentation")
    running = Installation(up)
    for name, build in (
        ("mixed", onnx_models.mixed),
        ("mlp", onnx_models.mlp),
        ("nan", onnx_models.nan_output),
    ):
        running.add_model(name, build(folder / f"{name}.onnx"))
        running.serve(name)
    yield running
    running.stop()


@pytest.fixture(scope="package")
def grpcio_port(installation: Installation) -> Iterator[int]:
    """The gRPC port of another gateway of `installation`, served by stock grpcio."""
    with grpcio_gateway(installation.up) as port:
        yield port


@pytest.fixture(params=["native", "grpcio"])
def grpc_address(request: pytest.FixtureRequest, installation: Installation) -> str:
    """The gRPC port of `installation`, with each `--grpc-server`."""
    if request.param == "native":
        return f"127.0.0.1:{installation.up.grpc_port}"
    return f"127.0.0.1:{request.getfixturevalue('grpcio_port')}"
