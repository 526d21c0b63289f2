"""What is counted and recorded about a call when it has been answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.fast_path.routes import Resolution, ResolvedRoute
from gateway.metrics import CallRecord
from telemetry.trace_context import TraceContext


@dataclass(slots=True)
class Hop:
    """A request to an inference server, made for a call that is sampled."""

    call: DeploymentCallRecord
    """The one that made it, which may be an item of a batch."""
    context: TraceContext
    """Of its span."""
    began: float
    """`perf_counter()`."""
    ended: float = 0.0
    """If the server has refused it: another server was asked then."""
    error: str | None = None


class DeploymentCallRecord(CallRecord):
    """The record of a call of a deployment. The defaults are those of a call rejected early."""

    run_id: str
    headers: Mapping[bytes, bytes]
    """The request's, by lower-case name."""
    route: ResolvedRoute | None = None
    """None if the call was rejected before its deployment was known."""
    resolution: Resolution | None = None
    """Has a key whose use has not been counted yet."""
    is_request = False
    """False for an item of a batch."""
    rollout_began = 0.0
    """When a version of a rollout was chosen for it, as which it counts; 0.0: none was."""
    is_failed_run = False
    """Whether it is a fast call that an inference server has failed, not one that was refused."""
    trace: TraceContext | None = None
    """Of its span; None: none was chosen while it was answered."""
    hops: list[Hop] | None = None
    """Those of the call, or of all items of a batch, if it is sampled."""
    replied = 0.0
    """`perf_counter()` when the inference server's reply arrived; 0.0: there was none."""
    may_be_sampled = False
    """Whether it is a fast call that has succeeded and was answered without a run."""

    @property
    def client_address(self) -> str:
        """Where the call comes from."""
        raise NotImplementedError

    @property
    def named_deployment(self) -> str:
        """What the path names as a deployment, existing or not: its id, where that is known."""
        raise NotImplementedError

    @property
    def http_route(self) -> str:
        """The path's template, for its span."""
        raise NotImplementedError
