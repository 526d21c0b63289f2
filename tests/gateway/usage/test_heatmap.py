"""The heat map of calls by time and duration, compared with calls that were counted by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from gateway.storage.clock import now
from gateway.usage.compaction import Compaction
from gateway.usage.store import UsageStore, midnight
from tests.gateway.in_process_gateway import InProcessGateway
from tests.gateway.usage.calls import LAPTOP, PHONE
from tests.gateway.usage.usage_scenario import UsageScenario

pytestmark = pytest.mark.databases("sqlite", "postgresql")

HEATMAP = "/node/usage/heatmap/"

# Any, here and below: JSON
Json = dict[str, Any]


async def heatmap(scenario: UsageScenario, **parameters: str) -> Json:
    """Return the heat map of the scenario's user."""
    answer = await scenario.user.get(HEATMAP, params=parameters)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    assert len(found["counts"]) == len(found["times"]) - 1
    assert all(len(row) == max(len(found["bounds_seconds"]) - 1, 0) for row in found["counts"])
    return found


def cells(found: Json) -> dict[tuple[datetime, float, float], int]:
    """Return the calls of each cell that has some, by its time and the bounds of its row."""
    bounds = found["bounds_seconds"]
    return {
        (datetime.fromisoformat(time), bounds[row], bounds[row + 1]): calls
        for time, column in zip(found["times"], found["counts"], strict=False)
        for row, calls in enumerate(column)
        if calls
    }


def calls_in(found: Json) -> int:
    """Return all calls."""
    return sum(map(sum, found["counts"]))


async def test_each_call_is_in_the_cell_of_its_time_and_duration(scenario: UsageScenario) -> None:
    day = midnight(now())
    at = day - timedelta(hours=10)
    for moment, seconds, times in (
        (at, 0.001, 3),
        (at + timedelta(minutes=59), 0.00105, 2),
        (at + timedelta(minutes=59), 0.003, 4),
        (at + timedelta(hours=2), 0.003, 1),
    ):
        await scenario.count(scenario.iris, ago=since(moment), seconds=seconds, times=times)
    await scenario.count(
        scenario.wine, ago=since(at + timedelta(hours=2)), seconds=0.003, error="overloaded"
    )
    found = await heatmap(
        scenario, **{"from": (at + timedelta(minutes=5)).isoformat(), "to": day.isoformat()}
    )
    # From a power of two on, 2^-10 and 2^-9 s, eight rows of equal length each.
    first, second = 2**-10, 2**-9
    assert cells(found) == {
        (at, first, first * 9 / 8): 5,
        (at, second * 12 / 8, second * 13 / 8): 4,
        (at + timedelta(hours=2), second * 12 / 8, second * 13 / 8): 2,
    }
    assert [datetime.fromisoformat(time) for time in found["times"]] == [
        at + timedelta(hours=hours) for hours in range(11)
    ]
    minutes = {"from": at.isoformat(), "to": (at + timedelta(hours=1)).isoformat()}
    found = await heatmap(scenario, step="minute", **minutes)
    assert len(found["counts"]) == 60
    assert {time: calls for (time, *_), calls in cells(found).items()} == {
        at: 3,
        at + timedelta(minutes=59): 4,
    }
    assert calls_in(found) == 9


async def test_filters_narrow_the_heat_map(scenario: UsageScenario) -> None:
    await scenario.count(scenario.iris, times=2, key=PHONE)
    await scenario.count(scenario.iris, times=3, key=LAPTOP, version=2)
    await scenario.count(scenario.wine, times=4, key=LAPTOP)
    assert calls_in(await heatmap(scenario)) == 9
    assert calls_in(await heatmap(scenario, deployment=scenario.iris.upper())) == 5
    assert calls_in(await heatmap(scenario, deployment=scenario.iris, version="2")) == 3
    assert calls_in(await heatmap(scenario, key=LAPTOP)) == 7
    assert [item["calls"] for item in await scenario.ask(version="2", by="all")] == [3]
    empty = await heatmap(scenario, version="3")
    assert empty["bounds_seconds"] == []
    assert empty["counts"] == [[]] * (len(empty["times"]) - 1)


