"""SQL statements about runs known by id, built once so that SQLAlchemy compiles them once.

Times are the database's (`seconds_from_now`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

import sqlalchemy as sa

from gateway.runs.rows import DRAFTS, EVENTS, LABELS, PAYLOADS, RUNS
from gateway.runs.run import FailureCode, RunStatus
from gateway.runs.storage_usage import counted_bytes
from gateway.storage.quota_tables import INSTALLATION
from gateway.storage.sql import (
    dialect_insert,
    filter_by_list,
    in_list,
    json_rows,
    seconds_from_now,
    sql_literal,
)
from gateway.storage.tables import ApiKey, Deployment


def is_in(status: RunStatus) -> sa.ColumnElement[bool]:
    """Return the condition that a run is in `status`, as a literal.

    Partial indexes are used only if the query repeats their condition without a parameter.
    """
    return RUNS.c.status == sql_literal(status)


def is_now(status: RunStatus) -> sa.ColumnElement[bool]:
    """Return the same condition in a form that no index matches, for runs known by id.

    Otherwise a plan cached while the partial index was empty would scan that index later, when ten
    thousand runs are queued.
    """
    return RUNS.c.status.concat(sql_literal("")) == sql_literal(status)


_DEPLOYMENTS = cast("sa.Table", Deployment.__table__)
_KEYS = cast("sa.Table", ApiKey.__table__)
_QUEUED, _RUNNING = is_now(RunStatus.QUEUED), is_now(RunStatus.RUNNING)
_THIS = RUNS.c.id == sa.bindparam("run_id")
_LEASE_END = seconds_from_now(sa.bindparam("lease_seconds", type_=sa.Float()))
_WITH_MORE_BYTES = RUNS.c.stored_bytes + sa.bindparam("more_bytes", type_=sa.BigInteger())
_NO_LEASE = {"lease_owner": sa.null(), "lease_until": sa.null()}

INSERT = sa.insert(RUNS).values(
    created_at=seconds_from_now(),
    due_at=seconds_from_now(sa.bindparam("due_seconds", type_=sa.Float())),
    queue_until=seconds_from_now(sa.bindparam("queue_seconds", type_=sa.Float())),
    lease_until=_LEASE_END,
    started_at=seconds_from_now(sa.bindparam("start_seconds", type_=sa.Float())),
)
"""A new run, queued or running; inapplicable seconds are None."""

INSERT_PAYLOAD = sa.insert(PAYLOADS)
INSERT_DRAFT = sa.insert(DRAFTS)
DRAFT = sa.select(DRAFTS.c.draft).where(DRAFTS.c.run_id == sa.bindparam("run_id"))

_LABEL: dict[str, sa.types.TypeEngine[Any]] = {
    "run_id": sa.String(),
    "key": sa.String(),
    "value": sa.String(),
}


@cache
def insert_labels(dialect: str) -> sa.Executable:
    """Return the statement that writes `labels`, of runs that this transaction has written.

    `run_ids` are those runs. Existing labels are not changed.
    """
    label = json_rows("labels", dialect, _LABEL).c
    # the list for the same reason as in `finish_several`
    found = sa.select(
        RUNS.c.id, RUNS.c.created_at, RUNS.c.profile_id, label.key, label.value
    ).where(in_list(RUNS.c.id, "run_ids"), RUNS.c.id == label.run_id)
    columns = ["id", "created_at", "profile_id", "key", "value"]
    return dialect_insert(LABELS, dialect).from_select(columns, found).on_conflict_do_nothing()


FIND_BY_KEYS = (
    sa.select(RUNS)
    .where(
        in_list(RUNS.c.idempotency_key, "idempotency_keys"),
        filter_by_list(RUNS.c.deployment_id, "deployment_ids"),
        RUNS.c.fingerprint.is_not(None),
    )
    .add_columns(
        (
            RUNS.c.created_at < seconds_from_now(sa.bindparam("kept_seconds", type_=sa.Float()))
        ).label("old")
    )
)
"""The runs of idempotency keys, and whether the retention of the key has passed."""

RELEASE_KEYS = sa.update(RUNS).where(in_list(RUNS.c.id, "run_ids")).values(fingerprint=sa.null())

_THESE = in_list(RUNS.c.id, "run_ids")


def _claim(which: sa.ColumnElement[bool]) -> sa.Executable:
    return (
        sa.update(RUNS)
        .where(
            which,
            _QUEUED,
            RUNS.c.attempt < RUNS.c.max_attempts,
            sa.or_(RUNS.c.queue_until.is_(None), RUNS.c.queue_until > seconds_from_now()),
        )
        .values(
            status=sql_literal(RunStatus.RUNNING),
            attempt=RUNS.c.attempt + 1,
            lease_owner=sa.bindparam("owner"),
            lease_until=_LEASE_END,
            started_at=seconds_from_now(),
        )
        .returning(RUNS)
    )


# A run alone has statements of its own, here and below: on PostgreSQL, those with a list took 0.3
# to 0.6 ms longer for it.
CLAIM, CLAIM_SEVERAL = _claim(_THIS), _claim(_THESE)
CLAIM_AGAIN = (
    sa.update(RUNS)
    .where(_THIS, _RUNNING, RUNS.c.lease_owner == sa.bindparam("owner"))
    .values(lease_until=_LEASE_END)
    .returning(RUNS)
)
"""Of a process that does not know whether its claim was committed."""

INPUT = sa.select(PAYLOADS.c.input).where(PAYLOADS.c.run_id == sa.bindparam("run_id"))
_CLAIMED_INPUTS = sa.select(
    RUNS.c.id,
    PAYLOADS.c.input,
    counted_bytes(RUNS.c.profile_id).label("user"),
    counted_bytes(sql_literal(INSTALLATION)).label("installation"),
).join(PAYLOADS, PAYLOADS.c.run_id == RUNS.c.id)
"""With what is stored of the runs' users and of all, as of some seconds ago."""
CLAIMED_INPUT, CLAIMED_INPUTS = _CLAIMED_INPUTS.where(_THIS), _CLAIMED_INPUTS.where(_THESE)

