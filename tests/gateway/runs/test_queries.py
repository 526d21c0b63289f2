"""Lists of runs, and the query plans of all statements."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from gateway.deployments.settings import DeploymentType, ExecutionMode, RunsOnDelete
from gateway.ids import own_request_id
from gateway.runs import queries
from gateway.runs.cleanup import DeletedOwnerCleanup
from gateway.runs.queries import RunFilter
from gateway.runs.run import RunStatus
from gateway.runs.store import RunStore
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.paging import PageRequest
from tests.gateway.runs.builders import (
    COMPLETED,
    DEPLOYMENT,
    FLOW,
    PROFILE,
    claimed,
    failed,
    finished,
    keyed,
    new_run,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")

OTHER = "99999999-9999-4999-8999-999999999999"
ALL = RunFilter(profile_id=PROFILE)


async def listed(store: RunStore, **narrowed: Any) -> list[str]:
    """Return the ids of the first page: Any, the fields of RunFilter."""
    page = await store.page(replace(ALL, **narrowed), PageRequest())
    return [run.id for run in page.items]


async def test_pages_are_complete_while_runs_are_created_and_end(store: RunStore) -> None:
    await store.record_finished([finished(timedelta(seconds=n)) for n in range(10)])
    first = await store.page(ALL, PageRequest(limit=4))
    for _ in range(3):
        await claimed(store)
    second = await store.page(ALL, PageRequest(limit=4, cursor=first.next_cursor))
    claim = await claimed(store)
    await store.finish(claim.run_id, claim.attempt, COMPLETED)
    third = await store.page(ALL, PageRequest(limit=4, cursor=second.next_cursor))
    runs = [*first.items, *second.items, *third.items]
    assert [len(page.items) for page in (first, second, third)] == [4, 4, 2]
    assert third.next_cursor is None
    assert len({run.id for run in runs}) == 10
    assert runs == sorted(runs, key=lambda run: run.created_at, reverse=True)
    assert all(run.output_data is None for run in runs)


async def test_filters_select_runs(store: RunStore) -> None:
    waiting = new_run(version=2, key_id=OTHER)
    other = new_run(deployment_id=OTHER, request_id=own_request_id(waiting.id))
    keeping = new_run(idempotency=keyed("abc"), request_id="given")
    for new in (waiting, other, keeping, new_run(profile_id=OTHER)):
        await store.create(new)
    done, bad = await claimed(store), await claimed(store)
    await store.finish(done.run_id, 1, COMPLETED)
    await store.finish(bad.run_id, 1, failed())
    old = finished(timedelta(hours=2))
    await store.record_finished([old])
    everything = {waiting.id, other.id, keeping.id, done.run_id, bad.run_id, old.new.id}
    assert set(await listed(store)) == everything
    assert set(await listed(store, deployment_id=OTHER.upper())) == {other.id}
    assert set(await listed(store, deployments=[OTHER])) == {other.id}
    assert await listed(store, deployments=[]) == []
    assert set(await listed(store, status=RunStatus.QUEUED)) == {waiting.id, other.id, keeping.id}
    assert set(await listed(store, status=RunStatus.FAILED)) == {bad.run_id}
    assert set(await listed(store, status=RunStatus.COMPLETED)) == {done.run_id, old.new.id}
    narrow = {"status": RunStatus.QUEUED, "deployment_id": DEPLOYMENT}
    assert set(await listed(store, **narrow)) == {waiting.id, keeping.id}
    assert set(await listed(store, version=2)) == {waiting.id}
    assert set(await listed(store, key_id=OTHER)) == {waiting.id}
    assert set(await listed(store, flow_id=FLOW.upper())) == everything
    assert await listed(store, flow_id=OTHER) == []
    assert set(await listed(store, idempotency_key="abc")) == {keeping.id}
    hour_ago = now() - timedelta(hours=1)
    assert set(await listed(store, before=hour_ago)) == {old.new.id}
    assert set(await listed(store, since=hour_ago)) == everything - {old.new.id}
    assert await listed(store, deployment_id="no id \x00") == []
    assert set(await listed(store, code="flow_failed")) == {bad.run_id}
    assert set(await listed(store, code="flow_failed", deployment_id=DEPLOYMENT)) == {bad.run_id}
    assert await listed(store, code="flow_failed", status=RunStatus.COMPLETED) == []
    assert await listed(store, code="timeout") == []
    assert await listed(store, request_id="given") == [keeping.id]
    assert set(await listed(store, request_id=own_request_id(waiting.id))) == {waiting.id, other.id}
    assert await listed(store, request_id=own_request_id(keeping.id)) == []
    assert set(await listed(store, mode=ExecutionMode.FAST)) == {old.new.id}
    assert set(await listed(store, min_seconds=0.2)) == {done.run_id, old.new.id}
    assert set(await listed(store, min_seconds=0.2, mode=ExecutionMode.ASYNC)) == {done.run_id}


async def test_a_page_ends_where_few_of_many_runs_match(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cost does not grow with the runs that do not match; the next page goes on."""
    monkeypatch.setattr(queries, "MAX_EXAMINED", 4)
    calls = [finished(timedelta(minutes=at)) for at in range(10)]
    slow = replace(COMPLETED, duration_seconds=9.0)
    calls += [finished(timedelta(minutes=at), slow) for at in (5.5, 11)]
    await store.record_finished(calls)
    wanted = replace(ALL, min_seconds=5.0)
    pages, cursor = [], None
    while True:
        page = await store.page(wanted, PageRequest(limit=3, cursor=cursor))
        pages.append([run.id for run in page.items])
        cursor = page.next_cursor
        if cursor is None:
            break
    assert pages == [[], [calls[10].new.id], [calls[11].new.id], []]


