"""Calls whose client has disconnected leave the queue and are not run."""

from __future__ import annotations

import socket
import struct

import grpc
import numpy as np
import pytest

from protos.methods import method_path
from tests.inference_server.requests import infer_request
from tests.system.slow_model.slow_server import MODEL, RUN_SECONDS, SlowServer
from tests.timing import Timer

LEAVING = 30
FEW = LEAVING // 2
"""That may have had their turn before they left, and while the test looked on."""
LINGER = struct.pack("ii", 1, 0)
"""SO_LINGER for a connection that ends with a reset."""


def check_few_ran(slow: SlowServer, before_runs: int, disconnected: int) -> None:
    """Assert that a waiting client is answered soon and that few abandoned calls were run."""
    timer = Timer()
    assert slow.trigger().status_code == 200
    took = timer.seconds
    assert took < LEAVING * RUN_SECONDS / 2, "the call waited for disconnected clients"
    slow.wait_for_queue(maximum=0)
    counted = slow.counts()
    assert counted.runs - before_runs <= FEW
    assert counted.by_code["cancelled"] >= disconnected


@pytest.mark.parametrize("how", ["close", "reset"])
def test_calls_of_disconnected_rest_clients_are_not_run(slow: SlowServer, how: str) -> None:
    before = slow.counts()
    clients = [slow.send() for _ in range(LEAVING)]
    slow.wait_for_queue(minimum=LEAVING - FEW // 2)
    for client in clients:
        if how == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        client.close()
    disconnected = before.by_code.get("cancelled", 0) + LEAVING - FEW
    check_few_ran(slow, before.runs, disconnected)


def test_cancelled_grpc_calls_are_not_run(slow: SlowServer) -> None:
    before = slow.counts()
    request = infer_request(MODEL, {"x": ("FP32", np.zeros(2, "f4"))}).SerializeToString()
    metadata = (("x-api-key", slow.installation.key),)
    with grpc.insecure_channel(f"127.0.0.1:{slow.installation.up.grpc_port}") as channel:
        infer = channel.unary_unary(method_path("ModelInfer"))
        calls = [infer.future(request, metadata=metadata) for _ in range(LEAVING)]
        slow.wait_for_queue(minimum=LEAVING - FEW // 2)
        for call in calls:
            call.cancel()
        disconnected = before.by_code.get("cancelled", 0) + LEAVING - FEW
        check_few_ran(slow, before.runs, disconnected)
