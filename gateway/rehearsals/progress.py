"""What is rehearsed, and how far it is. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from gateway.rehearsals.comparison import MAX_CHARACTERS, ValueDifference


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """A run of a deployment whose input was kept."""

    id: str
    error_code: str | None
    """Of what it answered; None: `output_data`."""


# Any: JSON, as it is stored
@dataclass(slots=True, kw_only=True)
class Progress:
    """The results of a rehearsal until now. Bounded by the number of its runs."""

    total: int
    equal: int = 0
    differing: int = 0
    different: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)

    @property
    def done(self) -> int:
        """The runs that are compared, or failed."""
        return self.equal + self.differing + len(self.failed)

    def compared(
        self, run_id: str, test_run_id: str, differences: Sequence[ValueDifference]
    ) -> None:
        """Add a comparison; without `differences` the answers are equal."""
        if not differences:
            self.equal += 1
            return
        self.differing += 1
        ids = {"run_id": run_id, "test_run_id": test_run_id}
        self.different += [ids | asdict(difference) for difference in differences]

    def settle_error(self, run: RecordedRun, test_run_id: str | None, code: str, text: str) -> None:
        """Add a test without an answer; it is equal to a run with the same error."""
        if run.error_code == code:
            self.equal += 1
            return
        ids = {"run_id": run.id, "test_run_id": test_run_id}
        self.failed.append(ids | {"code": code, "detail": text[:MAX_CHARACTERS]})