# The cost of a hundred thousand finished runs depends on the index that a query uses. Plans show it
# without a clock.

Act = Callable[[RunStore], Awaitable[object]]
UNKNOWN = "00000000-0000-7000-8000-000000000000"
SQLITES = {"pk_runs": "sqlite_autoindex_runs_1", "pk_run_events": "sqlite_autoindex_run_events_1"}
# The expected index; either of two with few rows is fine.
PLANS: list[tuple[str, str, Act]] = [
    ("claim", "pk_runs", lambda store: store.claim(UNKNOWN, "w")),
    ("beat", "pk_runs", lambda store: store.renew_leases([(UNKNOWN, 1)])),
    ("glance", "pk_runs", lambda store: store.poll_cancelled([(UNKNOWN, 1)])),
    ("finish", "pk_runs", lambda store: store.finish(UNKNOWN, 1, COMPLETED)),
    ("cancel", "pk_runs", lambda store: store.request_cancel(UNKNOWN)),
    ("poll", "pk_runs", lambda store: store.get(UNKNOWN)),
    ("wait", "pk_runs", lambda store: store.ended([UNKNOWN])),
    ("follow", "pk_runs", lambda store: store.marks([UNKNOWN])),
    ("events", "pk_run_events", lambda store: store.events(UNKNOWN)),
    ("due", "ix_runs_due", lambda store: store.due_for_publishing(DeploymentType.API)),
    (
        "due in a mode",
        "ix_runs_due",
        lambda store: store.due_for_publishing(DeploymentType.API, ExecutionMode.ASYNC),
    ),
    ("reap", "ix_runs_lease", lambda store: store.reap()),
    ("owners", "ix_runs_lease", lambda store: store.lease_owners()),
    ("orphaned", "ix_runs_lease", lambda store: store.reap(ended_owners=["w"])),
    ("backlog", "ix_runs_due", lambda store: store.backlog()),
    ("expire", "ix_runs_queue_until ix_runs_due", lambda store: store.expire_queued()),
    ("prune", "pk_runs", lambda store: store.prune(now() - timedelta(days=400))),
    (
        "end of one",
        "ix_runs_deployment_status_page ix_runs_due",
        lambda store: DeletedOwnerCleanup(store._db, store).cancel_runs(
            UNKNOWN, RunsOnDelete.CANCEL
        ),
    ),
    (
        "end of a user's",
        "ix_runs_status_page ix_runs_due",
        lambda store: DeletedOwnerCleanup(store._db, store).cancel_runs_of_user(UNKNOWN),
    ),
    ("orphans", "ix_runs_due", lambda store: DeletedOwnerCleanup(store._db, store).sweep()),
    ("list", "ix_runs_page", listed),
    ("of one", "ix_runs_deployment_page", lambda store: listed(store, deployment_id=OTHER)),
    ("failed", "ix_runs_status_page", lambda store: listed(store, status=RunStatus.FAILED)),
    (
        "failed of one",
        "ix_runs_deployment_status_page ix_runs_status_page",
        lambda store: listed(store, status=RunStatus.FAILED, deployment_id=DEPLOYMENT),
    ),
    ("with a code", "ix_runs_code_page", lambda store: listed(store, code="worker_lost")),
    (
        "with a code, of one",
        "ix_runs_deployment_code_page ix_runs_code_page",
        lambda store: listed(store, code="worker_lost", deployment_id=DEPLOYMENT),
    ),
    ("of a mode", "ix_runs_page", lambda store: listed(store, mode=ExecutionMode.SYNC)),
    ("of a flow", "ix_runs_page", lambda store: listed(store, flow_id=OTHER)),
    ("slow", "ix_runs_page", lambda store: listed(store, min_seconds=60.0)),
    (
        "slow, of one",
        "ix_runs_deployment_page",
        lambda store: listed(store, min_seconds=60.0, deployment_id=OTHER),
    ),
    ("by key", "uq_runs_idempotency", lambda store: listed(store, idempotency_key="k")),
    ("with a label", "ix_run_labels_page", lambda store: listed(store, labels=[("order", "7")])),
    (
        "with two labels, of one",
        "ix_run_labels_page",
        lambda store: listed(
            store,
            labels=[("team", "growth"), ("order", "7")],
            deployment_id=DEPLOYMENT,
            status=RunStatus.FAILED,
            code="flow_failed",
        ),
    ),
    ("of a request", "ix_runs_request_page", lambda store: listed(store, request_id="given")),
    (
        "of a request without an id of its client's",
        "pk_runs",
        lambda store: listed(store, request_id=own_request_id(UNKNOWN)),
    ),
    ("once", "uq_runs_idempotency", lambda store: store.create(new_run(idempotency=keyed()))),
]


