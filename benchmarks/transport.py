"""The hop between two processes: what a round trip of a small message costs, by transport.

    python benchmarks/transport.py [--rounds 5] [--seconds 1.0]

A server process and a client process for each transport, over a Unix socket, the transports in
turn, medians of all rounds. `us` is the wall-clock time per message, so with 64 in flight it says
how many messages a second the pair moves; `cpu` is what client and server spend on one, together.

Where the scheduler puts the two processes changes every number threefold (on one core a wake-up is
a plain switch), so they are pinned: compare only numbers of one placement and one run.
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
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

MESSAGE = b"m" * 64
DEPTHS = (1, 16, 64)


class Meter:
    """Counts round trips until the time is up, and keeps the time of each."""

    def __init__(self, seconds: float) -> None:
        self.took: list[float] = []
        self.start = time.perf_counter()
        self._end = self.start + seconds

    def count(self, sent_at: float) -> bool:
        """Count one; return whether there is time for another."""
        now = time.perf_counter()
        self.took.append(now - sent_at)
        return now < self._end

    def result(self, cpu_before: float) -> dict[str, float]:
        wall = time.perf_counter() - self.start
        took = sorted(self.took)
        return {
            "p50": took[len(took) // 2] * 1e6,
            "p99": took[int(len(took) * 0.99)] * 1e6,
            "us": wall / len(took) * 1e6,
            "cpu": (time.process_time() - cpu_before) / len(took) * 1e6,
            "count": len(took),
        }


async def raw_client(path: str, depth: int, seconds: float) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    cpu = time.process_time()
    meter = Meter(seconds)

    class Client(asyncio.Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:
            self.transport = transport
            self.sent = [time.perf_counter()] * depth
            self.have = 0
            transport.write(MESSAGE * depth)

        def data_received(self, data: bytes) -> None:
            self.have += len(data)
            again = 0
            while self.have >= len(MESSAGE):
                self.have -= len(MESSAGE)
                if meter.count(self.sent.pop(0)):
                    again += 1
                elif not done.done():
                    done.set_result(None)
            self.sent += [time.perf_counter()] * again
            self.transport.write(MESSAGE * again)

    transport, _ = await loop.create_unix_connection(Client, path)
    await done
    transport.close()
    return meter.result(cpu)


async def stream_client(path: str, depth: int, seconds: float) -> dict[str, float]:
    from transport import connect

    connection = await connect(f"unix:{path}")
    done = asyncio.get_running_loop().create_future()
    cpu = time.process_time()
    meter = Meter(seconds)
    sent: list[float] = []

    def on_message(_message: bytes) -> None:
        if meter.count(sent.pop(0)):
            sent.append(time.perf_counter())
            stream.send(MESSAGE)
        elif not done.done():
            done.set_result(None)

    def on_end(status: object) -> None:
        if not done.done():
            done.set_exception(RuntimeError(str(status)))

    stream = connection.open_stream("/bench.Hop/Stream", on_message=on_message, on_end=on_end)
    for _ in range(depth):
        sent.append(time.perf_counter())
        stream.send(MESSAGE)
    await done
    result = meter.result(cpu)
    connection.close()
    return result


async def _many(depth: int, seconds: float, call: Callable[[bytes], object]) -> dict[str, float]:
    cpu = time.process_time()
    meter = Meter(seconds)

    async def one() -> None:
        go_on = True
        while go_on:
            start = time.perf_counter()
            await call(MESSAGE)  # type: ignore[misc]
            go_on = meter.count(start)

    await asyncio.gather(*(one() for _ in range(depth)))
    return meter.result(cpu)


async def unary_client(path: str, depth: int, seconds: float) -> dict[str, float]:
    from transport import connect

    connection = await connect(f"unix:{path}")
    result = await _many(depth, seconds, lambda m: connection.unary("/bench.Hop/Unary", m))
    connection.close()
    return result


async def grpc_unary_client(path: str, depth: int, seconds: float) -> dict[str, float]:
    import grpc.aio

    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        return await _many(depth, seconds, channel.unary_unary("/bench.Hop/Unary"))


async def grpc_stream_client(path: str, depth: int, seconds: float) -> dict[str, float]:
    import grpc.aio

    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        call = channel.stream_stream("/bench.Hop/Stream")()
        cpu = time.process_time()
        meter = Meter(seconds)
        sent: list[float] = []
        for _ in range(depth):
            sent.append(time.perf_counter())
            await call.write(MESSAGE)
        while True:
            await call.read()
            if not meter.count(sent.pop(0)):
                break
            sent.append(time.perf_counter())
            await call.write(MESSAGE)
        result = meter.result(cpu)
        call.cancel()
        return result


async def raw_server(path: str) -> None:
    class Echo(asyncio.Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(data)

    server = await asyncio.get_running_loop().create_unix_server(Echo, path)
    await server.serve_forever()


async def our_server(path: str) -> None:
    from transport import GrpcServer, Router, StreamCall

    class Echo:
        def __init__(self, call: StreamCall) -> None:
            self.send = call.send

        def messages(self, messages: list[bytes]) -> None:
            for message in messages:
                self.send(message)

        def half_closed(self) -> None: ...

        def cancelled(self) -> None: ...

    router = Router()
    router.stream("/bench.Hop/Stream", Echo)
    router.unary("/bench.Hop/Unary", lambda message, _call: message)
    await GrpcServer(router).listen(f"unix:{path}")
    await asyncio.Event().wait()


async def grpc_server(path: str) -> None:
    import grpc
    import grpc.aio

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


SERVERS = {"raw": raw_server, "transport": our_server, "grpc": grpc_server}
PAIRS = {
    "raw asyncio echo": ("raw", raw_client),
    "transport, stream": ("transport", stream_client),
    "transport, unary": ("transport", unary_client),
    "grpc.aio, stream": ("grpc", grpc_stream_client),
    "grpc.aio, unary": ("grpc", grpc_unary_client),
    "transport client, grpc.aio server, stream": ("grpc", stream_client),
    "grpc.aio client, transport server, stream": ("transport", grpc_stream_client),
    "grpc.aio client, transport server, unary": ("transport", grpc_unary_client),
}


PLACES = ("apart", "together", "free")


def cores(place: str, *, server: bool) -> set[int]:
    """Return the cores that a side may use."""
    every = sorted(os.sched_getaffinity(0))
    if place == "free":
        return set(every)
    return {every[-1] if server and place == "apart" else every[0]}


def child(*words: str, on: set[int]) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(process.pid, on)  # before it starts any thread
    return process


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def measure(
    name: str, folder: str, servers: dict[str, subprocess.Popen[str]], seconds: float, place: str
) -> Iterator[tuple[int, dict[str, float]]]:
    kind = PAIRS[name][0]
    for depth in DEPTHS:
        before = cpu_seconds(servers[kind].pid)
        client = child(
            "call",
            name,
            f"{folder}/{kind}",
            str(depth),
            str(seconds),
            on=cores(place, server=False),
        )
        result = json.loads(client.communicate()[0])
        result["cpu"] += (cpu_seconds(servers[kind].pid) - before) / result["count"] * 1e6
        yield depth, result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--only", default="", help="part of a transport's name")
    parser.add_argument("--place", choices=PLACES, default="apart", help="of the two processes")
    options = parser.parse_args()
    names = [name for name in PAIRS if options.only in name]
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        servers = {
            kind: child("serve", kind, f"{folder}/{kind}", on=cores(options.place, server=True))
            for kind in SERVERS
        }
        while not all(Path(f"{folder}/{kind}").exists() for kind in SERVERS):
            time.sleep(0.05)
        time.sleep(0.2)
        try:
            for _ in range(options.rounds):
                for name in names:
                    for depth, result in measure(
                        name, folder, servers, options.seconds, options.place
                    ):
                        found.setdefault((name, depth), []).append(result)
        finally:
            for server in servers.values():
                server.kill()
    print(f"processes {options.place}, load average {os.getloadavg()[0]:.1f}")
    show(names, found)


def show(names: list[str], found: dict[tuple[str, int], list[dict[str, float]]]) -> None:
    print(f"{'':44s}" + "".join(f"{f'{depth} in flight':>27s}" for depth in DEPTHS))
    print(f"{'microseconds':44s}" + f"{'p50':>9s}{'each':>9s}{'cpu':>9s}" * len(DEPTHS))
    for name in names:
        cells = ""
        for depth in DEPTHS:
            for key in ("p50", "us", "cpu"):
                middle = statistics.median(result[key] for result in found[name, depth])
                cells += f"{middle:9.1f}"
        print(f"{name:44s}{cells}")


if __name__ == "__main__":
    import uvloop

    if sys.argv[1:2] == ["serve"]:
        uvloop.run(SERVERS[sys.argv[2]](sys.argv[3]))
    elif sys.argv[1:2] == ["call"]:
        caller = PAIRS[sys.argv[2]][1]
        print(json.dumps(uvloop.run(caller(sys.argv[3], int(sys.argv[4]), float(sys.argv[5])))))
    else:
        main()
