"""What a node type consists of: a configuration class, a reader and a compiler."""

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
"""The configuration of a node type, a frozen dataclass."""

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
        code: such as `expression_failed` or `http_status`.
        message: what was expected, and what was found.
        retryable: whether another attempt may succeed.
        retry_after: seconds to wait before the next attempt.
        unavailable: whether no inference server was available.
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
        """Convert an error of a node type, a port or an expression."""
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
    """What a step can access of its run."""

    values: dict[str, Any]
    """Outputs of the nodes that have ended, by id; only the engine adds to it. Any: JSON."""

    input_data: Mapping[str, Any]
    ports: Ports
    deadline: float
    """The run's deadline, `time.monotonic()`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStep:
    """What a node does: exactly one of `compute` and `perform` is set.

    Both return JSON (tuples, NaN and infinities are converted afterwards) and raise `NodeError`,
    `GatewayError` or `ExpressionError`. `perform` is cancelled at the deadline.
    """

    compute: Callable[[RunContext], Any] | None = None
    """Synchronous, without I/O."""
    perform: Callable[[RunContext], Awaitable[Any]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHandler(Generic[C]):
    """A node type: how its configuration is read, and how it is compiled."""

    type: str
    read: Callable[[ConfigReader], C]
    """Return the configuration and report its errors."""
    compile: Callable[[C, CompileContext], NodeStep]
    """Return the step, with compiled expressions, and report errors."""
    cases: Callable[[C], Collection[str]] | None = None
    """Only for branching types: the cases that edges may name. The step's output is then an object
    whose `case` is the chosen one, or null."""
