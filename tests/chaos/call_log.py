"""What callers were told, and what they asked for: the account that the rows are held against."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

# Any is JSON here
Json = dict[str, Any]

TERMINAL = frozenset({"completed", "failed", "cancelled"})


@dataclass(slots=True, kw_only=True)
class Call:
    """One thing that a caller wanted, however many tries that took."""

    pair: str
    deployment: str
    key: str
    """Its Idempotency-Key, the same for every try."""
    body: Json
    run_ids: list[str] = field(default_factory=list)
    """Every flow_run_id that it was told, in order."""
    dropped: int = 0
    """Tries whose connection broke, or never came to be."""
    final: Json | None = None
    """The terminal state that it saw."""


@dataclass(slots=True)
class CallLog:
    """All calls, and what came back, counted."""

    calls: list[Call] = field(default_factory=list)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By pair and answer: a status and a code, or what became of the connection."""
    not_json: list[str] = field(default_factory=list)
    """Answers that were no JSON, or had no message to go with their error."""
    lost: list[str] = field(default_factory=list)
    """Runs that were accepted, and were not there when they were asked for."""

    def open(self, pair: str, deployment: str, key: str, body: Json) -> Call:
        """Note a new call."""
        call = Call(pair=pair, deployment=deployment, key=key, body=body)
        self.calls.append(call)
        return call

    def answered(self, pair: str, answer: str) -> None:
        """Count an answer."""
        self.answers[pair, answer] += 1

    def told(self) -> set[str]:
        """Return the id of every run that a caller received, except those of fast calls."""
        return {run_id for call in self.calls for run_id in call.run_ids}
