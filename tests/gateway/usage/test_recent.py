"""What lists of deployments show of their usage."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import event

from tests.gateway.in_process_gateway import DEPLOYMENTS
from tests.gateway.usage.usage_scenario import UsageScenario

pytestmark = pytest.mark.databases("sqlite", "postgresql")


async def test_the_calls_of_a_day_are_added_up_for_each_deployment(
    scenario: UsageScenario,
) -> None:
    await scenario.count(scenario.iris, times=3)
    await scenario.count(scenario.iris, ago=timedelta(hours=2), error="invalid_input")
    await scenario.count(scenario.iris, ago=timedelta(hours=25), times=7)
    await scenario.count(scenario.iris, ago=timedelta(hours=1), version=2, times=2)
    listed = (await scenario.user.get(DEPLOYMENTS)).json()["items"]
    wine, iris = sorted(listed, key=lambda each: int(each["calls_24h"]))
    assert (iris["calls_24h"], iris["errors_24h"]) == (6, 1)
    hours = iris["calls_by_hour"]
    assert (len(hours), sum(hours)) == (25, 6)
    assert hours[-4:] == [0, 1, 2, 3]
    assert wine["calls_by_hour"] == [0] * 25
    assert iris["p95_seconds"] == pytest.approx(0.001, rel=0.04)
    assert iris["last_call_at"] is not None
    assert (wine["calls_24h"], wine["errors_24h"], wine["p95_seconds"]) == (0, 0, None)
    assert wine["last_call_at"] is None


async def test_a_list_asks_the_database_as_often_for_many_as_for_one(
    scenario: UsageScenario,
) -> None:
    await scenario.count(scenario.iris, times=3)
    await scenario.count(scenario.wine, times=3)
    statements: list[str] = []
    engine = scenario.in_process_gateway.db._engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *seen: statements.append(seen[2]))
    await scenario.user.get(DEPLOYMENTS, params={"limit": 1})
    of_one = len(statements)
    await scenario.user.get(DEPLOYMENTS, params={"limit": 2})
    assert len(statements) == 2 * of_one
