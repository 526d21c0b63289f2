"""The watched deployments of all users in one process, and the reports of their calls."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter

from gateway.call_watches.reports import CallReport, build_report
from gateway.call_watches.service import WatchService
from gateway.errors import GatewayError
from gateway.fast_path.call_record import DeploymentCallRecord
from gateway.fast_path.replies import server_timing
from gateway.storage.background_step import BackgroundStep
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.changes import ChangeKind
from gateway.storage.clock import now
from gateway.web.problems import Headers

_MAX_PENDING = 200
"""Reports that wait to be written; more calls than these are not reported."""
_MIN_SECONDS = 1.0


@dataclass(slots=True)
class _Note:
    """What only the call itself knew of its answer."""

    message: str = ""
    timing: str = ""


class DeploymentWatches:
    """See `gateway.fast_path.call_watches.CallWatches`. For one event loop.

    Until a deployment is watched, it asks the database nothing, and costs a call nothing.
    """

    def __init__(self, service: WatchService, feed: ChangeFeed) -> None:
        self.deployments: set[str] = set()
        """The ids of watched deployments."""
        self._service = service
        self._left: dict[str, int] = {}
        self._notes: dict[DeploymentCallRecord, _Note] = {}
        self._pending: deque[CallReport] = deque()
        self._load_step = BackgroundStep("call watches", self._load)
        self._write_step = BackgroundStep("call reports", self._write)
        feed.subscribe(ChangeKind.CALL_WATCH, lambda _: self._load_step.wake())

    def start(self) -> None:
        """Begin to follow the watches, and to write reports."""
        self._load_step.start()
        self._write_step.start()

    async def close(self) -> None:
        """Stop; a report that is being written has a moment to be."""
        await asyncio.gather(self._load_step.stop(), self._write_step.stop())

    async def begin(self, profile_id: str, deployment_id: str, seconds: int) -> None:
        """Watch a deployment, in this process from now on; raise as `WatchService.begin`."""
        await self._service.begin(profile_id, deployment_id, seconds)
        await self._load()

    # calls

    def note_timing(self, call: DeploymentCallRecord, headers: Headers) -> None:
        """See CallWatches."""
        if note := self._note(call):
            parts = [value.decode("latin-1") for name, value in headers if name == b"server-timing"]
            note.timing = ", ".join(parts)

    def note_refusal(self, call: DeploymentCallRecord, error: GatewayError) -> None:
        """See CallWatches."""
        if note := self._note(call):
            note.message = error.message

    def take(self, calls: Sequence[DeploymentCallRecord]) -> None:
        """See CallWatches."""
        for call in calls:
            if not call.is_request:
                continue
            deployment_id = _deployment_of(call)
            if deployment_id not in self.deployments:
                continue
            note = self._notes.pop(call, None) or _Note()
            self._enqueue(
                build_report(
                    deployment_id,
                    call.headers,
                    at=now() - timedelta(seconds=perf_counter() - call.ended),
                    status=call.status,
                    code=None if call.error is None else call.error.value,
                    message=note.message,
                    address=call.client_address,
                    server_timing=server_timing(call.stages, call.ended - call.began, note.timing),
                )
            )

    def take_other(
        self,
        deployment_id: str,
        headers: Mapping[bytes, bytes],
        *,
        status: int,
        code: str | None,
        message: str,
        address: str,
    ) -> None:
        """Report a request for a watched deployment that was no call, such as a GET."""
        self._enqueue(
            build_report(
                deployment_id,
                headers,
                at=now(),
                status=status,
                code=code,
                message=message,
                address=address,
                server_timing="",
            )
        )

    def _note(self, call: DeploymentCallRecord) -> _Note | None:
        """Return the note of a call whose deployment is watched.

        It is kept beside the call: most calls have none, and calls have room for few attributes.
        """
        if not call.is_request or _deployment_of(call) not in self.deployments:
            return None
        if len(self._notes) > _MAX_PENDING:
            self._notes.clear()
        return self._notes.setdefault(call, _Note())

    def _enqueue(self, report: CallReport) -> None:
        left = self._left.get(report.deployment_id, 0) - 1
        self._left[report.deployment_id] = left
        if left <= 0:
            self.deployments.discard(report.deployment_id)
        if len(self._pending) < _MAX_PENDING:
            self._pending.append(report)
            self._write_step.wake()

    async def _write(self) -> None:
        while self._pending:
            report = self._pending.popleft()
            if not await self._service.report(report):
                self.deployments.discard(report.deployment_id)

    async def _load(self) -> float | None:
        """Read which deployments are watched; return the seconds until the first watch ends."""
        rows = await self._service.active()
        self._left = {row.deployment_id: row.until_number - row.last_number for row in rows}
        self.deployments = set(self._left)
        if not rows:
            self._notes.clear()
        first = min((row.expires_at for row in rows), default=None)
        left = None if first is None else (first - now()).total_seconds()
        return None if left is None else max(_MIN_SECONDS, left)


def _deployment_of(call: DeploymentCallRecord) -> str:
    """Return what a call is for: its deployment, or what the path of a refused one names."""
    return call.named_deployment if call.route is None else call.route.deployment.id
