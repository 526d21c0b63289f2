"""What is counted and recorded about a call when it has been answered."""

from __future__ import annotations

from gateway.auth.key_usage import CachedKey
from gateway.errors import GatewayError
from gateway.fast_path.routes import ResolvedRoute
from gateway.metrics import CallRecord


class DeploymentCallRecord(CallRecord):
    """The record of a call of a deployment; defaults are those of a call that got nowhere."""

    run_id: str
    route: ResolvedRoute | None = None
    """None: it was refused before it was known what it calls."""
    key: CachedKey | None = None
    """Whose use is still to be counted."""
    is_request = False
    """Whether it is a request of its own, and no item of a batch."""
    is_run = False
    """Whether it is recorded as a run: an inference server has answered or failed it."""
    run_error: GatewayError | None = None
    output_data: bytes | None = None
    """Kept only where a webhook reports it."""

    @property
    def client_address(self) -> str:
        """Where the call comes from."""
        raise NotImplementedError
