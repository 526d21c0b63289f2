"""Fake ports for flows: models and HTTP services that respond as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import orjson

from gateway.children.child import Answer
from gateway.children.pool import ChildPool
from gateway.errors import GatewayError
from gateway.flows.evaluation import Evaluator
from gateway.flows.evaluator_process import answer
from gateway.flows.function_process import FunctionProcess
from gateway.flows.functions import FunctionCaller
from gateway.flows.ports import ModelCall, Ports
from gateway.outbound.messages import OutboundRequest, OutboundResponse
from protos.errors import ErrorCode

T = TypeVar("T")


class InProcessPool(ChildPool):
    """Does at once, in this process, what a child process does. Cannot be killed."""

    def __init__(self, answer: Answer) -> None:
        """Start nothing."""
        self._answer = answer

    async def ask(
        self,
        _tenant: str,
        request: bytes,
        body: bytes = b"",
        *,
        deadline: float,  # noqa: ARG002
        before: Callable[[], Awaitable[object]] | None = None,  # noqa: ARG002
    ) -> bytes:
        """Answer."""
        return self._answer(request, body)


FUNCTIONS = FunctionCaller(InProcessPool(FunctionProcess().answer), "a tenant")
EVALUATOR = Evaluator(InProcessPool(answer), FUNCTIONS, "a tenant")


def result_of(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as returned:
        return returned.value  # type: ignore[no-any-return]
    raise AssertionError("it waits")


Model = Callable[[ModelCall], Awaitable[dict[str, Any]]]
Service = Callable[[OutboundRequest], Awaitable[OutboundResponse]]


async def echo(call: ModelCall) -> dict[str, Any]:
    """Return every input."""
    return dict(call.inputs)


async def hang(_call: object) -> Any:
    """Never return."""
    await asyncio.Event().wait()


def failing(code: ErrorCode, message: str, *, times: int = 1_000_000) -> Model:
    """Return a model that fails `times` times, and then echoes."""
    left = times

    async def model(call: ModelCall) -> dict[str, Any]:
        nonlocal left
        if left:
            left -= 1
            raise GatewayError(code, message)
        return dict(call.inputs)

    return model


def reply(
    body: Any = None, status: int = 200, content_type: str = "application/json", **headers: str
) -> OutboundResponse:
    """Return a response; a body that is not bytes is serialized as JSON."""
    written = body if isinstance(body, bytes) else orjson.dumps(body)
    return OutboundResponse(
        status=status, headers={"content-type": content_type, **headers}, body=written
    )


async def not_found(_call: OutboundRequest) -> OutboundResponse:
    """Answer everything with 404."""
    return reply({"error": "not found"}, 404)


class FakePorts:
    """All ports; records the calls and the maximum number of concurrent ones."""

    def __init__(
        self,
        model: Model = echo,
        service: Service = not_found,
        functions: FunctionCaller = FUNCTIONS,
        evaluator: Evaluator = EVALUATOR,
    ) -> None:
        self._model = model
        self._service = service
        self._functions = functions
        self._evaluator = evaluator
        self.inferences: list[ModelCall] = []
        self.requests: list[OutboundRequest] = []
        self.deadlines: list[float] = []
        self.cancelled = 0
        self.busy = 0
        self.busiest = 0

    @property
    def ports(self) -> Ports:
        """The ports for the engine; expressions are evaluated in this process."""
        return Ports(
            inference=self, http=self, evaluator=self._evaluator, functions=self._functions
        )

    async def infer(self, call: ModelCall, deadline: float) -> dict[str, Any]:
        """Call the model."""
        self.inferences.append(call)
        return await self._count(self._model(call), deadline)

    async def send(self, call: OutboundRequest, deadline: float) -> OutboundResponse:
        """Call the service."""
        self.requests.append(call)
        return await self._count(self._service(call), deadline)

    async def _count(self, answer: Awaitable[Any], deadline: float) -> Any:
        self.deadlines.append(deadline)
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            return await answer
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.busy -= 1
