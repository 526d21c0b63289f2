"""Steps of the sweep: a database that answers slowly counts as one that was away."""

from __future__ import annotations

import asyncio

import pytest

from gateway.execution import sweeper


@pytest.mark.parametrize(("seconds", "answers_well"), [(0.0, True), (0.2, False)])
async def test_a_slow_step_counts_as_a_failure_of_the_database(
    seconds: float, answers_well: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "_SLOW_SECONDS", 0.1)
    step = sweeper._PeriodicTask(lambda: asyncio.sleep(seconds), 60.0)
    assert await step.run_if_due() is answers_well
    assert await step.run_if_due() is True, "it is not due again"
