"""One call of a deployment, and what it is answered with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.deployments.live_deployment import LiveDeployment
from gateway.deployments.settings import ResponseFormat
from gateway.limits.policy import ConcurrencyLimit
from gateway.limits.rate_limit import RateLimit
from gateway.metrics import Timings
from gateway.web.problems import Headers


@dataclass(slots=True, kw_only=True)
class Trigger:
    """One call, authenticated and complete."""

    deployment: LiveDeployment
    key_id: str | None
    """None for a console session."""
    run_id: str
    headers: dict[bytes, bytes]
    body: bytes
    response_format: ResponseFormat
    timeout: float
    """Seconds that the answer may take."""
    began: float
    """`perf_counter()` when its last header had arrived."""
    authenticated: float
    """`perf_counter()` when the key was known to be good."""
    rate_limit: RateLimit | None = None
    """What it has passed; None: nothing limits it."""
    concurrency_limits: tuple[ConcurrencyLimit, ...] = ()
    """How many runs may go on at once with the one that it begins."""
    parse_seconds: float = 0.0
    """What it took to make tensors, or the flow's input, of the body."""


@dataclass(slots=True)
class Result:
    """What a call is answered with. Not frozen: that would cost each call half a microsecond."""

    status: int
    body: bytes
    timings: Timings | None = None
    """Of a fast call."""
    headers: Headers | None = None
    """None: those of a fast call that went well, and no others."""
    parse_seconds: float | None = None
    """Of a sync or async call."""


Done = Callable[[Result | Exception], None]


class Pending(Protocol):
    """A call that waits for its result."""

    def abandon(self) -> None:
        """Take note that nobody waits any more; `done` is not called then."""


class CallHandler(Protocol):
    """Answers the calls that do not go to an inference server at once."""

    def start(self, trigger: Trigger, done: Done) -> Pending:
        """Have `trigger` answered; `done` gets the result."""


class BatchHandler(Protocol):
    """Answers batches."""

    # Any: values as JSON has them
    def start(self, trigger: Trigger, items: list[Any], done: Done) -> Pending:
        """Have every item answered; `done` gets the result of the batch."""
