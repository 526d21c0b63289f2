"""Rows of runs: who may begin one, who holds it, and how it ended.

A run is claimed by compare-and-set, and whoever writes to it afterwards names the attempt that the
claim has given: a process that was believed dead writes nothing any more. Times that are compared
are the database's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.runs import rows
from gateway.runs import statements as sql
from gateway.runs.audit_events import record_run_cancelled, record_run_retried
from gateway.runs.concurrency_limit import check_concurrency_limits
from gateway.runs.idempotency import KEPT_SECONDS, ended_by_infrastructure, key_reused_error
from gateway.runs.new_runs import RunInsert, build_insert, insert_runs
from gateway.runs.outbox import NoOutbox, Outbox
from gateway.runs.reading import RunQueries, read_run
from gateway.runs.run import (
    Claim,
    CreatedRun,
    FinishedRun,
    LeaseStatus,
    NewRun,
    Run,
    RunResult,
)
from gateway.runs.run_notifier import RunNotifier
from gateway.runs.sweeps import SweepQueries
from gateway.storage.batch_writer import BatchWriter
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.sql import advisory_lock, dialect_insert

LEASE_SECONDS = 30.0
"""How long a process is believed to be alive after it was last heard of."""


class RunStore(SweepQueries, RunQueries):
    """The runs of an installation; each call is one transaction. For one event loop.

    `notifier` tells of every run that ends or changes here, after that; `outbox` hears of each that
    begins or ends in the same transaction.
    """

    def __init__(self, db: Database, *, outbox: Outbox | None = None) -> None:
        super().__init__(db, RunNotifier(db.commits), outbox or NoOutbox())
        self._births = BatchWriter[RunInsert](self._write_births)
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
        """Write a run down, queued; with `owner` as begun, and claimed by that.

        With `audited`, the trail tells of it as a run that was repeated.

        Where its idempotency key stands for a run already, that one is returned, whatever became
        of it, and nothing is written. Times in the answer are this process's, not the row's.

        Raises:
            GatewayError: PAYLOAD_TOO_LARGE; IDEMPOTENCY_KEY_REUSED where the key stands for a run
                with another body; TOO_MANY_RUNS where a cap does not let it begin.
        """
        birth = build_insert(new, owner, lease_seconds)
        if audited or (new.caps and new.idempotency is None):
            await self._create_alone(new, birth, audited=audited)
        elif new.idempotency is None:
            await self._births.put(birth)
        else:
            existing = await self._create_once(new, birth)
            if existing is not None:
                return CreatedRun(run=existing, existing=True)
        began = now()
        return CreatedRun(
            run=rows.new_run(new, now=began, started=owner is not None),
            existing=False,
            claim=None if owner is None else rows.initial_claim(new, now=began),
        )

    async def record_finished(self, batch: Sequence[FinishedRun]) -> None:
        """Write down runs that are over already; those that are there stay as they are."""
        payloads = [rows.finished_payload(finished) for finished in batch]
        kept = [payload for payload in payloads if any(list(payload.values())[1:])]
        async with self._db.write(notify=False) as session:
            values = [rows.finished_values(finished) for finished in batch]
            if values:
                await session.execute(self._record, values)
            if kept:
                await session.execute(self._record_payload, kept)
            runs = [rows.finished_run(finished) for finished in batch]
            await self._outbox.started(session, runs)
            await self._outbox.ended(session, runs)

    async def claim(
        self, run_id: str, owner: str, lease_seconds: float = LEASE_SECONDS
    ) -> Claim | None:
        """Begin with a queued run; None where it is not (any more), or may not begin.

        Of several that claim the same run at once, one gets it.
        """
        values = {"run_id": run_id, "owner": owner, "lease_seconds": lease_seconds}
        async with self._db.write(notify=False) as session:
            row = (await session.execute(sql.CLAIM, values)).one_or_none()
            if row is None:
                return None
            found = (await session.execute(sql.INPUT, {"run_id": run_id})).scalar_one_or_none()
            await self._outbox.started(session, [rows.run_from_row(row)])
        self.notifier.changed(run_id)
        return rows.claim_from_row(row, found)

    async def renew_leases(
        self, held: Sequence[tuple[str, int]], lease_seconds: float = LEASE_SECONDS
    ) -> LeaseStatus:
        """Say that the process lives which holds these runs, as (id, attempt): one statement."""
        values = {**rows.held_params(held), "lease_seconds": lease_seconds}
        async with self._db.write(notify=False) as session:
            found = (await session.execute(sql.RENEW_LEASES, values)).all()
        return rows.lease_status(held, found)

    async def finish(self, run_id: str, attempt: int, ending: RunResult) -> Run | None:
        """End a run; None where that is too late, and what was to be written is dropped.

        Too late it is where the run has ended already, or was given to somebody else.
        """
        kept = rows.enforce_size_limits(ending)
        error = rows.error_values(kept.error)
        values = {
            "run_id": run_id,
            "held_attempt": attempt,
            "ended_as": kept.status,
            "took_seconds": kept.duration_seconds,
            "booted_seconds": kept.boot_seconds,
            "failed_with": error["error_code"],
            "failed_because": error["error_message"],
            "failed_at": error["error_node"],
        }
        output, nodes = kept.output_data, kept.node_outputs
        async with self._db.write(notify=False) as session:
            row = (await session.execute(sql.FINISH, values)).one_or_none()
            if row is None:
                return None
            if output is not None or nodes is not None:
                out = {"of_run": run_id, "came_out": output, "of_nodes": nodes}
                await session.execute(sql.SET_OUTPUT, out)
            run = rows.run_from_row(row, output_data=output, node_outputs=nodes)
            await self._outbox.ended(session, [run])
        self.notifier.ended(run)
        return run

    async def request_cancel(self, run_id: str, *, audited: bool = False) -> Run | None:
        """End a queued run, and have a running one stopped; None where it has ended already.

        With `audited`, the trail tells of it.
        """
        this = {"run_id": run_id}
        async with self._db.write(notify=False) as session:
            before = (await session.execute(sql.LOCK, this)).one_or_none() if audited else None
            row = (await session.execute(sql.CANCEL, this)).one_or_none()
            if row is None:
                return None
            run = rows.run_from_row(row)
            if run.ended:
                await self._outbox.ended(session, [run])
            if before is not None:
                await record_run_cancelled(session, rows.run_from_row(before), run)
        if run.ended:
            self.notifier.ended(run)
        else:
            self.notifier.changed(run_id)
        return run

    async def time_out(self, run_id: str, seconds: float) -> Run | None:
        """End a run whose caller has waited for `seconds`; None where it has ended already.

        Who executes it hears at its next beat that the run is lost, and stops.
        """
        message = f"the run had not ended after {seconds:g} s"
        values = {"run_id": run_id, "failed_because": message}
        async with self._db.write(notify=False) as session:
            row = (await session.execute(sql.TIME_OUT, values)).one_or_none()
            if row is None:
                return None
            run = rows.run_from_row(row)
            await self._outbox.ended(session, [run])
        self.notifier.ended(run)
        return run

    async def withdraw(self, run_id: str) -> bool:
        """Take back a run that nobody has begun, as if it had never been; False: too late."""
        async with self._db.write(notify=False) as session:
            found = (await session.execute(sql.WITHDRAW, {"run_id": run_id})).one_or_none()
            if found is not None:
                await session.execute(sql.WITHDRAW_PAYLOAD, {"run_id": run_id})
        if found is None:
            return False
        self.notifier.gone(run_id)
        return True

    async def report(self, run_id: str, attempt: int, nodes: Mapping[str, bytes]) -> bool:
        """Tell of nodes that have finished while the run goes on; False: it is not held any more.

        `nodes` are entries of `node_outputs` as JSON, by node id. For runs that take long: a run
        that ends tells of all its nodes anyway.
        """
        counted = {"run_id": run_id, "held_attempt": attempt, "more_events": len(nodes)}
        async with self._db.write(notify=False) as session:
            last = (await session.execute(sql.COUNT_EVENTS, counted)).scalar_one_or_none()
            if last is None:
                return False
            first = last - len(nodes) + 1
            events = [
                {"run_id": run_id, "number": number, "node_id": node_id, "data": data}
                for number, (node_id, data) in enumerate(nodes.items(), first)
            ]
            await session.execute(sql.INSERT_EVENTS, events)
        self.notifier.changed(run_id)
        return True

    async def _create_once(self, new: NewRun, birth: RunInsert) -> Run | None:
        """Write a run with an idempotency key, unless that stands for one: then return that."""
        idempotency = new.idempotency
        assert idempotency is not None
        place = (new.profile_id, new.deployment_id, idempotency.key)
        values = dict(zip(("profile_id", "deployment_id", "idempotency_key"), place, strict=True))
        async with self._db.write(notify=False) as session:
            await advisory_lock(session, " ".join(("run", *place)))
            holders = await session.execute(
                sql.FIND_BY_KEY, {**values, "kept_seconds": -KEPT_SECONDS}
            )
            holder = holders.one_or_none()
            if holder is not None:
                run = rows.run_from_row(holder)
                if not (run.ended and holder.old):
                    if holder.fingerprint != idempotency.fingerprint:
                        raise key_reused_error(idempotency.key, run)
                    if not ended_by_infrastructure(run):
                        return await read_run(session, run.id) or run
                await session.execute(sql.RELEASE_KEY, {"run_id": run.id})
            await check_concurrency_limits(session, new.caps)
            await insert_runs(session, [birth], self._outbox)
        return None

    async def _create_alone(self, new: NewRun, birth: RunInsert, *, audited: bool) -> None:
        async with self._db.write(notify=False) as session:
            await check_concurrency_limits(session, new.caps)
            await insert_runs(session, [birth], self._outbox)
            if audited:
                await record_run_retried(session, new)

    async def _write_births(self, births: Sequence[RunInsert]) -> None:
        async with self._db.write(notify=False) as session:
            await insert_runs(session, births, self._outbox)