async def asked(db: Database, act: Awaitable[object], *verbs: str) -> list[tuple[str, Any]]:
    """Return the statements and parameters (Any: the driver's format) executed by `act`.

    Those that begin with `verbs`; without these, all but inserts.
    """
    found: list[tuple[str, Any]] = []

    def note(*call: Any) -> None:  # Any: connection, cursor, statement, parameters and more
        if (
            call[2].startswith(verbs or ("SELECT", "UPDATE", "DELETE"))
            and "advisory" not in call[2]
        ):
            found.append((call[2], call[3]))

    event.listen(db._engine.sync_engine, "before_cursor_execute", note)
    try:
        await act
    finally:
        event.remove(db._engine.sync_engine, "before_cursor_execute", note)
    return found


async def plan_of(db: Database, statement: str, parameters: Any) -> str:
    """Return the query plan of a statement: Any, the driver's parameters."""
    explain = "EXPLAIN QUERY PLAN " if db.dialect == "sqlite" else "EXPLAIN "
    async with db.read() as session:
        connection = await session.connection()
        rows = await connection.exec_driver_sql(explain + statement, parameters)
        return "\n".join(str(row[-1]) for row in rows)


@pytest.fixture(params=["analysed", "as it is"])
async def crowded(request: pytest.FixtureRequest, database: Database, store: RunStore) -> RunStore:
    """A store with thousands of finished runs, with and without database statistics."""
    if database.dialect == "postgresql":
        async with database.write() as session:  # else its statistics may be of half the rows
            await session.execute(text("ALTER TABLE runs SET (autovacuum_enabled = false)"))
    for part in range(6):
        age = timedelta(hours=part)
        ending = failed() if part == 0 else COMPLETED
        labels = {"team": "growth", "order": str(part)}
        calls = [finished(age, ending) for _ in range(900)]
        calls += [finished(age, ending, labels=labels) for _ in range(100)]
        await store.record_finished(calls)
    claim = await claimed(store)
    await store.report(claim.run_id, 1, {f"node {n}": b"{}" for n in range(2000)})
    await store.finish(claim.run_id, 1, COMPLETED)
    if request.param == "analysed":
        async with database.write() as session:
            await session.execute(text("ANALYZE"))
    return store


async def test_query_plans_do_not_visit_finished_runs_and_counts_read_partial_indexes(
    database: Database, crowded: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As few of these as it is of millions.
    monkeypatch.setattr(queries, "MAX_EXAMINED", 100)
    for name, index, act in PLANS:
        plans = [await plan_of(database, *one) for one in await asked(database, act(crowded))]
        assert plans, name
        known = {one for word in index.split() for one in (word, SQLITES.get(word, word))}
        assert any(one in plan for one in known for plan in plans), name + "".join(plans)
        for plan in plans:
            assert "Seq Scan on runs" not in plan, (name, plan)
            assert "SCAN runs" not in plan.replace("SCAN runs USING", ""), (name, plan)
    await asyncio.gather(*(crowded.create(new_run()) for _ in range(3)))
    plans = [await plan_of(database, *one) for one in await asked(database, crowded.counts())]
    partial = ("ix_runs_due", "ix_runs_lease", "ix_runs_queue_until", "status_page")
    assert sum(plans[0].count(index) for index in partial) == 2, plans
    assert "Seq Scan" not in plans[0]
