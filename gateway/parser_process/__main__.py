"""`python -m gateway.parser_process --socket-fd FD`: runs one job after the other.

Ends when the gateway closes the socket, at once even within a job.
"""

from __future__ import annotations

import argparse
import os
import resource
import select
import signal
import socket
import threading

from gateway.errors import GatewayError
from gateway.parser_process.frames import (
    LENGTH,
    Failure,
    Job,
    Result,
    encode_frame,
    from_bytes,
    to_bytes,
)
from protos.errors import ErrorCode, TensorError
from telemetry import allocator, garbage_collection

_MAX_MEMORY_BYTES = 4 << 30
"""A body of 64 MiB may become thirty times as large, as objects."""


def main() -> None:
    """Run jobs until the gateway closes the socket or is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket-fd", type=int, required=True)
    descriptor = parser.parse_args().socket_fd
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the gateway ends us
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_MAX_MEMORY_BYTES, hard))
    garbage_collection.pause()  # what a parser makes has no cycles
    allocator.keep_freed_memory()
    threading.Thread(target=_exit_with_gateway, args=(descriptor,), daemon=True).start()
    with socket.socket(fileno=descriptor) as connection, connection.makefile("rb") as stream:
        while head := stream.read(LENGTH.size):
            job = from_bytes(stream.read(*LENGTH.unpack(head)))
            body = stream.read(*LENGTH.unpack(stream.read(LENGTH.size)))
            for piece in encode_frame(to_bytes(_outcome(job, body))):
                connection.sendall(piece)


def _exit_with_gateway(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLHUP | select.POLLRDHUP)
    poll.poll()
    os._exit(0)


def _outcome(job: Job, body: bytes) -> Result | Failure:
    try:
        return Result(job.function(body, *job.arguments))
    except (GatewayError, TensorError) as error:
        return Failure.of(error)
    except MemoryError:
        message = "the body needs too much memory to be parsed: send less at once"
        return Failure(message=message, code=ErrorCode.PAYLOAD_TOO_LARGE)
    except Exception as error:  # noqa: BLE001 - the process is there for the next job
        return Failure(message=f"parsing failed: {error!r}", code=ErrorCode.INTERNAL)


if __name__ == "__main__":
    main()