_ATTEMPT = RUNS.c.id.concat(sql_literal(" ")).concat(sa.cast(RUNS.c.attempt, sa.String()))
IS_HELD = sa.and_(_THESE, _RUNNING, in_list(_ATTEMPT, "held"))
"""The runs that a process holds, by (run id, attempt): the attempt is the fencing token."""

RENEW_LEASES = (
    sa.update(RUNS)
    .where(IS_HELD)
    .values(lease_until=_LEASE_END)
    .returning(RUNS.c.id, RUNS.c.cancel_requested)
)
"""Renews all leases of a process."""

HELD_STATUS = sa.select(RUNS.c.id, RUNS.c.cancel_requested).where(IS_HELD)

_ENDING: dict[str, sa.types.TypeEngine[Any]] = {
    "run_id": sa.String(),
    "attempt": sa.Integer(),
    "status": sa.String(),
    "duration_seconds": sa.Float(),
    "boot_seconds": sa.Float(),
    "error_code": sa.String(),
    "error_message": sa.String(),
    "error_node": sa.String(),
    "more_bytes": sa.BigInteger(),
}


def _finish(
    which: sa.ColumnElement[bool], ending: Mapping[str, sa.ColumnElement[Any]]
) -> sa.Executable:
    result = ("status", "duration_seconds", "boot_seconds")
    error = ("error_code", "error_message", "error_node")
    return (
        sa.update(RUNS)
        .where(which, RUNS.c.attempt == ending["attempt"], _RUNNING)
        .values(
            {name: ending[name] for name in (*result, *error)}
            | {"finished_at": seconds_from_now()}
            | {"stored_bytes": RUNS.c.stored_bytes + ending["more_bytes"]}
            | _NO_LEASE
        )
        .returning(RUNS)
    )


# SQLAlchemy keeps the names of columns for itself.
FINISH = _finish(
    _THIS, {name: sa.bindparam(f"new_{name}", type_=type_) for name, type_ in _ENDING.items()}
)
"""Ends the run `run_id`; the other values are those of `rows.ending_values`, as `new_…`."""


def finish_several(dialect: str) -> sa.Executable:
    """Return the statement that ends the runs `run_ids`; `endings` are their `ending_values`."""
    ending = json_rows("endings", dialect, _ENDING).c
    # without the list, PostgreSQL would read the whole table for a hundred runs
    which = sa.and_(_THESE, RUNS.c.id == ending.run_id)
    return _finish(which, {name: ending[name] for name in _ENDING})


