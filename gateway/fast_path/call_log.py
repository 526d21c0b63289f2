"""The lines that answered calls of deployments leave in the log, where the settings ask for them.

A line says which call it was, how long it took and how it was answered. It has the id of the key,
never the key, and nothing of the input or the output.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic

from gateway.deployments.settings import ExecutionMode
from gateway.fast_path.call_record import DeploymentCallRecord
from gateway.ids import is_id, request_id_of
from gateway.metrics import STAGES
from telemetry.logs import logger

MAX_LINES = 1000
"""Of one process in a second."""
_WINDOW_SECONDS = 1.0


class CallLog:
    """Logs calls that failed, and those that took `min_seconds` or longer. For one event loop.

    Of more than MAX_LINES in a second, the rest is counted in the line `calls_not_logged`.
    """

    def __init__(self, min_seconds: float) -> None:
        self._min_seconds = min_seconds
        self._log = logger("gateway.calls")
        self._window_ends = 0.0
        self._lines = 0
        self._omitted = 0

    def take(self, calls: Sequence[DeploymentCallRecord]) -> None:
        """Log those of these answered calls that are to be logged."""
        for call in calls:
            if not call.is_request:
                continue
            if call.error is not None or call.ended - call.began >= self._min_seconds:
                self._take(call)

    def _take(self, call: DeploymentCallRecord) -> None:
        now = monotonic()
        if now >= self._window_ends:
            self._window_ends = now + _WINDOW_SECONDS
            self._lines = 0
        if self._lines < MAX_LINES:
            self._lines += 1
            self._write(call)
            return
        if not self._omitted:
            asyncio.get_running_loop().call_later(self._window_ends - now, self._report_omitted)
        self._omitted += 1

    def _report_omitted(self) -> None:
        omitted, self._omitted = self._omitted, 0
        self._window_ends = 0.0  # the loop's timers may be early by a millisecond
        self._log.warning("calls_not_logged", count=omitted, lines_per_second=MAX_LINES)

    def _write(self, call: DeploymentCallRecord) -> None:
        seconds = call.ended - call.began
        is_slow = 0.0 < self._min_seconds <= seconds
        write = self._log.warning if call.error is not None or is_slow else self._log.info
        fields: dict[str, object] = {
            "request_id": request_id_of(call.headers, call.run_id).decode()
        }
        route = call.route
        if route is None:  # refused before it was known what it calls
            named = call.named_deployment
            if is_id(named):
                fields["deployment"] = named
        else:
            deployment = route.deployment
            fields["deployment"] = deployment.id
            fields["version"] = deployment.version
            fields["mode"] = deployment.mode.value
            if route.identity.key_id is not None:
                fields["key_id"] = route.identity.key_id
        fields["status"] = call.status
        if call.error is not None:
            fields["code"] = call.error.value
        fields["seconds"] = round(seconds, 6)
        if len(call.stages) == len(STAGES):
            stages = zip(STAGES, call.stages, strict=True)
            fields["phases"] = {stage: round(took * 1e3, 3) for stage, took in stages}
        if call.trace is not None and call.trace.sampled:
            fields["trace_id"] = call.trace.trace_id_text
        if _has_run(call):
            fields["run_id"] = call.run_id
        write("call", **fields)


def _has_run(call: DeploymentCallRecord) -> bool:
    """Whether a run was made of a call, as far as its record tells."""
    if call.route is None:
        return False
    if call.route.deployment.mode is not ExecutionMode.FAST:
        return True
    is_completed = call.error is None and len(call.stages) == len(STAGES)
    return call.is_failed_run or (is_completed and not call.may_be_sampled)
