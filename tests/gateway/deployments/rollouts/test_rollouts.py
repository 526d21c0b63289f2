"""Rollouts: started, shown, changed, ended, and judged."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from gateway.deployments.rollout_settings import RolloutState
from gateway.deployments.rollouts.observations import Calls, Observations
from gateway.errors import GatewayError
from gateway.storage.audit_events import ACTOR, SYSTEM
from gateway.storage.sql import seconds_from_now
from gateway.storage.tables import Deployment, Rollout
from protos.errors import ErrorCode
from tests.gateway.deployments.redeploys import (
    deploy_two_versions,
    edit_draft,
    profile_of,
    redeploy,
)
from tests.gateway.in_process_gateway import DEPLOYMENTS, InProcessGateway, deploy, flow_json

CANARY = {"strategy": "canary", "version": 1, "weight": 20}


def url_of(made: dict[str, Any]) -> str:
    """Return the URL of a deployment's rollout."""
    return f"{DEPLOYMENTS}{made['id']}/rollout/"


async def started(user: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    """Return a deployment whose version 1 is tried beside version 2."""
    made = await deploy_two_versions(user)
    answer = await user.post(url_of(made), json=CANARY | changes)
    assert answer.status_code == 201, answer.text
    return made


async def rollout_id(gateway: InProcessGateway, made: dict[str, Any]) -> str:
    """Return the id by which gateways count."""
    async with gateway.db.read() as session:
        return (await session.get_one(Rollout, made["id"])).id


def seen(live: int, tried: int, failed: int = 0) -> Observations:
    """Return calls of both versions, of which some of the candidate's failed."""
    candidate = Calls()
    for number in range(tried):
        candidate.add(0.01, failed=number < failed)
    baseline = Calls()
    for _ in range(live):
        baseline.add(0.01)
    return Observations(baseline=baseline, candidate=candidate)


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_version_is_tried_and_the_deployment_says_so(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await started(user, promote_after_seconds=600)
    shown = (await user.get(url_of(made))).json()
    expected = {"state": "running", "baseline": 2, "candidate": 1, "weight": 20, "reason": None}
    assert {name: shown[name] for name in expected} == expected
    assert shown["checks"] == {
        "max_error_increase": 0.02,
        "max_latency_ratio": 2.0,
        "tolerance": None,
        "max_different": 0.01,
    }
    assert shown["candidate_calls"] == {
        "answered": 0,
        "failed": 0,
        "p50_ms": None,
        "p90_ms": None,
    }
    deployment = (await user.get(f"{DEPLOYMENTS}{made['id']}/")).json()
    assert deployment["rollout"] == shown
    assert deployment["version"] == 2
    live = await in_process_gateway.deployment_cache.find(made["id"], profile_of(user))
    assert live.version == 2
    assert live.rollout is not None
    assert (live.rollout.candidate.version, live.rollout.weight) == (1, 20)
    pinned = await in_process_gateway.deployment_cache.find(made["id"], profile_of(user), 2)
    assert pinned.rollout is None, "a call that pins the live version would be split"


async def test_the_draft_becomes_a_version_that_is_not_live(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy_two_versions(user)
    body = {"strategy": "canary", "name": "Third", "description": "A better one."}
    shown = (await user.post(url_of(made), json=body)).json()
    assert (shown["baseline"], shown["candidate"], shown["weight"]) == (2, 3, 10)
    newest = (await user.get(f"{DEPLOYMENTS}{made['id']}/versions/")).json()["items"][0]
    assert (newest["version"], newest["live"], newest["name"]) == (3, False, "Third")


async def test_the_weight_is_changed_and_a_person_rolls_back(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await started(user)
    changed = await user.patch(url_of(made), json={"weight": 60})
    assert (changed.status_code, changed.json()["weight"]) == (200, 60)
    ended = (await user.delete(url_of(made))).json()
    assert (ended["state"], ended["cause"]) == ("rolled_back", None)
    assert ended["ended_at"] is not None
    again = await user.delete(url_of(made))
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert (await user.patch(url_of(made), json={"weight": 5})).status_code == 409
    events = (await user.get("/node/audit/")).json()["items"]
    actions = [event["action"] for event in events if event["action"].startswith("deployment.")]
    assert actions[:3] == [
        "deployment.roll_back",
        "deployment.change_rollout",
        "deployment.start_rollout",
    ]
    assert (await user.post(url_of(made), json=CANARY)).status_code == 201, "it can be tried again"


@pytest.mark.parametrize(
    ("changes", "status", "code", "words"),
    [
        ({"version": 2}, 422, "validation_failed", "another one than the live version 2"),
        ({"version": 9}, 404, "not_found", "has no version 9"),
        ({"weight": 100}, 422, "validation_failed", "1 to 99 for a canary"),
        ({"weight": 0}, 422, "validation_failed", "weight"),
        ({"strategy": "shadow"}, 422, "validation_failed", "needs mode fast"),
        ({"checks": {"tolerance": 0.1}}, 422, "validation_failed", "mode fast only"),
        ({"checks": {"max_latency_ratio": 0.5}}, 422, "validation_failed", "max_latency_ratio"),
        ({"checks": {"speed": 1}}, 422, "validation_failed", "speed"),
        ({"name": "Third"}, 422, "validation_failed", "leave out version"),
        ({"checks": {"max_latency_ratio": "NaN"}}, 422, "validation_failed", "max_latency_ratio"),
        ({"promote_after_seconds": 0}, 422, "validation_failed", "promote_after_seconds"),
    ],
)
async def test_what_cannot_be_tried_is_refused(
    in_process_gateway: InProcessGateway,
    changes: dict[str, Any],
    status: int,
    code: str,
    words: str,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy_two_versions(user)
    answer = await user.post(url_of(made), json=CANARY | changes)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert words in answer.text
    assert (await user.get(url_of(made))).status_code == 404


async def test_a_deployment_tries_one_version_at_a_time(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await started(user)
    second = await user.post(url_of(made), json={"strategy": "canary"})
    assert (second.status_code, second.json()["code"]) == (409, "conflict")
    assert "version 1 is being tried already" in second.json()["message"]
    mode = await user.patch(f"{DEPLOYMENTS}{made['id']}/", json={"execution_mode": "async"})
    assert (mode.status_code, mode.json()["code"]) == (409, "conflict")
    assert len((await user.get(f"{DEPLOYMENTS}{made['id']}/versions/")).json()["items"]) == 2


async def test_promoting_the_candidate_or_another_version_ends_the_rollout(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await started(user)
    await user.post(f"{DEPLOYMENTS}{made['id']}/versions/2/promote/")
    assert (await user.get(url_of(made))).json()["state"] == "running", "it was live already"
    promoted = (await user.post(f"{DEPLOYMENTS}{made['id']}/versions/1/promote/")).json()
    assert (promoted["version"], promoted["rollout"]["state"]) == (1, "promoted")
    await user.post(url_of(made), json=CANARY | {"version": 2})
    redeployed = (await redeploy(user, made)).json()
    assert (redeployed["version"], redeployed["rollout"]["state"]) == (3, "superseded")
    assert redeployed["rollout"]["reason"] == "version 3 went live"


@pytest.mark.databases("sqlite", "postgresql")
async def test_counts_are_added_and_a_bad_candidate_is_rolled_back(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await started(user)
    service = in_process_gateway.services.rollouts
    number = await rollout_id(in_process_gateway, made)
    await asyncio.gather(*(service.observe(made["id"], number, seen(10, 2)) for _ in range(5)))
    shown = (await user.get(url_of(made))).json()
    assert (shown["baseline_calls"]["answered"], shown["candidate_calls"]["answered"]) == (50, 10)
    ACTOR.set(SYSTEM)  # requests of this test have left their own
    ended = await service.observe(made["id"], number, seen(20, 10, failed=9))
    assert ended is not None
    assert (ended.state, ended.cause) == (RolloutState.ROLLED_BACK, "errors")
    assert await service.observe(made["id"], number, seen(20, 10)) is None, "it has ended"
    deployment = (await user.get(f"{DEPLOYMENTS}{made['id']}/")).json()
    assert deployment["version"] == 2
    assert deployment["rollout"]["reason"].startswith("9 of the last 20 calls of version 1 failed")
    await in_process_gateway.feed.poll()
    live = await in_process_gateway.deployment_cache.find(made["id"], profile_of(user))
    assert live.rollout is None
    events = (await user.get("/node/audit/")).json()["items"]
    assert events[0]["action"] == "deployment.roll_back"
    assert events[0]["actor_id"] is None, "no person has done it"
    assert events[0]["after"]["cause"] == "errors"


async def test_late_counts_of_an_earlier_rollout_are_left_out(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await started(user)
    service = in_process_gateway.services.rollouts
    first = await rollout_id(in_process_gateway, made)
    await user.delete(url_of(made))
    await user.post(url_of(made), json=CANARY)
    assert await service.observe(made["id"], first, seen(20, 20, failed=20)) is None
    assert (await user.get(url_of(made))).json()["state"] == "running"


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_good_candidate_goes_live_when_its_time_has_come(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await started(user, promote_after_seconds=600)
    service = in_process_gateway.services.rollouts
    number = await rollout_id(in_process_gateway, made)
    running = await service.observe(made["id"], number, seen(100, 15))
    assert running is not None
    assert running.state == RolloutState.RUNNING
    async with in_process_gateway.db.write() as session:
        await session.execute(update(Rollout).values(promote_at=seconds_from_now(-1)))
    running = await service.observe(made["id"], number, seen(1, 1))
    assert running is not None
    assert running.state == RolloutState.RUNNING, "16 calls of the candidate say too little"
    ended = await service.observe(made["id"], number, seen(1, 4))
    assert ended is not None
    assert ended.state == RolloutState.PROMOTED
    deployment = (await user.get(f"{DEPLOYMENTS}{made['id']}/")).json()
    assert deployment["version"] == 1
    assert deployment["rollout"]["reason"] == "every check was passed for 600 s"


async def test_counts_of_a_deleted_deployment_end_nothing(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await started(user)
    number = await rollout_id(in_process_gateway, made)
    await user.delete(f"{DEPLOYMENTS}{made['id']}/")
    service = in_process_gateway.services.rollouts
    assert await service.observe(made["id"], number, seen(20, 20, failed=20)) is None
    assert (await user.get(url_of(made))).status_code == 410
    with pytest.raises(GatewayError) as gone:
        await service.end(profile_of(user), made["id"])
    assert gone.value.code is ErrorCode.GONE


async def test_a_model_of_a_version_that_is_tried_cannot_be_removed(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json(version="1"))
    await edit_draft(user, made, flow_json(version="2"))
    await redeploy(user, made)
    await user.post(url_of(made), json=CANARY)
    url = "/node/models/mlp/versions/1/"
    assert "in use by deployment" in (await user.delete(url)).json()["message"]
    await user.delete(url_of(made))
    assert "in use by deployment" not in (await user.delete(url)).json()["message"]


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_rollout_ends_when_another_version_went_live_behind_its_back(
    in_process_gateway: InProcessGateway,
) -> None:
    """As a gateway of an older release does, which knows no rollouts."""
    user = await in_process_gateway.user()
    made = await started(user)
    number = await rollout_id(in_process_gateway, made)
    async with in_process_gateway.db.write() as session:
        await session.execute(update(Deployment).values(live_version=1))
    ended = await in_process_gateway.services.rollouts.observe(made["id"], number, seen(1, 1))
    assert ended is not None
    assert ended.state == RolloutState.PROMOTED


async def test_a_rollout_that_this_release_does_not_understand_changes_no_call(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await started(user)
    async with in_process_gateway.db.write() as session:
        await session.execute(update(Rollout).values(strategy="blue-green"))
    await in_process_gateway.feed.poll()
    live = await in_process_gateway.deployment_cache.find(made["id"], profile_of(user))
    assert (live.version, live.rollout) == (2, None)
