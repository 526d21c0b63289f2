"""What is passed on arrives, with open descriptors, in the program that exec starts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from slipstream.supervisor.handover import VARIABLE, Handover, PassedProcess, PassedServer
from slipstream.supervisor.process import Lifeline

_SUCCESSOR = """
import dataclasses, json, os, socket
from slipstream.supervisor.handover import VARIABLE, Handover
handover = Handover.receive()
assert VARIABLE not in os.environ and Handover.receive() is None
rest = socket.socket(fileno=handover.rest_fd)
print(json.dumps({
    "port": rest.getsockname()[1],
    "line": os.read(handover.gateways[0].status_fd, 100).decode(),
    "inheritable": os.get_inheritable(handover.rest_fd),
    "handover": dataclasses.asdict(handover),
}))
"""


def test_descriptors_and_children_arrive(tmp_path: Path) -> None:
    lifeline, (status, written), (other, unused) = Lifeline(), os.pipe(), os.pipe()
    os.write(written, b"ready")
    with (
        socket.create_server(("127.0.0.1", 0)) as rest,
        socket.create_server(("127.0.0.1", 0)) as grpc,
        (tmp_path / "lock").open("w") as lock,
    ):
        gateway = PassedProcess(key="gateway", pid=1, status_fd=status, started_at=1.5)
        server = PassedServer(
            key="id",
            pid=2,
            status_fd=other,
            started_at=2.5,
            generation=3,
            failed=False,
            settled=True,
            restarts=4,
            socket="/tmp/x.sock",
        )
        handover = Handover(
            reload_id="r",
            lifeline_fds=lifeline.descriptors,
            lock_fd=lock.fileno(),
            sockets="/run",
            socket_numbers=7,
            rest_fd=rest.fileno(),
            grpc_fd=grpc.fileno(),
            signals=1,
            gateways=[gateway],
            workers=[],
            servers=[server],
        )
        variable = handover.pass_on()
        done = subprocess.run(
            [sys.executable, "-c", _SUCCESSOR],
            env={**os.environ, VARIABLE: variable},
            close_fds=False,
            capture_output=True,
            check=True,
        )
        port = rest.getsockname()[1]
    for descriptor in (int(variable), status, written, other, unused):
        os.close(descriptor)
    lifeline.close()
    found = json.loads(done.stdout)
    assert (found["port"], found["line"], found["inheritable"]) == (port, "ready", False)
    assert found["handover"]["socket_numbers"] == 7
    assert found["handover"]["gateways"] == [
        {"key": "gateway", "pid": 1, "status_fd": status, "started_at": 1.5}
    ]
    assert found["handover"]["servers"][0]["restarts"] == 4
