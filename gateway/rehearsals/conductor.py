"""Conducts one rehearsal: tests of the draft, a few at a time, and comparisons of their answers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from gateway.auth.identity import Identity
from gateway.body_parsing.parser import LARGE_BODY_BYTES, BodyParser
from gateway.drafts.flow_tests import FlowTester, PreparedDraft
from gateway.errors import GatewayError
from gateway.rehearsals import store
from gateway.rehearsals.comparison import ValueDifference, cut_text, find_differences
from gateway.rehearsals.progress import Progress, RecordedRun
from gateway.runs.run import Run, RunStatus
from gateway.runs.store import RunStore
from gateway.storage.database import Database
from protos.errors import ErrorCode

_LOOK_SECONDS = 0.2
"""Between two looks at the tests."""
_SAVE_SECONDS = 5.0
"""After which the lease is renewed although nothing has changed."""
_PATIENCE_SECONDS = 60.0
"""For which a test is tried again that a limit refuses, since the last one that it let through."""
_COMPARE_SECONDS = 20.0
_LIMITS = frozenset({ErrorCode.TOO_MANY_RUNS, ErrorCode.RATE_LIMITED, ErrorCode.OVERLOADED})
_ENDED = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalPlan:
    """What is rehearsed."""

    rehearsal_id: str
    actor: Identity
    draft: PreparedDraft
    runs: Sequence[RecordedRun]
    timeout_seconds: float
    """Of each test."""
    null_non_finite: bool
    """Whether the deployment answers null in place of NaN and infinities."""


class Conductor:
    """Looks at its tests again and again. Its state is written after each look that changes it."""

    def __init__(
        self,
        db: Database,
        runs: RunStore,
        tester: FlowTester,
        parser: BodyParser,
        plan: RehearsalPlan,
        *,
        at_once: int,
    ) -> None:
        """`at_once` is the number of tests that are not finished."""
        self._db = db
        self._runs = runs
        self._tester = tester
        self._parser = parser
        self._plan = plan
        self._at_once = at_once
        self._progress = Progress(total=len(plan.runs))
        self._waiting = deque(plan.runs)
        self._started: dict[str, RecordedRun] = {}
        """By the id of the test."""
        self._stopping = asyncio.Event()
        self._next_start = 0.0
        self._patient_until = monotonic() + _PATIENCE_SECONDS
        self._saved_at = monotonic()

    @property
    def rehearsal_id(self) -> str:
        """What it conducts."""
        return self._plan.rehearsal_id

    def stop(self) -> None:
        """Have it end as soon as it can. It is not cancelled: that would break a connection."""
        self._stopping.set()

    async def conduct(self) -> bool:
        """Return True when all runs are compared.

        False: it was stopped, cancelled or replaced. Its tests that go on are cancelled.
        """
        is_complete = False
        try:
            is_complete = await self._compare_all()
        finally:
            if not is_complete:
                for test_id in self._started:
                    await self._runs.request_cancel(test_id, audited=False)
        return is_complete

    async def _compare_all(self) -> bool:
        while not self._stopping.is_set():
            before = self._progress.done
            await self._start_tests()
            await self._compare_ended()
            is_last = not self._waiting and not self._started
            is_due = monotonic() >= self._saved_at + _SAVE_SECONDS
            has_changed = self._progress.done > before
            if (has_changed or is_due) and not await self._save(finished=is_last):
                return False
            if is_last:
                return True
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._stopping.wait()
        return False

    async def _start_tests(self) -> None:
        while self._waiting and len(self._started) < self._at_once:
            if monotonic() < self._next_start:
                return
            run = self._waiting[0]
            try:
                test = await self._start(run)
            except GatewayError as error:
                if error.code in _LIMITS and monotonic() < self._patient_until:
                    self._next_start = monotonic() + (error.retry_after or 1.0)
                    return
                self._waiting.popleft()
                self._progress.settle_error(run, None, error.code.value, error.message)
            else:
                self._waiting.popleft()
                self._started[test.id] = run
                self._patient_until = monotonic() + _PATIENCE_SECONDS

    async def _start(self, run: RecordedRun) -> Run:
        input_data = await self._runs.input_of(run.id)
        if input_data is None:
            raise GatewayError(ErrorCode.GONE, f"run '{run.id}' was deleted meanwhile")
        plan = self._plan
        return await self._tester.start_recorded(
            plan.actor, plan.draft, input_data, timeout_seconds=plan.timeout_seconds
        )

    async def _compare_ended(self) -> None:
        marks = await self._runs.marks(list(self._started)) if self._started else {}
        for test_id in list(self._started):
            mark = marks.get(test_id)
            if mark is None or mark.status in _ENDED:
                run = self._started.pop(test_id)
                try:
                    await self._compare(run, test_id)
                except GatewayError as error:
                    self._progress.settle_error(run, test_id, error.code.value, error.message)

    async def _compare(self, run: RecordedRun, test_id: str) -> None:
        live, test = await self._runs.get(run.id), await self._runs.get(test_id)
        if live is None or test is None:
            raise GatewayError(ErrorCode.GONE, "the run or its test was deleted meanwhile")
        if test.error is not None:
            self._progress.settle_error(run, test.id, test.error.code, test.error.message)
            return
        self._progress.compared(run.id, test.id, await self._differences(live, test))

    async def _differences(self, live_run: Run, test: Run) -> list[ValueDifference]:
        live, draft = live_run.output_data or b"null", test.output_data or b"null"
        if live_run.error is not None:
            error = f'{{"error":"{live_run.error.code}"}}'
            return [ValueDifference(pointer="", live=error, draft=cut_text(draft.decode()))]
        nulls = self._plan.null_non_finite
        if len(live) + len(draft) <= LARGE_BODY_BYTES:
            return find_differences(live, draft, nulls)
        profile_id, deadline = self._plan.actor.profile_id, monotonic() + _COMPARE_SECONDS
        return await self._parser.run(profile_id, deadline, find_differences, live, draft, nulls)

    async def _save(self, *, finished: bool) -> bool:
        self._saved_at = monotonic()
        async with self._db.write() as session:
            return await store.save(
                session, self._plan.rehearsal_id, self._progress, finished=finished
            )
