"""The wire format of rehearsals."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from gateway.rehearsals.store import FoundRehearsal

MAX_RUNS = 50
DEFAULT_RUNS = 20


class RehearseIn(BaseModel):
    """What to rehearse on."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"last": 20}]},
    )

    last: Annotated[int, Field(ge=1, le=MAX_RUNS)] = DEFAULT_RUNS
    """Of the deployment's last finished runs, so many whose input was kept."""
    allow_requests: bool = False
    """Whether nodes that may call other systems do so again, once for each run."""


class RehearsalState(StrEnum):
    """Whether a rehearsal goes on."""

    RUNNING = "running"
    COMPLETED = "completed"
    """All runs are compared, or failed."""
    STOPPED = "stopped"
    """It was cancelled, or the process that conducted it has ended: some runs are not compared."""


class RehearsalDifference(BaseModel):
    """A place where the draft answers something else than a run did. Few are told of one run."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    run_id: str
    """Id of the run whose input was taken."""
    test_run_id: str
    """The run of the draft."""
    pointer: str
    """Within `output_data` (RFC 6901); empty: all of it."""
    live: str | None
    """What the run answered there, as JSON that may be cut, and then ends with `…`; of a failed
    run, its error; null: nothing."""
    draft: str | None
    """What the draft answers."""


class RehearsalFailure(BaseModel):
    """A run whose input the draft does not answer."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    run_id: str
    """Id of the run whose input was taken."""
    test_run_id: str | None
    """null: the input was refused, so that there is no run of the draft."""
    code: str
    """The stable name of the reason, such as `invalid_input` or `flow_failed`."""
    detail: str
    """What happened, for people."""


class RehearsalOut(BaseModel):
    """What the draft answers to recorded inputs, as far as it is known."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """Id of the rehearsal, which a conflict names as `rehearsal_id`."""
    deployment_id: str
    """Id of the deployment, as its routes take it."""
    state: RehearsalState
    """`running`; `completed`: all runs are compared, or failed; `stopped`: it was cancelled, or its
    process has ended."""
    created_at: datetime
    """When it was created (UTC)."""
    finished_at: datetime | None
    """When it ended (UTC); null: it has not, or its process was lost."""
    drafted_at: datetime
    """When the draft was saved that is rehearsed."""
    total: int
    """Runs; fewer than asked for if fewer have kept their input."""
    done: int
    """Runs that are compared, or failed."""
    equal: int
    """Runs that the draft answers in the same way."""
    differing: int
    """Runs with entries in `different`."""
    different: list[RehearsalDifference]
    """Where the answers differ, up to five places of each run."""
    failed: list[RehearsalFailure]
    """The inputs that the draft refuses or fails on."""

    @classmethod
    def of(cls, found: FoundRehearsal) -> Self:
        """Return the rehearsal as it is sent."""
        row = found.row
        plain = (
            *("id", "deployment_id", "created_at", "finished_at", "drafted_at"),
            *("total", "done", "equal", "differing"),
        )
        return cls(
            **{name: getattr(row, name) for name in plain},
            state=_state(found),
            different=row.results["different"],
            failed=row.results["failed"],
        )


class RehearsalList(BaseModel):
    """The rehearsals of a deployment that are kept: the last one, for a day."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[RehearsalOut]
    """The last rehearsal; empty: there was none in the last day."""

    @classmethod
    def of(cls, found: Sequence[FoundRehearsal]) -> Self:
        """Return the rehearsals as they are sent."""
        return cls(items=[RehearsalOut.of(each) for each in found])


def _state(found: FoundRehearsal) -> RehearsalState:
    if found.row.finished_at is not None and found.row.done == found.row.total:
        return RehearsalState.COMPLETED
    return RehearsalState.RUNNING if found.is_running else RehearsalState.STOPPED
