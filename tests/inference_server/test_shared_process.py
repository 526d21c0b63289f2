"""The end of servers that share a process."""

from __future__ import annotations

import gc
import os
import socket
import time
from collections.abc import Mapping

from inference_server.shared_process import ServerHost
from slipstream.supervisor.spawn_request import send_spawn_request

SERVERS = 20


async def test_servers_that_end_together_share_one_full_garbage_collection() -> None:
    collections: list[int] = []

    def count(phase: str, info: Mapping[str, int]) -> None:
        if phase == "start" and info["generation"] == 2:
            collections.append(info["generation"])

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    requested_at = time.perf_counter()
    with ours, theirs:
        for _ in range(SERVERS):
            status_fd = os.open(os.devnull, os.O_WRONLY)
            lifeline, other = socket.socketpair()
            with lifeline, other:
                send_spawn_request(
                    ours,
                    ["--nonsense"],  # such a server ends at once
                    requested_at=requested_at,
                    status_fd=status_fd,
                    lifeline_fd=lifeline.fileno(),
                )
            os.close(status_fd)
        gc.collect()
        gc.callbacks.append(count)
        try:
            await ServerHost(theirs).run()
        finally:
            gc.callbacks.remove(count)
            gc.unfreeze()
    assert len(collections) <= 1