SET_OUTPUT = (
    sa.update(PAYLOADS)
    .where(PAYLOADS.c.run_id == sa.bindparam("of_run"))
    .values(output=sa.bindparam("came_out"), node_outputs=sa.bindparam("of_nodes"))
)

LOCK = sa.select(RUNS).where(_THIS).with_for_update()
"""Locks a run until the end of the transaction."""

CANCEL = (
    sa.update(RUNS)
    .where(_THIS, RUNS.c.finished_at.is_(None))
    .values(
        cancel_requested=sa.true(),
        cancel_requested_at=sa.func.coalesce(RUNS.c.cancel_requested_at, seconds_from_now()),
        status=sa.case((_QUEUED, sql_literal(RunStatus.CANCELLED)), else_=RUNS.c.status),
        finished_at=sa.case((_QUEUED, seconds_from_now())),
        error_code=sa.case((_QUEUED, sql_literal(FailureCode.CANCELLED))),
        error_message=sa.case((_QUEUED, sql_literal("the run was cancelled before it started"))),
    )
    .returning(RUNS)
)
"""Ends a queued run; requests the cancellation of a running one."""

TIME_OUT = (
    sa.update(RUNS)
    .where(_THIS, RUNS.c.finished_at.is_(None))
    .values(
        status=sql_literal(RunStatus.FAILED),
        error_code=sql_literal(FailureCode.TIMEOUT),
        error_message=sa.bindparam("failed_because"),
        finished_at=seconds_from_now(),
        **_NO_LEASE,
    )
    .returning(RUNS)
)
"""Ends a run for its caller: the executor loses its lease and stops."""

WITHDRAW = (
    sa.delete(RUNS).where(_THIS, _QUEUED, RUNS.c.attempt == 0).returning(RUNS.c.id, RUNS.c.labels)
)
WITHDRAW_PAYLOAD = sa.delete(PAYLOADS).where(PAYLOADS.c.run_id == sa.bindparam("run_id"))

WITHDRAW_LABELS = sa.delete(LABELS).where(LABELS.c.id == sa.bindparam("run_id"))

COUNT_EVENTS = (
    sa.update(RUNS)
    .where(_THIS, RUNS.c.attempt == sa.bindparam("held_attempt"), _RUNNING)
    .values(
        event_count=RUNS.c.event_count + sa.bindparam("more_events", type_=sa.Integer()),
        stored_bytes=_WITH_MORE_BYTES,
    )
    .returning(RUNS.c.event_count)
)
"""Allocates numbers for events; returns no row if the lease is lost."""

INSERT_EVENTS = sa.insert(EVENTS)
EVENTS_AFTER = (
    sa.select(EVENTS.c.number, EVENTS.c.node_id, EVENTS.c.attempt, EVENTS.c.data)
    .where(EVENTS.c.run_id == sa.bindparam("run_id"), EVENTS.c.number > sa.bindparam("after"))
    .order_by(EVENTS.c.number)
)

NAMES = sa.union_all(
    sa.select(_DEPLOYMENTS.c.id, _DEPLOYMENTS.c.name).where(
        in_list(_DEPLOYMENTS.c.id, "deployment_ids")
    ),
    sa.select(_KEYS.c.id, _KEYS.c.name).where(in_list(_KEYS.c.id, "key_ids")),
)
"""The names of deployments, deleted ones included, and of API keys."""

_WITH_OUTPUT = sa.select(RUNS, PAYLOADS.c.output, PAYLOADS.c.node_outputs).select_from(
    RUNS.outerjoin(PAYLOADS, PAYLOADS.c.run_id == RUNS.c.id)
)
GET = _WITH_OUTPUT.where(_THIS)
ENDED = _WITH_OUTPUT.where(in_list(RUNS.c.id, "run_ids"), RUNS.c.finished_at.is_not(None))
MARKS = sa.select(
    RUNS.c.id, RUNS.c.status, RUNS.c.cancel_requested, RUNS.c.attempt, RUNS.c.event_count
).where(in_list(RUNS.c.id, "run_ids"))
