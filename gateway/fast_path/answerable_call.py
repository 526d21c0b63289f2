"""A call of a deployment, as those see it that have it executed and answered."""

from __future__ import annotations

from gateway.deployments.settings import ResponseFormat
from gateway.fast_path.call_record import DeploymentCallRecord
from gateway.fast_path.routes import ResolvedRoute
from gateway.web.problems import Headers


class AnswerableCall(DeploymentCallRecord):
    """A call that gets one answer, by one of `succeed`, `succeed_fast` and `fail`."""

    response_format: ResponseFormat
    timeout: float
    """Seconds that the result may take."""

    def execute(self, route: ResolvedRoute, body: bytes) -> None:
        """Have the call answered in its deployment's mode.

        Raises:
            GatewayError: what is wrong with the request, or why there is no inference server.
        """
        raise NotImplementedError

    def succeed(
        self, status: int, headers: Headers, body: bytes, *, parse_seconds: float | None = None
    ) -> None:
        """Take the result of a sync or async call, of a batch, or of a call that was repeated."""
        raise NotImplementedError

    def succeed_fast(self, output_data: bytes) -> None:
        """Take the prediction of a fast call, of which `ended` and `stages` are set.

        If it is recorded, its run can be read now.
        """
        raise NotImplementedError

    def fail(self, error: Exception) -> None:
        """Take an error in place of a result."""
        raise NotImplementedError
