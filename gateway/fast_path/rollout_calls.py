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
from protos.errors import ErrorCode

_MAX_BODY_BYTES = 1 << 16
"""Of a call that is copied."""
_MAX_COMPARED_BYTES = 1 << 14
"""Of an output: to compare more would hold up other calls for more than some milliseconds."""
_MAX_IN_FLIGHT = 32
"""Copies of one rollout: a candidate that is slow must not collect calls without end."""
_SECONDS = b"10"
"""That a copy may take, unless its deployment allows less."""


def enter_rollout(
    call: DeploymentCall, route: ResolvedRoute, rollout: RouteRollout, body: bytes
) -> ResolvedRoute:
    """Return the route that a call takes, to be counted there; maybe have a copy take the other."""
    live, counts = rollout.live, rollout.counts
    plan, servers = live.candidate.fast_plan, call.services.servers
    if plan is not None and not servers.is_ready(plan.model, plan.version):
        # It takes a gateway a moment to connect to the server, and the server one to wake.
        is_asleep = servers.wake(plan.model, plan.version)
        counts.joined = counts.joined and not is_asleep
        if not counts.joined:
            return route
    else:
        counts.joined = True
    chosen = random.random() * 100 < live.weight  # nosec B311 # no secret
    if live.strategy is Strategy.SHADOW:
        if chosen and _copy(call, rollout, rollout.candidate, body):
            counts.baseline.begin(call)  # versions are compared by the same calls
        return route
    if not chosen:
        counts.baseline.begin(call)
        return route
    counts.candidate.begin(call)
    if live.tolerance is not None:
        _copy(call, rollout, route, body)
    return rollout.candidate


def _copy(call: DeploymentCall, rollout: RouteRollout, route: ResolvedRoute, body: bytes) -> bool:
    counts = rollout.counts
    if len(body) > _MAX_BODY_BYTES or counts.copies >= _MAX_IN_FLIGHT:
        return False
    copy = call.copy = CopiedCall(call, rollout, route)
    counts.copies += 1
    asyncio.get_running_loop().call_soon(copy.start, body)  # after the call itself has been sent
    return True


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
        self._own = self._other = b""
        """The outputs of this call and of the one that was copied; empty: there is none yet."""

    def start(self, body: bytes) -> None:
        """Send it."""
        assert self.route is not None
        self.began = perf_counter()
        if self._is_candidate:  # the live version's are counted of the calls that have a caller
            self._rollout.counts.candidate.begin(self)
        try:
            self.execute(self.route, body)
        except Exception as error:  # noqa: BLE001 - `fail` knows which are bugs
            self.fail(error)

    def compare_with(self, output_data: bytes) -> None:
        """Take the output of the call that was copied, which is answered first."""
        if self._is_compared(output_data):
            self._other = output_data
            if self._own:
                asyncio.get_running_loop().call_soon(self._compare)

    def succeed_fast(self, output_data: bytes) -> None:
        """See AnswerableCall."""
        self._rollout.counts.copies -= 1
        if self._is_candidate:
            self._rollout.counts.candidate.count([self])
        if self._is_compared(output_data):
            self._own = output_data
            if self._other:
                asyncio.get_running_loop().call_soon(self._compare)

    def fail(self, error: Exception) -> None:
        """See AnswerableCall."""
        self._rollout.counts.copies -= 1
        self.ended = perf_counter()
        self.error = as_gateway_error(error, self.run_id.encode()).code
        if not self._is_candidate:
            return
        if self.error is ErrorCode.DEADLINE_EXCEEDED:  # which may be shorter than a caller's
            self._rollout.counts.candidate.leave(self)
        else:
            self._rollout.counts.candidate.count([self])

    def fail_recorded(self, error: GatewayError) -> None:
        """See DeploymentCall; a copy leaves no run."""
        self.fail(error)

    def _is_compared(self, output_data: bytes) -> bool:
        compares = self._rollout.live.tolerance is not None
        return compares and len(output_data) <= _MAX_COMPARED_BYTES

    def _compare(self) -> None:
        live, candidate = (
            (self._other, self._own) if self._is_candidate else (self._own, self._other)
        )
        self._own = self._other = b""
        tolerance = self._rollout.live.tolerance
        assert tolerance is not None
        self._rollout.counts.compare(find_difference(live, candidate, tolerance))
