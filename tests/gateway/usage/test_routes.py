"""Usage over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.storage.clock import now
from tests.gateway.in_process_gateway import InProcessGateway
from tests.gateway.usage.calls import LAPTOP, PHONE
from tests.gateway.usage.usage_scenario import USAGE, UsageScenario

pytestmark = pytest.mark.databases("sqlite", "postgresql")


async def test_usage_has_calls_errors_and_percentiles_by_stage(scenario: UsageScenario) -> None:
    await scenario.count(scenario.iris, times=99, seconds=0.002)
    await scenario.count(scenario.iris, seconds=1.0, error="overloaded")
    (item,) = await scenario.ask()
    assert item["deployment_id"] == scenario.iris
    assert item["deployment_name"] == "iris"
    assert (item["version"], item["api_key_id"], item["code"]) == (None, None, None)
    assert (item["calls"], item["errors"], item["errors_by_code"]) == (100, 1, {"overloaded": 1})
    assert (item["runs"], item["run_errors"], item["run_errors_by_code"]) == (0, 0, {})
    assert item["p50_seconds"] == pytest.approx(0.002, rel=0.05)
    assert item["p99_seconds"] == pytest.approx(0.002, rel=0.05)
    assert list(item["stages"]) == ["auth", "parse", "queue", "infer", "serialise"]
    assert item["stages"]["infer"]["p95_seconds"] == pytest.approx(0.0001, rel=0.05)
    length = datetime.fromisoformat(item["to"]) - datetime.fromisoformat(item["from"])
    assert timedelta(hours=24) <= length < timedelta(hours=24, minutes=1)


async def test_usage_can_be_grouped_by_version_key_and_code(scenario: UsageScenario) -> None:
    keys = (await scenario.user.get("/node/api-keys/")).json()["items"]
    known = next(key["id"] for key in keys if key["name"] == "manager")
    await scenario.count(scenario.iris, times=2, key=known)
    await scenario.count(scenario.iris, version=2, times=3, key=PHONE)
    await scenario.count(scenario.wine, times=4, key=PHONE)
    await scenario.count(scenario.wine, key=PHONE, error="invalid_input")
    versions = await scenario.ask(by="version", deployment=scenario.iris)
    assert [(item["version"], item["calls"]) for item in versions] == [(1, 2), (2, 3)]
    by_key = {item["api_key_id"]: item for item in await scenario.ask(by="key")}
    assert {key: item["calls"] for key, item in by_key.items()} == {known: 2, PHONE: 8}
    assert by_key[known]["api_key_name"] == "manager"
    assert by_key[PHONE]["api_key_name"] is None
    codes = await scenario.ask(by="code")
    shown = [(item["code"], item["calls"], item["errors"]) for item in codes]
    assert shown == [("invalid_input", 1, 1), ("ok", 9, 0)]
    assert codes[0]["p50_seconds"] is None


async def test_filters_narrow_the_result(scenario: UsageScenario) -> None:
    await scenario.count(scenario.iris, times=2, key=PHONE)
    await scenario.count(scenario.wine, times=3, key=LAPTOP)
    assert [item["calls"] for item in await scenario.ask(deployment=scenario.iris.upper())] == [2]
    assert [item["calls"] for item in await scenario.ask(key=LAPTOP)] == [3]
    for nothing in ({"deployment": "x" * 300}, {"key": "\0"}, {"deployment": scenario.profile_id}):
        assert await scenario.ask(**nothing) == []


@pytest.mark.parametrize(("step", "items"), [("minute", 4), ("hour", 3), ("day", 2), ("none", 1)])
async def test_steps_divide_the_period(scenario: UsageScenario, step: str, items: int) -> None:
    day = (now() - timedelta(days=1)).replace(hour=10, minute=0, second=0, microsecond=0)
    for moment in (
        day,
        day + timedelta(minutes=1),
        day + timedelta(hours=2),
        day - timedelta(days=1),
    ):
        ago = now().replace(second=0, microsecond=0) - moment
        await scenario.count(scenario.iris, ago=ago)
    since = (day - timedelta(days=2)).isoformat()
    found = await scenario.ask(**{"from": since, "step": step})
    assert [item["calls"] for item in found] == {
        "minute": [1, 1, 1, 1],
        "hour": [1, 2, 1],
        "day": [1, 3],
        "none": [4],
    }[step]
    assert len(found) == items
    if step == "hour":
        second = found[1]
        assert datetime.fromisoformat(second["from"]) == day
        assert datetime.fromisoformat(second["to"]) == day + timedelta(hours=1)


async def test_from_is_included_and_to_is_not(scenario: UsageScenario) -> None:
    await scenario.count(scenario.iris, ago=timedelta(hours=3))
    minute = (now() - timedelta(hours=3)).replace(second=0, microsecond=0)
    around = [minute - timedelta(minutes=1), minute, minute + timedelta(minutes=2)]
    before, at, behind = (moment.isoformat() for moment in around)
    assert len(await scenario.ask(**{"from": before, "to": behind})) == 1
    assert len(await scenario.ask(**{"from": at, "to": behind})) <= 1
    assert await scenario.ask(**{"from": behind}) == []
    assert (
        await scenario.ask(**{"from": (minute - timedelta(days=1)).isoformat(), "to": before}) == []
    )


async def test_a_period_that_ends_before_it_begins_is_400(scenario: UsageScenario) -> None:
    times = {"from": "2026-03-02T00:00:00Z", "to": "2026-03-01T00:00:00Z"}
    answer = await scenario.user.get(USAGE, params=times)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), answer.text


async def test_unknown_parameter_values_are_422(scenario: UsageScenario) -> None:
    old = {"to": "0001-01-01T00:00:00+14:00"}
    for wrong in ({"by": "colour"}, {"step": "week"}, {"from": "yesterday"}, old):
        answer = await scenario.user.get(USAGE, params=wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_too_many_items_are_refused(
    scenario: UsageScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.usage.service._MAX_ITEMS", 2)
    for version in (1, 2, 3):
        await scenario.count(scenario.iris, version=version)
    answer = await scenario.user.get(USAGE, params={"by": "version"})
    assert answer.status_code == 400
    assert "at most 2 items" in answer.json()["message"]


async def test_users_see_only_their_own_usage(
    scenario: UsageScenario, in_process_gateway: InProcessGateway
) -> None:
    await scenario.count(scenario.iris)
    bob = await in_process_gateway.user("bob@example.com")
    for path in (USAGE, f"{USAGE}?deployment={scenario.iris}", f"{USAGE}?by=key"):
        assert (await bob.get(path)).json()["items"] == []
    assert (await bob.get(f"/node/deployments/{scenario.iris}/usage/")).status_code == 404


async def test_a_key_sees_only_the_deployments_that_it_covers(
    scenario: UsageScenario, in_process_gateway: InProcessGateway
) -> None:
    await scenario.count(scenario.iris)
    await scenario.count(scenario.wine, times=2)
    body = {"name": "some", "deployments": [scenario.wine]}
    made = (await scenario.user.post("/node/api-keys/", json=body)).json()
    some = in_process_gateway.client({"x-api-key": made["key"]})
    items = (await some.get(USAGE)).json()["items"]
    assert [(item["deployment_id"], item["calls"]) for item in items] == [(scenario.wine, 2)]
    assert (await some.get(f"/node/deployments/{scenario.wine}/usage/")).status_code == 200
    assert (await some.get(f"/node/deployments/{scenario.iris}/usage/")).status_code == 404


async def test_a_trigger_key_does_not_see_key_names(
    scenario: UsageScenario, in_process_gateway: InProcessGateway
) -> None:
    made = (await scenario.user.post("/node/api-keys/", json={"name": "phone"})).json()
    await scenario.count(scenario.iris, key=made["id"])
    phone = in_process_gateway.client({"x-api-key": made["key"]})
    for user, name in ((scenario.user, "phone"), (phone, None)):
        (item,) = (await user.get(USAGE, params={"by": "key"})).json()["items"]
        assert (item["api_key_id"], item["api_key_name"]) == (made["id"], name)
    (item,) = (await phone.get(USAGE)).json()["items"]
    assert item["deployment_name"] == "iris"


async def test_usage_requires_a_key(
    scenario: UsageScenario, in_process_gateway: InProcessGateway
) -> None:
    for path in (USAGE, f"/node/deployments/{scenario.iris}/usage/"):
        assert (await in_process_gateway.client({}).get(path)).status_code == 401


async def test_a_deployment_shows_its_last_day_by_hour(scenario: UsageScenario) -> None:
    path = f"/node/deployments/{scenario.iris}/usage/"
    empty = (await scenario.user.get(path)).json()
    assert (empty["summary"]["calls"], empty["hours"]) == (0, [])
    await scenario.count(scenario.iris, times=2)
    await scenario.count(scenario.iris, ago=timedelta(hours=3), times=3, error="overloaded")
    await scenario.count(scenario.wine, times=9)
    await scenario.count(scenario.iris, ago=timedelta(hours=26), times=9)
    found = (await scenario.user.get(path)).json()
    assert [item["calls"] for item in found["hours"]] == [3, 2]
    assert (found["summary"]["calls"], found["summary"]["errors"]) == (5, 3)
    assert found["summary"]["deployment_name"] == "iris"
    assert found["summary"]["p99_seconds"] == pytest.approx(0.001, rel=0.05)
    assert (await scenario.user.delete(f"/node/deployments/{scenario.iris}/")).status_code == 204
    after = (await scenario.user.get(path)).json()
    assert after["summary"]["calls"] == 5


async def test_times_are_in_utc(scenario: UsageScenario) -> None:
    await scenario.count(scenario.iris)
    here = now().astimezone(UTC).replace(second=0, microsecond=0)
    (item,) = await scenario.ask(step="minute")
    moment = datetime.fromisoformat(item["from"])
    assert item["from"].endswith(("Z", "+00:00"))
    assert timedelta() <= here - moment <= timedelta(minutes=1)
