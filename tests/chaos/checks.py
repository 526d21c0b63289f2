"""The guarantees, checked against the final state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass

from gateway.runs.run import FailureCode
from tests.chaos.audit import Row
from tests.chaos.call_log import TERMINAL, Call, CallLog, Gap, Json

LEASE_SECONDS = 10.0
MAX_OVERDUE_SECONDS = 20.0
MAX_GAP_SECONDS = 15.0

INFRASTRUCTURE = frozenset(
    {"worker_lost", "queue_timeout", "inference_unavailable", "cancelled_by_shutdown"}
)
"""Error codes after which the same key creates a new run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One guarantee."""

    promise: str
    broken: Sequence[str]
    """Each violation; empty if the guarantee holds."""
    of: int
    """The number of cases."""

    @property
    def kept(self) -> bool:
        """Whether there were cases and none violated it."""
        return self.of > 0 and not self.broken


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalState:
    """The state after all runs have ended."""

    rows: dict[str, Row]
    """Every run, from the database."""
    by_key: dict[str, list[Json]]
    """By key: the runs that REST lists, for keys whose caller was disconnected."""
    replays: dict[str, Json]
    """By key: the response to a final repetition of the call."""
    shown: dict[str, Json]
    """By run, what a poll shows now, for runs whose terminal state a caller has seen."""
    ended_twice: Sequence[str]
    max_overdue: float
    longest_gaps: dict[str, Gap]
    """By pair: without a success, and without the end of a run of a hostile caller."""
    open_in_gap: dict[str, list[str]]
    """By pair whose gap is too long: the runs that were open in it, for people."""
    longest_gaps_of_callers: dict[str, Gap]
    """By pair: without a success, whatever else the installation worked on."""
    counted: dict[str, int]
    """By path: the number of requests that flows sent to the counter."""
    webhooks: dict[str, set[str]]
    """By run: the statuses that webhooks reported."""
    with_webhooks: Set[str]
    """The ids of deployments with a webhook."""


def checks(call_log: CallLog, after: FinalState) -> list[Check]:
    """Return the result of every check."""
    run_ids = call_log.returned_run_ids()
    reported = [
        (run_id, row)
        for run_id, row in after.rows.items()
        if row.deployment_id in after.with_webhooks and row.status in {"completed", "failed"}
    ]
    return [
        Check(
            promise="no accepted run is lost",
            broken=[*call_log.lost, *(run_id for run_id in run_ids if run_id not in after.rows)],
            of=len(run_ids),
        ),
        Check(
            promise="every accepted run ends",
            broken=[run_id for run_id, row in after.rows.items() if row.status not in TERMINAL],
            of=len(after.rows),
        ),
        Check(promise="no run ends twice", broken=after.ended_twice, of=len(after.rows)),
        Check(
            promise="a terminal state that a caller saw is final",
            broken=[*_changed(call_log, after)],
            of=sum(call.final is not None for call in call_log.calls),
        ),
        Check(
            promise=f"none is running {MAX_OVERDUE_SECONDS:g} s past its lease",
            broken=[f"{after.max_overdue:.1f} s"] * (after.max_overdue > MAX_OVERDUE_SECONDS),
            of=len(after.rows),
        ),
        Check(
            promise="every answer is JSON, every error has its message",
            broken=call_log.not_json,
            of=sum(call_log.answers.values()),
        ),
        Check(
            promise="after a dropped connection the same key brings the same run",
            broken=[
                call.key for call in disconnected_calls(call_log) if not _same_run(call, after)
            ],
            of=len(disconnected_calls(call_log)),
        ),
        Check(
            promise="every end of a run is reported by a webhook",
            broken=[
                run_id
                for run_id, row in reported
                if row.status not in after.webhooks.get(run_id, ())
            ],
            of=len(reported),
        ),
        Check(
            promise=f"no mode and type is without success for {MAX_GAP_SECONDS:g} s beside outages",
            broken=[
                f"{pair}: {gap.seconds:.1f} s, {gap.since:.0f} s after the first call"
                for pair, gap in after.longest_gaps.items()
                if gap.seconds > MAX_GAP_SECONDS
            ],
            of=len(after.longest_gaps),
        ),
        Check(
            promise="no run of a second takes its timeout of a minute",
            broken=[run_id for run_id, row in reported if row.error_code == FailureCode.TIMEOUT],
            of=len(reported),
        ),
        Check(
            promise="what completed has really been done",
            broken=[
                call.key
                for call in call_log.calls
                if call.final
                and call.final["status"] == "completed"
                and not after.counted.get(f"/{call.key}")
            ],
            of=len(after.counted),
        ),
    ]


def disconnected_calls(call_log: CallLog) -> list[Call]:
    """Return the calls whose connection broke at least once."""
    return [call for call in call_log.calls if call.dropped]


def final_statuses(after: FinalState) -> Counter[str]:
    """Return how runs ended."""
    return Counter(row.status for row in after.rows.values())


def retried_runs(after: FinalState) -> int:
    """Return how many runs took more than one attempt."""
    return sum(row.attempt > 1 for row in after.rows.values())


_FINAL = ("status", "output_data")


def _changed(call_log: CallLog, after: FinalState) -> list[str]:
    changed = []
    for call in call_log.calls:
        if call.final is None:
            continue
        run_id = call.final["flow_run_id"]
        shown = after.shown.get(run_id, {})
        seen, now = ([each.get(name) for name in _FINAL] for each in (call.final, shown))
        if seen != now:
            changed.append(f"{run_id}: {seen}, now {now}")
    return changed


def _same_run(call: Call, after: FinalState) -> bool:
    """Whether the key returns its only run, leaving out those with infrastructure errors."""
    listed = {run["flow_run_id"] for run in after.by_key.get(call.key, [])}
    counting = {run_id for run_id in {*listed, *call.run_ids} if not _is_superseded(run_id, after)}
    return counting == {after.replays.get(call.key, {}).get("flow_run_id")}


def _is_superseded(run_id: str, after: FinalState) -> bool:
    row = after.rows.get(run_id)
    return row is not None and row.error_code in INFRASTRUCTURE
