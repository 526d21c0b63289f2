"""Stores runs: creation, claims, leases and results.

A run is claimed by compare-and-set, which increments its attempt number. The attempt is a fencing
token: all later writes of the executor are conditional on it, so a process that lost its lease
cannot write. All compared times are the database's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Executable, Row
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.errors import GatewayError
from gateway.runs import rows
from gateway.runs import statements as sql
from gateway.runs.audit_events import record_run_cancelled, record_run_retried
from gateway.runs.key_claims import claim_keys, find_repeated, without_same_keys
from gateway.runs.new_runs import (
    RunInsert,
    build_insert,
    check_concurrency_limits,
    insert_labels,
    insert_runs,
)
from gateway.runs.queries import RunQueries
from gateway.runs.run import (
    Claim,
    CreatedRun,
    FailureCode,
    FinishedRun,
    LeaseStatus,
    NewRun,
    Run,
    RunError,
    RunResult,
)
from gateway.runs.run_notifier import RunNotifier
from gateway.runs.storage_quota import StorageQuota
from gateway.runs.storage_usage import StoredBytes
from gateway.runs.sweep_queries import SweepQueries
from gateway.storage.batch_writer import BatchWriter
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.sql import dialect_insert
from gateway.webhooks.outbox import WebhookOutbox

LEASE_SECONDS = 10.0
"""Validity of a lease after its last renewal, of which there is one a second."""


class _Claiming(NamedTuple):
    """What `claim` is asked for."""

    run_id: str
    owner: str
    lease_seconds: float
    again: bool
    asked_at: float


class _Ending(NamedTuple):
    """The end of a run."""

    run_id: str
    attempt: int
    result: RunResult


class RunStore(SweepQueries, RunQueries):
    """The runs of an installation; each call is one transaction. For one event loop.

    `RunQueries` has the reads, `SweepQueries` the periodic maintenance. Started and ended runs are
    written to `outbox` in the same transaction, and reported to `notifier` after the commit.
    """

    def __init__(
        self,
        db: Database,
        *,
        outbox: WebhookOutbox | None = None,
        quota: StorageQuota | None = None,
    ) -> None:
        """Without `quota`, any number of bytes may be stored."""
        super().__init__(db, RunNotifier(db.commits), outbox)
        self._quota = quota
        self._inserts = BatchWriter[RunInsert, None](self._write_batch)
        self._lookups = BatchWriter[NewRun, Run | GatewayError | None](self._look_up)
        self._claims = BatchWriter[_Claiming, Claim | None](self._claim)
        self._endings = BatchWriter[_Ending, Run | None](self._end)
        self._finish_several = sql.finish_several(db.dialect)
        self._record = dialect_insert(rows.RUNS, db.dialect).on_conflict_do_nothing()
        self._record_payload = dialect_insert(rows.PAYLOADS, db.dialect).on_conflict_do_nothing()

    async def create(
        self,
        new: NewRun,
        *,
        owner: str | None = None,
        lease_seconds: float = LEASE_SECONDS,
        audited: bool = False,
    ) -> CreatedRun:
        """Create a run: queued, or with `owner` running and claimed.

        If its idempotency key belongs to an existing run, that run is returned, in whatever state,
        and nothing is written. With `audited`, the retry is written to the audit log. Times in the
        result are this process's, not the row's.

        Raises:
            GatewayError: PAYLOAD_TOO_LARGE; IDEMPOTENCY_KEY_REUSED if the key belongs to a run with
                another body; TOO_MANY_RUNS if a concurrency limit is reached;
                STORAGE_QUOTA_EXCEEDED.
        """
        asked_at = monotonic()
        insert = build_insert(new, owner, lease_seconds)
        if new.idempotency is not None:
            existing = await self._create_once(new, insert)
            if existing is not None:
                return CreatedRun(run=existing, existing=True)
        elif audited or new.test or new.concurrency_limits or not self._admits(insert):
            await self._create_alone(new, insert, audited=audited)
        else:
            await self._inserts.put(insert)
        began = now()
        return CreatedRun(
            run=rows.new_run(new, now=began, started=owner is not None),
            existing=False,
            claim=None if owner is None else rows.initial_claim(new, now=began, asked_at=asked_at),
        )

    async def record_finished(self, batch: Sequence[FinishedRun]) -> Sequence[Run | GatewayError]:
        """Insert runs that have already ended; existing ones are not changed.

        Returns for each of them the run that is stored, which is an existing one if the idempotency
        key belongs to it, or why it is not: IDEMPOTENCY_KEY_REUSED, STORAGE_QUOTA_EXCEEDED.
        """
        stored: dict[str, Run | GatewayError] = {}
        left = batch
        while left:
            these, left = without_same_keys(left)
            stored |= await self._record_finished(these)
        return [stored[finished.new.id] for finished in batch]

    async def find_repeated(self, new: NewRun) -> Run | None:
        """Return the run that `new` repeats by its idempotency key; None: it is to be executed.

        Raises:
            GatewayError: IDEMPOTENCY_KEY_REUSED.
        """
        found = await self._lookups.put(new)
        if isinstance(found, GatewayError):
            raise found
        return found

    async def claim(
        self,
        run_id: str,
        owner: str,
        lease_seconds: float = LEASE_SECONDS,
        *,
        again: bool = False,
    ) -> Claim | None:
        """Claim a queued run; return None if it is not queued or may not start.

        Of concurrent claims, exactly one succeeds. `again`: an earlier claim by `owner` failed, but
        may have been committed before the connection broke; then its result is returned.
        """
        return await self._claims.put(_Claiming(run_id, owner, lease_seconds, again, monotonic()))

    async def renew_leases(
        self, held: Sequence[tuple[str, int]], lease_seconds: float = LEASE_SECONDS
    ) -> LeaseStatus:
        """Renew the leases of the given runs, as (id, attempt), with one statement."""
        values = {**rows.held_params(held), "lease_seconds": lease_seconds}
        async with self._held_turn, self._db.write() as session:
            found = (await session.execute(sql.RENEW_LEASES, values)).all()
        return rows.lease_status(held, found)

    async def finish(self, run_id: str, attempt: int, result: RunResult) -> Run | None:
        """Write the result of a run; return None if the lease is lost, and discard the result.

        The lease is lost if the run has ended, or another process has claimed it.
        """
        ending = _Ending(run_id, attempt, rows.enforce_size_limits(result))
        return await self._endings.put(ending)

    async def request_cancel(self, run_id: str, *, audited: bool = False) -> Run | None:
        """Cancel a queued run, or request the cancellation of a running one.

        Returns None if the run has already ended. With `audited`, the cancellation is written to
        the audit log.
        """
        this = {"run_id": run_id}
        async with self._db.write() as session:
            before = (await session.execute(sql.LOCK, this)).one_or_none() if audited else None
            row = (await session.execute(sql.CANCEL, this)).one_or_none()
            if row is None:
                return None
            run = rows.run_from_row(row)
            if run.ended:
                await self._write_ended(session, [run])
            if before is not None:
                await record_run_cancelled(session, rows.run_from_row(before), run)
        if run.ended:
            self.notifier.ended(run)
        else:
            self.notifier.changed(run_id)
        return run

    async def time_out(self, run_id: str, seconds: float) -> Run | None:
        """Fail a run whose caller has waited for `seconds`; return None if it has already ended.

        Its executor learns at the next heartbeat that the lease is lost, and stops.
        """
        message = f"the run did not end within {seconds:g} s"
        values = {"run_id": run_id, "failed_because": message}
        async with self._db.write() as session:
            row = (await session.execute(sql.TIME_OUT, values)).one_or_none()
            if row is None:
                return None
            run = rows.run_from_row(row)
            await self._write_ended(session, [run])
        self.notifier.ended(run)
        return run

    async def withdraw(self, run_id: str) -> bool:
        """Delete a run that has not started; return False if it has."""
        async with self._db.write() as session:
            found = (await session.execute(sql.WITHDRAW, {"run_id": run_id})).one_or_none()
            if found is not None:
                await session.execute(sql.WITHDRAW_PAYLOAD, {"run_id": run_id})
                if found.labels is not None:
                    await session.execute(sql.WITHDRAW_LABELS, {"run_id": run_id})
        if found is None:
            return False
        self.notifier.withdrawn(run_id)
        return True

    async def report(self, run_id: str, attempt: int, nodes: Mapping[str, bytes]) -> bool:
        """Write events about finished nodes of a running run; return False if the lease is lost.

        `nodes` are entries of `node_outputs` as JSON, by node id. Only for long runs: the result of
        a run contains all its nodes.
        """
        counted = {
            "run_id": run_id,
            "held_attempt": attempt,
            "more_events": len(nodes),
            "more_bytes": sum(len(data) for data in nodes.values()),
        }
        async with self._db.write() as session:
            last = (await session.execute(sql.COUNT_EVENTS, counted)).scalar_one_or_none()
            if last is None:
                return False
            first = last - len(nodes) + 1
            events = [
                {
                    "run_id": run_id,
                    "number": number,
                    "node_id": node_id,
                    "attempt": attempt,
                    "data": data,
                }
                for number, (node_id, data) in enumerate(nodes.items(), first)
            ]
            await session.execute(sql.INSERT_EVENTS, events)
        self.notifier.changed(run_id)
        return True

    async def _claim(self, batch: Sequence[_Claiming]) -> Sequence[Claim | None]:
        """Claim runs in one transaction. Of two claims of one run, the first has it."""
        claims: dict[str, tuple[_Claiming, Row[Any]]] = {}
        async with self._queued_turn, self._db.write() as session:
            new: list[Row[Any]] = []
            for (owner, seconds), group in _by_lease(batch).items():
                lease = {"owner": owner, "lease_seconds": seconds}
                ids = list(dict.fromkeys(one.run_id for one in group))
                statement = sql.CLAIM if len(ids) == 1 else sql.CLAIM_SEVERAL
                found = (await session.execute(statement, {**_these(ids), **lease})).all()
                new += found
                claimed = {row.id: row for row in found}
                for one in group:
                    row = claimed.pop(one.run_id, None)
                    if row is None and one.again and one.run_id not in claims:
                        this = {"run_id": one.run_id, **lease}
                        row = (await session.execute(sql.CLAIM_AGAIN, this)).one_or_none()
                    if row is not None:
                        claims[one.run_id] = (one, row)
            if claims:
                ids = list(claims)
                statement = sql.CLAIMED_INPUT if len(ids) == 1 else sql.CLAIMED_INPUTS
                inputs = {row.id: row for row in await session.execute(statement, _these(ids))}
            if new:
                await self._write_started(session, [rows.run_from_row(row) for row in new])
        for run_id in claims:
            self.notifier.changed(run_id)
        return [
            self._claimed(*claims[one.run_id], inputs.get(one.run_id))
            if one.run_id in claims and claims[one.run_id][0] is one
            else None
            for one in batch
        ]

    # Any: the columns of the two statements
    def _claimed(self, asked: _Claiming, row: Row[Any], found: Row[Any] | None) -> Claim:
        if found is None:
            return rows.claim_from_row(row, None, asked_at=asked.asked_at)
        refusal = self._refusal(StoredBytes(found.user, found.installation))
        return rows.claim_from_row(row, found.input, refusal, asked_at=asked.asked_at)

    async def _end(self, batch: Sequence[_Ending]) -> Sequence[Run | None]:
        """Write the ends of runs in one transaction; None for each whose lease is lost."""
        statement, values = self._finishing([rows.ending_values(*one) for one in batch])
        async with self._held_turn, self._db.write() as session:
            found = {row.id: row for row in await session.execute(statement, values)}
            ended = [
                (ending.result, found[ending.run_id])
                for ending in batch
                if ending.run_id in found and found[ending.run_id].attempt == ending.attempt
            ]
            runs = [
                rows.run_from_row(
                    row, output_data=result.output_data, node_outputs=result.node_outputs
                )
                for result, row in ended
            ]
            outputs = [
                {"of_run": run.id, "came_out": run.output_data, "of_nodes": run.node_outputs}
                for run in runs
                if run.output_data is not None or run.node_outputs is not None
            ]
            if outputs:
                await session.execute(sql.SET_OUTPUT, outputs)
            await self._write_ended(session, runs)
        for run in runs:
            self.notifier.ended(run)
        by_id = {(run.id, run.attempt): run for run in runs}
        return [by_id.get((ending.run_id, ending.attempt)) for ending in batch]

    def _finishing(
        self, endings: Sequence[rows.RowValues]
    ) -> tuple[Executable, Mapping[str, object]]:
        ids = [ending["run_id"] for ending in endings]
        if len(endings) > 1:
            together = orjson.dumps(endings).decode()
            return self._finish_several, {**_these(ids), "endings": together}
        return sql.FINISH, {**_these(ids), **{f"new_{name}": v for name, v in endings[0].items()}}

    async def _record_finished(
        self, batch: Sequence[FinishedRun]
    ) -> Mapping[str, Run | GatewayError]:
        """Insert ended runs, whose idempotency keys differ."""
        keyed = [each.new for each in batch if each.new.idempotency is not None]
        async with self._db.write() as session:
            repeated = await claim_keys(session, keyed)
            new = [finished for finished in batch if finished.new.id not in repeated]
            refused = await self._over_quota(session, new)
            new = [finished for finished in new if finished.new.id not in refused]
            payloads = [rows.finished_payload(finished) for finished in new]
            kept = [payload for payload in payloads if any(list(payload.values())[1:])]
            if new:
                await session.execute(self._record, [rows.finished_values(each) for each in new])
            if kept:
                await session.execute(self._record_payload, kept)
            await insert_labels(session, [finished.new for finished in new])
            runs = [rows.finished_run(finished) for finished in new]
            await self._write_started(session, runs)
            await self._write_ended(session, runs)
        return {**repeated, **refused, **{run.id: run for run in runs}}

    async def _look_up(self, new: Sequence[NewRun]) -> Sequence[Run | GatewayError | None]:
        async with self._db.read() as session:
            repeated = await find_repeated(session, new)
        return [repeated.get(each.id) for each in new]

    async def _create_once(self, new: NewRun, insert: RunInsert) -> Run | None:
        """Create a run with an idempotency key, or return the existing run of that key."""
        async with self._db.write() as session:
            existing = (await claim_keys(session, [new])).get(new.id)
            if isinstance(existing, GatewayError):
                raise existing
            if existing is not None:
                return existing
            await self._insert_within_limits(session, insert)
        return None

    async def _create_alone(self, new: NewRun, insert: RunInsert, *, audited: bool) -> None:
        async with self._db.write() as session:
            await self._insert_within_limits(session, insert)
            if audited:
                await record_run_retried(session, new)

    async def _insert_within_limits(self, session: AsyncSession, insert: RunInsert) -> None:
        new = insert.new
        await check_concurrency_limits(session, new.concurrency_limits)
        if self._quota is not None and not self._admits(insert):
            await self._quota.check(session, new.profile_id, insert.stored_bytes)
        await self._insert(session, [insert])
        if new.draft is not None:
            await session.execute(sql.INSERT_DRAFT, {"run_id": new.id, "draft": new.draft})

    async def _over_quota(
        self, session: AsyncSession, batch: Sequence[FinishedRun]
    ) -> Mapping[str, GatewayError]:
        """Return the runs, by id, for which their user's quota has no room."""
        refused: dict[str, GatewayError] = {}
        if self._quota is None:
            return refused
        unadmitted: dict[str, int] = {}
        # By user, so that the locks of two batches are taken in the same order.
        for finished in sorted(batch, key=lambda each: each.new.profile_id):
            user, size = finished.new.profile_id, rows.finished_bytes(finished)
            if not size or self._quota.admit(user, size):
                continue
            size += unadmitted.get(user, 0)
            try:
                await self._quota.check(session, user, size)
            except GatewayError as error:
                refused[finished.new.id] = error
            else:
                unadmitted[user] = size
        return refused

    def _admits(self, insert: RunInsert) -> bool:
        quota = self._quota
        return quota is None or quota.admit(insert.new.profile_id, insert.stored_bytes)

    def _refusal(self, stored: StoredBytes) -> RunError | None:
        """Return why a run may not start: its result would have to be stored as well."""
        refusal = None if self._quota is None else self._quota.limits.exceeded(stored)
        if refusal is None:
            return None
        return RunError(code=FailureCode.STORAGE_QUOTA_EXCEEDED, message=refusal.message)

    async def _write_batch(self, inserts: Sequence[RunInsert]) -> Sequence[None]:
        async with self._db.write() as session:
            await self._insert(session, inserts)
        return [None] * len(inserts)

    async def _insert(self, session: AsyncSession, inserts: Sequence[RunInsert]) -> None:
        await self._write_started(session, await insert_runs(session, inserts))


def _by_lease(batch: Sequence[_Claiming]) -> Mapping[tuple[str, float], Sequence[_Claiming]]:
    """Return the claims by what they have in common: usually that is the same of all."""
    found: dict[tuple[str, float], list[_Claiming]] = defaultdict(list)
    for one in batch:
        found[one.owner, one.lease_seconds].append(one)
    return found


def _these(run_ids: Sequence[str]) -> Mapping[str, object]:
    """Return the parameters of statements about these runs, which differ for a run alone."""
    return {"run_id": run_ids[0]} if len(run_ids) == 1 else {"run_ids": run_ids}
