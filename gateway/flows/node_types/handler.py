"""What a node type consists of: a configuration class, a reader and a compiler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from gateway.errors import GatewayError
from gateway.flows.cel.values import ExpressionError, NodeValues
from gateway.flows.compile_context import CompileContext
from gateway.flows.config_fields import ConfigForm
from gateway.flows.config_reader import ConfigReader
from gateway.flows.node_types.presentation import NodePresentation
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
        ErrorCode.INFERENCE_SERVER_BOOTING,
        ErrorCode.INFERENCE_SERVER_FAILED,
        ErrorCode.INFERENCE_SERVER_UNAVAILABLE,
    }
)
_UNFIT_VALUES: frozenset[str] = frozenset({ErrorCode.INVALID_TENSOR, ErrorCode.INPUT_REJECTED})


class NodeError(Exception):
    """Why a node failed.

    Attributes:
        code: such as `expression_failed` or `http_status`.
        message: what was expected, and what was found.
        retryable: whether another attempt may succeed.
        retry_after: seconds to wait before the next attempt.
        unavailable: whether the inference server was not available yet.
        unfit_value: whether a value that the node was given is missing, or one it cannot use.
        reads: the nodes one of which gave that value; None: those that the node reads.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        unavailable: bool = False,
        unfit_value: bool = False,
        reads: Collection[str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.retry_after = retry_after
        self.unavailable = unavailable
        self.unfit_value = unfit_value
        self.reads = reads

    @classmethod
    def of(cls, error: NodeError | GatewayError | ExpressionError) -> NodeError:
        """Convert an error of a node type, a port or an expression.

        The result has no traceback: who keeps it would keep the frames, and what they refer to.
        """
        if isinstance(error, NodeError):
            return error.with_traceback(None)
        if isinstance(error, ExpressionError):
            return cls("expression_failed", str(error), unfit_value=True, reads=error.reads)
        return cls(
            str(error.code),
            error.message,
            retryable=error.code in _RETRYABLE,
            retry_after=error.retry_after,
            unavailable=error.code in _UNAVAILABLE,
            unfit_value=error.code in _UNFIT_VALUES,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What a step can access of its run."""

    values: dict[str, Any]
    """NodeValues so far; only the engine adds to it. Any: JSON."""

    ports: Ports
    deadline: float
    """The run's deadline, `time.monotonic()`."""


Prepare = Callable[[NodeValues], Any]
"""Computes a node's values (Any: JSON). Without I/O; raises NodeError or ExpressionError."""
Perform = Callable[[RunContext, Any], Awaitable[Any]]
"""Does a node's I/O with the prepared values, and returns its output (Any: JSON). Cancelled at the
deadline; raises NodeError or GatewayError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHandler(Generic[C]):
    """A node type: how its configuration is read, and what it does.

    The output is what `perform` returns, or, without one, `prepare`. Tuples, NaN and infinities are
    converted afterwards. Both are compiled when a flow is, and report errors to the context.
    """

    type: str
    shown: NodePresentation
    form: ConfigForm
    """The members that `read` reads."""
    read: Callable[[ConfigReader], C]
    """Return the configuration and report its errors."""
    prepare: Callable[[C, CompileContext], Prepare]
    """Compile the expressions. Called in the evaluator, too, if they are evaluated there."""
    perform: Callable[[C, CompileContext], Perform] | None = None
    waits: bool = False
    """Whether `perform` only waits and takes nothing in: a run may lend its slot meanwhile."""
    cases: Callable[[C], Collection[str]] | None = None
    """Only for branching types: the cases that edges may name. The step's output is then an object
    whose `case` is the chosen one, or null."""
