"""The body parsers of a process, as the routes see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from gateway.body_parsing.frames import Failure, Job, from_bytes, to_bytes
from gateway.children.errors import ChildError, ChildFailure
from gateway.children.metrics import ChildMetrics
from gateway.children.pool import ChildPool
from gateway.children.program import ChildProgram
from gateway.errors import GatewayError
from protos.errors import ErrorCode

LARGE_BODY_BYTES = 1 << 20
"""Larger bodies are parsed there. Smaller ones take a few milliseconds: sending them is no gain."""

PROGRAM = ChildProgram(
    name="body_parser",
    module="gateway.body_parsing.process",
    size=2,
    memory_bytes=4 << 30,  # a body of 64 MiB may become thirty times as large, as objects
    cpu_seconds=60.0,
    max_reply_bytes=1 << 30,  # as much as the bodies that an operator allows may become
    replaced_above_bytes=512 << 20,
    idle_seconds=60.0,  # the first body afterwards waits for a process: some tenths of a second
    cancel_grace_seconds=5.0,  # a caller that leaves does not cost the next one a new process
)
_RETRY_SECONDS = 2.0

P = ParamSpec("P")
T = TypeVar("T")


def build_parser(metrics: ChildMetrics) -> BodyParser:
    """Return the body parsers of this process, none of which is started."""
    return BodyParser(ChildPool(PROGRAM, metrics))


class BodyParser:
    """Runs functions on large bodies in a child process."""

    def __init__(self, pool: ChildPool) -> None:
        self._pool = pool

    async def run(
        self,
        tenant: str,
        deadline: float,
        function: Callable[Concatenate[bytes, P], T],
        body: bytes,
        *args: P.args,
        **_: P.kwargs,
    ) -> T:
        """Return `function(body, *args)`, which must be a function of a module.

        Args:
            tenant: the user whose turn this takes.
            deadline: `time.monotonic()`.
            function: what to do.
            body: its first argument.
            args: the others.

        Raises:
            GatewayError: as the function; OVERLOADED if many bodies wait already, DEADLINE_EXCEEDED
                at the deadline, PAYLOAD_TOO_LARGE if it takes too much, INTERNAL if the processes
                died.
            TensorError: as the function.
        """
        request = to_bytes(Job(function, args))
        try:
            reply = await self._pool.ask(tenant, request, body, deadline=deadline)
        except ChildError as error:
            raise _refusal(error) from None
        outcome = from_bytes(reply)
        if isinstance(outcome, Failure):
            raise outcome.exception()
        value: T = outcome.value
        return value

    async def close(self) -> None:
        """End the processes; nothing is to be parsed any more."""
        await self._pool.close()


def _refusal(error: ChildError) -> GatewayError:
    match error.failure:
        case ChildFailure.OVERLOADED | ChildFailure.UNAVAILABLE:
            return GatewayError(ErrorCode.OVERLOADED, error.message, retry_after=_RETRY_SECONDS)
        case ChildFailure.DEADLINE:
            message = "the body was not parsed before the call's deadline: send less data"
            return GatewayError(ErrorCode.DEADLINE_EXCEEDED, message)
        case ChildFailure.CLOSED:
            return GatewayError(ErrorCode.SHUTTING_DOWN, error.message)
        case ChildFailure.CRASH:
            message = "the processes that parse large bodies died on this one"
            return GatewayError(ErrorCode.INTERNAL, message)
        case _:
            message = f"the body cannot be parsed: {error.message}: send less at once"
            return GatewayError(ErrorCode.PAYLOAD_TOO_LARGE, message)
