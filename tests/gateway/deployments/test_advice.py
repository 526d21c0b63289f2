"""Advice on settings, by how calls went."""

from __future__ import annotations

from typing import Any

from gateway.deployments.advice import AdviceCode, advise
from gateway.storage.tables import Deployment
from gateway.usage.counts import QUEUE, RUN, TOTAL, Counts
from tests.gateway.in_process_gateway import DEPLOYMENTS, InProcessGateway
from tests.gateway.usage.test_routes import UsageScenario


def deployment(**settings: Any) -> Deployment:
    """Return a sync deployment on workers, or one with other settings."""
    return Deployment(**{"execution_mode": "sync", "deployment_type": "api", **settings})


def counted(calls: int, *, errors: dict[str, int] | None = None, **seconds: float) -> Counts:
    """Return calls that all took the same time in each stage."""
    counts = Counts(calls=calls, errors=errors or {})
    for stage, each in seconds.items():
        for _ in range(calls):
            counts.took(stage, each)
    return counts


def codes(row: Deployment, counts: Counts, *, fits_fast: bool = False) -> list[AdviceCode]:
    """Return what is advised."""
    return [each.code for each in advise(row, counts, fits_fast=fits_fast)]


def test_long_calls_of_mode_sync_are_advised_async() -> None:
    (advice,) = advise(deployment(), counted(30, **{TOTAL: 70.0}), fits_fast=True)
    assert advice.code is AdviceCode.LONG_CALLS
    assert advice.text.startswith("100% of calls take over 55 s")
    assert (advice.fix.field, advice.fix.value) == ("execution_mode", "async")
    few = counted(100, **{TOTAL: 1.0})
    few.took(TOTAL, 70.0)
    assert codes(deployment(), few) == []
    assert codes(deployment(execution_mode="async"), counted(30, **{TOTAL: 70.0})) == []


def test_few_calls_say_nothing() -> None:
    assert codes(deployment(), counted(19, **{TOTAL: 70.0}), fits_fast=True) == []


def test_a_flow_that_fits_is_advised_fast() -> None:
    calls = counted(30, **{TOTAL: 0.01})
    assert codes(deployment(), calls, fits_fast=True) == [AdviceCode.FAST_POSSIBLE]
    assert codes(deployment(execution_mode="fast"), calls, fits_fast=True) == []


def test_runs_that_wait_for_workers_are_advised_the_server() -> None:
    waiting = counted(30, **{QUEUE: 0.03, RUN: 0.01})
    assert codes(deployment(), waiting) == [AdviceCode.WAITS_FOR_WORKERS]
    assert codes(deployment(deployment_type="server"), waiting) == []
    assert codes(deployment(), counted(30, **{QUEUE: 0.01, RUN: 0.03})) == []


def test_a_limit_that_refuses_calls_is_doubled() -> None:
    refused = counted(100, errors={"rate_limited": 10})
    (advice,) = advise(deployment(limits={"calls_per_minute": 60}), refused, fits_fast=False)
    assert (advice.code, advice.fix.value) == (AdviceCode.RATE_LIMITED, {"calls_per_minute": 120})
    assert codes(deployment(), refused) == [], "the limit of a key"


async def test_the_route_has_what_a_patch_sets(in_process_gateway: InProcessGateway) -> None:
    scenario = UsageScenario(in_process_gateway, await in_process_gateway.user())
    await scenario.open()
    await scenario.count(scenario.iris, times=30)
    url = f"{DEPLOYMENTS}{scenario.iris}/"
    (advice,) = (await scenario.user.get(f"{url}advice/")).json()["items"]
    assert advice["code"] == "fast_possible"
    fix = advice["fix"]
    changed = await scenario.user.patch(url, json={fix["field"]: fix["value"]})
    assert changed.json()["execution_mode"] == "fast"
    assert (await scenario.user.get(f"{url}advice/")).json()["items"] == []
