"""The guarantees, checked against the messages received."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from gateway.webhooks.dispatcher import DispatcherOptions
from tests.chaos.checks import Check
from tests.torture.log import MessageKind
from tests.torture.torture_run import TortureResult

_MAX_IN_FLIGHT = DispatcherOptions(schedule=()).concurrency


def checks(outcome: TortureResult) -> list[Check]:
    """Return the result of every check."""
    whole = [entry for entry in outcome.entries if entry.kind is not MessageKind.TRUNCATED]
    arrived = {entry.run_id for entry in whole if entry.arrived}
    good_rows = [row for row in outcome.rows if row.path.startswith("/good/")]
    dead_rows = [row for row in outcome.rows if not row.path.startswith("/good/")]
    return [
        Check(
            promise="every event arrives at least once",
            broken=sorted(outcome.sent - arrived),
            of=len(outcome.sent),
        ),
        Check(
            promise="an event has one id over all attempts, the one in its row",
            broken=_unstable_ids(outcome),
            of=len({entry.run_id for entry in whole}),
        ),
        Check(
            promise="an event has one body",
            broken=_with_several({(entry.run_id, entry.digest) for entry in whole}),
            of=len({entry.run_id for entry in whole}),
        ),
        Check(
            promise="every message has a valid signature",
            broken=[entry.message_id for entry in whole if entry.kind is MessageKind.BAD],
            of=len(whole),
        ),
        Check(
            promise="each event has a row that is marked as delivered",
            broken=[
                *(row.run_id for row in good_rows if row.status != "delivered"),
                *(outcome.sent - {row.run_id for row in good_rows}),
            ],
            of=len(outcome.sent),
        ),
        Check(
            promise="the log has one delivering attempt per event",
            broken=["one too many or too few"]
            * abs(outcome.logged.get("delivered", 0) - len(outcome.sent)),
            of=outcome.logged.get("delivered", 0),
        ),
        Check(
            promise="events for dead receivers are kept as pending",
            broken=sorted(
                outcome.to_dead - {row.run_id for row in dead_rows if row.status == "pending"}
            ),
            of=len(outcome.to_dead),
        ),
        Check(
            promise="only events in flight at a kill arrive twice",
            broken=["one too many"]
            * max(0, count_repeated(outcome) - outcome.kills * _MAX_IN_FLIGHT),
            of=len(arrived),
        ),
        Check(
            promise="the dispatcher is killed as often as planned",
            broken=["one too many or too few"] * abs(outcome.plan.kills - outcome.kills),
            of=max(1, outcome.plan.kills),
        ),
    ]


def count_repeated(outcome: TortureResult) -> int:
    """Return the number of messages accepted more than once."""
    taken = Counter(entry.run_id for entry in outcome.entries if entry.arrived)
    return sum(times - 1 for times in taken.values())


def _unstable_ids(outcome: TortureResult) -> list[str]:
    seen = {(entry.run_id, entry.message_id) for entry in outcome.entries if entry.run_id}
    of_rows = {(row.run_id, row.message_id) for row in outcome.rows}
    return sorted({*_with_several(seen), *(run_id for run_id, _ in seen - of_rows)})


def _with_several(pairs: set[tuple[str, str]]) -> Sequence[str]:
    """Return the first elements paired with more than one second element."""
    found: dict[str, set[str]] = defaultdict(set)
    for one, other in pairs:
        found[one].add(other)
    return sorted(one for one, others in found.items() if len(others) > 1)