async def test_a_compacted_day_is_one_column(
    scenario: UsageScenario, in_process_gateway: InProcessGateway
) -> None:
    day = midnight(now()) - timedelta(days=3)
    for hours in (1, 5, 26):
        await scenario.count(scenario.iris, ago=since(day + timedelta(hours=hours)))
    store = UsageStore(in_process_gateway.db)
    await Compaction(store, minute_hours=48, days=400).compact(day + timedelta(days=1))
    # As in the midst of a compaction, a minute of the day is left.
    await scenario.count(scenario.iris, ago=since(day + timedelta(hours=20)))
    begin, end = day + timedelta(hours=4), day + timedelta(hours=28)
    found = await heatmap(scenario, **{"from": begin.isoformat(), "to": end.isoformat()})
    times = [datetime.fromisoformat(time) for time in found["times"]]
    assert times == [day] + [day + timedelta(hours=hours) for hours in range(24, 29)]
    assert [sum(column) for column in found["counts"]] == [3, 0, 0, 1, 0]
    days = await heatmap(scenario, step="day", **{"from": day.isoformat(), "to": end.isoformat()})
    assert [sum(column) for column in days["counts"]] == [3, 1]


async def test_the_number_of_cells_is_limited(scenario: UsageScenario) -> None:
    for seconds in (1e-6, 1e-3, 1.0, 1e5):
        await scenario.count(scenario.iris, seconds=seconds)
    found = await heatmap(scenario)
    assert calls_in(found) == 4
    assert len(found["bounds_seconds"]) <= 42
    answer = await scenario.user.get(HEATMAP, params={"step": "minute"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert "at most 500 columns, minute gives 144" in answer.json()["message"]
    until = (now() - timedelta(days=1)).isoformat()
    for wrong, status in (
        ({"step": "none"}, 422),
        ({"version": "0"}, 422),
        ({"from": now().isoformat(), "to": until}, 400),
    ):
        assert (await scenario.user.get(HEATMAP, params=wrong)).status_code == status


async def test_only_own_and_covered_deployments_are_counted(
    scenario: UsageScenario, in_process_gateway: InProcessGateway
) -> None:
    await scenario.count(scenario.iris)
    await scenario.count(scenario.wine, times=2)
    bob = await in_process_gateway.user("bob@example.com")
    for query in ({}, {"deployment": scenario.iris}):
        assert calls_in((await bob.get(HEATMAP, params=query)).json()) == 0
    body = {"name": "some", "deployments": [scenario.wine]}
    made = (await scenario.user.post("/node/api-keys/", json=body)).json()
    some = in_process_gateway.client({"x-api-key": made["key"]})
    assert calls_in((await some.get(HEATMAP)).json()) == 2
    assert (await in_process_gateway.client({}).get(HEATMAP)).status_code == 401


@pytest.mark.parametrize("step", ["minute", "hour", "day"])
async def test_columns_without_a_call_are_there(scenario: UsageScenario, step: str) -> None:
    await scenario.count(scenario.iris, times=2)
    begin = now() - timedelta(hours=2)
    found = await heatmap(scenario, step=step, **{"from": begin.isoformat()})
    times = [datetime.fromisoformat(time) for time in found["times"]]
    lengths = {after - before for before, after in pairwise(times)}
    assert len(lengths) == 1
    assert times[0] <= begin
    assert times[-1] >= now() - timedelta(minutes=1)
    assert calls_in(found) == 2


def since(moment: datetime) -> timedelta:
    """Return how long ago a whole minute was, for `UsageScenario.count`."""
    return now().replace(second=0, microsecond=0) - moment
