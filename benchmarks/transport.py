"""The hop between two processes: what a round trip of a small message costs, by transport.

    python -m benchmarks.transport [--rounds 5] [--seconds 1.0]

A server process and a client process for each transport, over a Unix socket, in turn; medians of
all rounds, in microseconds. `each` is the wall-clock time per message, so that with 64 in flight it
shows the throughput; `cpu` is what client and server use for one message together. The processes
are pinned to different cores, as the scheduler's choice would change every number threefold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import grpc.aio
import psutil
import uvloop

from benchmarks.processes import ROOT
from transport import Router, StreamCall, connect

MESSAGE = b"m" * 64
DEPTHS = (1, 16, 64)
STREAM, UNARY = "/bench.Hop/Stream", "/bench.Hop/Unary"


class RoundTrips:
    """Times round trips until the time is up."""

    def __init__(self, seconds: float) -> None:
        self._took: list[float] = []
        self._started, self._cpu = time.perf_counter(), time.process_time()
        self._end = self._started + seconds

    def add(self, sent_at: float) -> bool:
        """Add one; return whether there is time for another."""
        now = time.perf_counter()
        self._took.append(now - sent_at)
        return now < self._end

    def result(self) -> dict[str, float]:
        wall = time.perf_counter() - self._started
        count = len(self._took)
        return {
            "p50": statistics.median(self._took) * 1e6,
            "each": wall / count * 1e6,
            "cpu": (time.process_time() - self._cpu) / count * 1e6,
            "count": count,
        }


async def transport_stream(path: str, depth: int, seconds: float) -> dict[str, float]:
    connection = await connect(f"unix:{path}")
    done = asyncio.get_running_loop().create_future()
    trips = RoundTrips(seconds)
    sent: list[float] = []

    def on_message(_message: bytes) -> None:
        if trips.add(sent.pop(0)):
            sent.append(time.perf_counter())
            stream.send(MESSAGE)
        elif not done.done():
            done.set_result(None)

    def on_end(status: object) -> None:
        if not done.done():
            done.set_exception(RuntimeError(str(status)))

    stream = connection.open_stream(STREAM, on_message=on_message, on_end=on_end)
    for _ in range(depth):
        sent.append(time.perf_counter())
        stream.send(MESSAGE)
    await done
    result = trips.result()
    connection.close()
    return result


async def transport_unary(path: str, depth: int, seconds: float) -> dict[str, float]:
    connection = await connect(f"unix:{path}")
    result = await _repeat(depth, seconds, lambda: connection.unary(UNARY, MESSAGE))
    connection.close()
    return result


async def grpc_stream(path: str, depth: int, seconds: float) -> dict[str, float]:
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        call = channel.stream_stream(STREAM)()
        trips = RoundTrips(seconds)
        sent: list[float] = []
        for _ in range(depth):
            sent.append(time.perf_counter())
            await call.write(MESSAGE)
        while True:
            await call.read()
            if not trips.add(sent.pop(0)):
                break
            sent.append(time.perf_counter())
            await call.write(MESSAGE)
        call.cancel()
        return trips.result()


async def grpc_unary(path: str, depth: int, seconds: float) -> dict[str, float]:
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        unary = channel.unary_unary(UNARY)
        return await _repeat(depth, seconds, lambda: unary(MESSAGE))


async def _repeat(
    depth: int, seconds: float, call: Callable[[], Awaitable[object]]
) -> dict[str, float]:
    trips = RoundTrips(seconds)

    async def repeat() -> None:
        more = True
        while more:
            started = time.perf_counter()
            await call()
            more = trips.add(started)

    await asyncio.gather(*(repeat() for _ in range(depth)))
    return trips.result()


async def serve_transport(path: str) -> None:
    from transport import GrpcServer

    class Echo:
        def __init__(self, call: StreamCall) -> None:
            self.send = call.send

        def messages(self, messages: list[bytes]) -> None:
            for message in messages:
                self.send(message)

        def half_closed(self) -> None: ...

        def cancelled(self) -> None: ...

    router = Router()
    router.stream(STREAM, Echo)
    router.unary(UNARY, lambda message, _call: message)
    await GrpcServer(router).listen(f"unix:{path}")
    await asyncio.Event().wait()


async def serve_grpc(path: str) -> None:
    async def unary(message, _context):
        return message

    async def stream(messages, _context):
        async for message in messages:
            yield message

    server = grpc.aio.server()
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Stream": grpc.stream_stream_rpc_method_handler(stream),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Hop", handlers),))
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    await server.wait_for_termination()


SERVERS = {"transport": serve_transport, "grpc": serve_grpc}
CLIENTS = {
    "transport, stream": ("transport", transport_stream),
    "transport, unary": ("transport", transport_unary),
    "grpc.aio, stream": ("grpc", grpc_stream),
    "grpc.aio, unary": ("grpc", grpc_unary),
}


def start(*words: str, core: int) -> subprocess.Popen[str]:
    """Start this module as a server or a client on one core."""
    command = [sys.executable, "-m", "benchmarks.transport", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    os.sched_setaffinity(process.pid, {core})  # before it starts any thread
    return process


def main() -> None:
    description, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    results: dict[tuple[str, int], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        servers = {
            kind: start("serve", kind, f"{folder}/{kind}", core=cores[-1]) for kind in SERVERS
        }
        try:
            while not all(Path(f"{folder}/{kind}").exists() for kind in SERVERS):
                time.sleep(0.05)
            time.sleep(0.2)
            for _ in range(options.rounds):
                for name, (kind, _client) in CLIENTS.items():
                    for depth in DEPTHS:
                        times = psutil.Process(servers[kind].pid).cpu_times
                        before = sum(times()[:2])
                        words = ("call", name, f"{folder}/{kind}", str(depth), str(options.seconds))
                        result = json.loads(start(*words, core=cores[0]).communicate()[0])
                        result["cpu"] += (sum(times()[:2]) - before) / result["count"] * 1e6
                        results.setdefault((name, depth), []).append(result)
        finally:
            for server in servers.values():
                server.kill()
    print(f"{'':20s}" + "".join(f"{f'{depth} in flight':>27s}" for depth in DEPTHS))
    print(f"{'microseconds':20s}" + f"{'p50':>9s}{'each':>9s}{'cpu':>9s}" * len(DEPTHS))
    for name in CLIENTS:
        medians = (
            statistics.median(result[figure] for result in results[name, depth])
            for depth in DEPTHS
            for figure in ("p50", "each", "cpu")
        )
        print(f"{name:20s}" + "".join(f"{value:9.1f}" for value in medians))


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        uvloop.run(SERVERS[sys.argv[2]](sys.argv[3]))
    elif sys.argv[1:2] == ["call"]:
        client = CLIENTS[sys.argv[2]][1]
        print(json.dumps(uvloop.run(client(sys.argv[3], int(sys.argv[4]), float(sys.argv[5])))))
    else:
        main()
