"""Which version of a rollout answers a call, and copies of calls for the other version."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from time import perf_counter

from gateway.deployments.rollout_settings import Strategy
from gateway.deployments.rollouts.outputs import find_difference
from gateway.deployments.settings import ResponseFormat
from gateway.errors import GatewayError
from gateway.fast_path.deployment_call import DeploymentCall
from gateway.fast_path.routes import ResolvedRoute, RouteRollout
from gateway.ids import new_run_id
from gateway.runs.idempotency import HEADER as IDEMPOTENCY_KEY
from gateway.web.request_timeout import REQUEST_TIMEOUT_HEADER
from gateway.web.unexpected_errors import as_gateway_error

_MAX_COMPARED_BYTES = 1 << 16
"""Of a body, and of an output: comparing more would hold up other calls."""
_MAX_IN_FLIGHT = 32
"""Copies of one rollout: a candidate that is slow must not collect calls without end."""
_SECONDS = b"10"
"""That a copy may take, unless its deployment allows less."""


def enter_rollout(
    call: DeploymentCall, route: ResolvedRoute, rollout: RouteRollout, body: bytes
) -> ResolvedRoute:
    """Return the route that a call takes, to be counted there; maybe have a copy take the other."""
    call.in_rollout = True
    live = rollout.live
    if random.random() * 100 >= live.weight:  # nosec B311 # no secret
        return route
    if live.strategy is Strategy.SHADOW:
        _copy(call, rollout, rollout.candidate, body)
        return route
    rollout.counts.begin(call)
    if live.tolerance is not None:
        _copy(call, rollout, route, body)
    return rollout.candidate


def _copy(call: DeploymentCall, rollout: RouteRollout, route: ResolvedRoute, body: bytes) -> None:
    counts = rollout.counts
    if len(body) > _MAX_COMPARED_BYTES or counts.copies >= _MAX_IN_FLIGHT:
        return
    copy = call.copy = CopiedCall(call, rollout, route)
    counts.copies += 1
    asyncio.get_running_loop().call_soon(copy.start, body)  # after the call itself has been sent


class CopiedCall(DeploymentCall):
    """A call that has no caller: it is sent to the other version, and the outputs are compared."""

    def __init__(self, call: DeploymentCall, rollout: RouteRollout, route: ResolvedRoute) -> None:
        self.services = call.services
        self.route = replace(route, is_recorded=False)
        self.run_id = new_run_id()
        self.response_format = ResponseFormat.FLAT
        self.headers = {**call.headers, REQUEST_TIMEOUT_HEADER: _SECONDS}
        self.headers.pop(IDEMPOTENCY_KEY, None)
        self._rollout = rollout
        self._is_candidate = route is rollout.candidate
        self._own: bytes | None = None
        """The output of this call; None: it has none yet, or failed."""
        self._other: bytes | None = None
        """That of the call that was copied."""

    def start(self, body: bytes) -> None:
        """Send it."""
        assert self.route is not None
        self.began = perf_counter()
        if self._is_candidate:
            self._rollout.counts.begin(self)
        try:
            self.execute(self.route, body)
        except Exception as error:  # noqa: BLE001 - `fail` knows which are bugs
            self.fail(error)

    def compare_with(self, output_data: bytes) -> None:
        """Take the output of the call that was copied."""
        self._other = output_data
        self._compare()

    def succeed_fast(self, output_data: bytes) -> None:
        """See AnswerableCall."""
        self._own = output_data
        self._end()
        self._compare()

    def fail(self, error: Exception) -> None:
        """See AnswerableCall."""
        self.ended = perf_counter()
        self.error = as_gateway_error(error, self.run_id.encode()).code
        self._end()

    def on_failure(self, error: GatewayError) -> None:
        """See DeploymentCall; without the run that a failed call leaves."""
        self.fail(error)

    def _end(self) -> None:
        self._rollout.counts.copies -= 1
        if self._is_candidate:  # the live version's are counted of the calls that have a caller
            self._rollout.counts.count("candidate", [self])

    def _compare(self) -> None:
        own, other, tolerance = self._own, self._other, self._rollout.live.tolerance
        if own is None or other is None or tolerance is None:
            return
        if max(len(own), len(other)) > _MAX_COMPARED_BYTES:
            return
        baseline, candidate = (other, own) if self._is_candidate else (own, other)
        self._rollout.counts.compare(find_difference(baseline, candidate, tolerance))
