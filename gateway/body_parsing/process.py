"""What a body parser does."""

from __future__ import annotations

from gateway.body_parsing.frames import Failure, Result, from_bytes, to_bytes
from gateway.children.child import Answer
from gateway.errors import GatewayError
from protos.errors import ErrorCode, TensorError
from telemetry import allocator, garbage_collection


def answer(request: bytes, body: bytes) -> bytes:
    """Run the job `request` on `body`; MemoryError is for the caller."""
    job = from_bytes(request)
    outcome: Result | Failure
    try:
        outcome = Result(job.function(body, *job.arguments))
    except (GatewayError, TensorError) as error:
        outcome = Failure.of(error)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the process is there for the next job
        outcome = Failure(message=f"parsing failed: {error!r}", code=ErrorCode.INTERNAL)
    return to_bytes(outcome)


def start() -> Answer:
    """Prepare this process, and return what answers its requests."""
    garbage_collection.pause()  # what a parser makes has no cycles
    allocator.keep_freed_memory()
    return answer
