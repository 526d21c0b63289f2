"""What a kind of node consists of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from gateway.errors import GatewayError
from gateway.flows.cel.values import ExpressionError
from gateway.flows.compile_context import CompileContext
from gateway.flows.config_reader import ConfigReader
from gateway.flows.ports import Ports
from protos.errors import ErrorCode

C = TypeVar("C")
"""The configuration of a kind, a frozen dataclass."""

_RETRYABLE: frozenset[str] = frozenset(
    {
        ErrorCode.OVERLOADED,
        ErrorCode.GATEWAY_STARTING,
        ErrorCode.SHUTTING_DOWN,
        ErrorCode.INFERENCE_SERVER_BOOTING,
        ErrorCode.INFERENCE_SERVER_UNAVAILABLE,
        ErrorCode.DEADLINE_EXCEEDED,
        ErrorCode.UPSTREAM_UNREACHABLE,
    }
)
_UNAVAILABLE: frozenset[str] = frozenset(
    {
        ErrorCode.NO_ACTIVE_INFERENCE,
        ErrorCode.INFERENCE_SERVER_BOOTING,
        ErrorCode.INFERENCE_SERVER_FAILED,
        ErrorCode.INFERENCE_SERVER_UNAVAILABLE,
    }
)


class NodeError(Exception):
    """Why a node failed.

    Attributes:
        code: a word, such as `expression_failed` or `http_status`.
        message: what was expected, what came.
        retryable: whether another attempt may go better.
        retry_after: seconds before which it will not.
        unavailable: whether no inference server was there to ask.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        unavailable: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.retry_after = retry_after
        self.unavailable = unavailable

    @classmethod
    def of(cls, error: NodeError | GatewayError | ExpressionError) -> NodeError:
        """Return the failure that a kind, a port or an expression has reported."""
        if isinstance(error, NodeError):
            return error
        if isinstance(error, ExpressionError):
            return cls("expression_failed", str(error))
        return cls(
            str(error.code),
            error.message,
            retryable=error.code in _RETRYABLE,
            retry_after=error.retry_after,
            unavailable=error.code in _UNAVAILABLE,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What a step may know of its run."""

    values: dict[str, Any]
    """Outputs of the nodes that have ended, by id; only the engine adds to it. Any: JSON."""
    input_data: Mapping[str, Any]
    ports: Ports
    deadline: float
    """Of the run, `time.monotonic()`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStep:
    """What a node does. Exactly one of the two is given.

    Both return JSON (tuples, NaN and infinities are put right afterwards) and raise `NodeError`,
    `GatewayError` or `ExpressionError`. `perform` is cancelled at the deadline.
    """

    compute: Callable[[RunContext], Any] | None = None
    """At once, without waiting for anything."""
    perform: Callable[[RunContext], Awaitable[Any]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHandler(Generic[C]):
    """A kind of node: how it is written down, and what it does."""

    type: str
    read: Callable[[ConfigReader], C]
    """Returns the configuration, and complains about what is wrong with it."""
    compile: Callable[[C, CompileContext], NodeStep]
    """Returns the step, made ready: expressions are compiled, names are looked up."""
    cases: Callable[[C], Collection[str]] | None = None
    """For kinds that choose where to go on: the cases that edges may name. The step's output then
    is an object whose `case` is the chosen one, or null."""
