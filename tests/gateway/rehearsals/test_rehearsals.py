"""Rehearsals of a deployment's draft on recorded inputs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import update

from gateway.auth.identity import Role, Scope
from gateway.deployments.settings import ExecutionMode
from gateway.rehearsals.store import KeptRehearsals
from gateway.runs.retention import KeptForDay
from gateway.runs.run import FailureCode, RunResult, RunStatus
from gateway.settings import Settings
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.rehearsal_tables import Rehearsal
from gateway.storage.tables import Profile
from tests.gateway.flows.flow_builder import build_flow, node, transform
from tests.gateway.live_updates.conftest import live_gateway
from tests.gateway.live_updates.listener import listening
from tests.gateway.runs.builders import failed, finished
from tests.gateway.served_gateway import ServedGateway

Json = dict[str, Any]

pytestmark = pytest.mark.processes


def flow(expression: str, *more: Json, **schema: Any) -> Json:
    """Return a flow that answers `z`, one more than the expression."""
    config = {"schema": {"type": "object", "properties": {"x": schema}}} if schema else {}
    edges = "input>twice twice>output" + "".join(f" input>{one['id']}" for one in more)
    graph = build_flow(
        edges,
        node("input", "api_input", **config),
        transform("twice", y=expression),
        node("output", "api_output", fields={"z": "twice.y + 1"}),
        *more,
    )
    return {"name": "Rules", **graph}


LIVE = flow("input.x * 2")
REQUEST = node("notify", "http_request", url="https://8.8.8.8/")


class Author:
    """Ada, who has a deployment with recorded runs, and changes its draft."""

    def __init__(self, gateway: ServedGateway, profile: Profile, client: httpx.AsyncClient) -> None:
        self.gateway = gateway
        self.profile = profile
        self.client = client
        self.flow_id = ""
        self.path = ""
        self.deployment_id = ""

    async def deploy(self, **settings: Any) -> None:
        """Deploy LIVE."""
        saved = (await self.client.post("/node/flows/", json=LIVE)).json()
        body = {"flow_id": saved["id"], "execution_mode": "sync", **settings}
        made = (await self.client.post("/node/deployments/", json=body)).json()
        self.flow_id, self.deployment_id = saved["id"], made["id"]
        self.path = f"/node/deployments/{made['id']}/"

    async def record(self, x: object, ending: RunResult | object, **changes: Any) -> str:
        """Record a run with this input, which ended so, or answered this."""
        if not isinstance(ending, RunResult):
            answer = orjson.dumps(ending)
            ending = RunResult(status=RunStatus.COMPLETED, output_data=answer, duration_seconds=0.1)
        fields = {
            "profile_id": self.profile.id,
            "deployment_id": self.deployment_id,
            "mode": ExecutionMode.SYNC,
            "input_data": orjson.dumps({"x": x}),
            **changes,
        }
        run = finished(ending=ending, **fields)
        await self.gateway.container.execution.store.record_finished([run])
        return run.new.id

    async def draft(self, definition: Json) -> None:
        """Save another draft."""
        answer = await self.client.put(f"/node/flows/{self.flow_id}/", json=definition)
        assert answer.is_success, answer.text

    async def rehearse(self, **body: Any) -> httpx.Response:
        """Ask for a rehearsal."""
        return await self.client.post(f"{self.path}rehearse/", json=body)

    async def begun(self, **body: Any) -> Json:
        """Begin a rehearsal."""
        answer = await self.rehearse(**body)
        assert answer.status_code == 202, answer.text
        assert answer.headers["location"] == f"{self.path}rehearsals/"
        begun: Json = answer.json()
        return begun

    async def ended(self, **body: Any) -> Json:
        """Rehearse, and return what is known at the end."""
        await self.begun(**body)
        await self.gateway.container.rehearsals.finish()
        return await self.kept()

    async def cancel(self) -> list[Json]:
        """Cancel the rehearsal that goes on; return what is kept."""
        answer = await self.client.post(f"{self.path}rehearsals/cancel/")
        kept: list[Json] = answer.raise_for_status().json()["items"]
        return kept

    async def tests(self) -> list[str]:
        """Return the states of the runs of the draft, newest first."""
        query = {"flow": self.flow_id, "test": True}
        runs = (await self.client.get("/node/flow-runs/", params=query)).json()["items"]
        return [run["status"] for run in runs]

    async def kept(self) -> Json:
        """Return the last rehearsal."""
        (found,) = (await self.client.get(f"{self.path}rehearsals/")).json()["items"]
        shown: Json = found
        return shown


async def author_at(gateway: ServedGateway) -> Author:
    """Return Ada, with a deployment."""
    profile = await gateway.user("ada@example.com", Role.MEMBER)
    author = Author(gateway, profile, await gateway.key_client(profile, Scope.MANAGE))
    await author.deploy()
    return author


@pytest.fixture
async def author(served_gateway: ServedGateway) -> Author:
    """Ada, with a deployment."""
    return await author_at(served_gateway)


@pytest.mark.databases("sqlite", "postgresql")
async def test_the_draft_is_compared_with_what_was_answered(author: Author) -> None:
    same = await author.record(1, {"z": 3.0000000001})
    other = await author.record(2, {"z": 5})
    refused = await author.record(9, {"z": 19})
    fixed = await author.record(4, failed())
    await author.draft(flow("input.x == 2 ? 100 : input.x * 2", type="integer", maximum=5))
    found = await author.ended(last=50)
    counts = {name: found[name] for name in ("state", "total", "done", "equal", "differing")}
    assert counts == {"state": "completed", "total": 4, "done": 4, "equal": 1, "differing": 2}
    different = {one["run_id"]: one for one in found["different"]}
    assert set(different) == {other, fixed}
    assert same not in different
    told = {name: different[other][name] for name in ("pointer", "live", "draft")}
    assert told == {"pointer": "/z", "live": "5", "draft": "101"}
    told = {name: different[fixed][name] for name in ("pointer", "live", "draft")}
    assert told == {"pointer": "", "live": '{"error":"flow_failed"}', "draft": '{"z":9}'}
    (failure,) = found["failed"]
    assert (failure["run_id"], failure["code"]) == (refused, "invalid_input")
    assert "maximum" in failure["detail"]
    assert failure["test_run_id"] is None
    path = f"/node/flow-runs/{different[other]['test_run_id']}/"
    test = (await author.client.get(path)).json()
    assert (test["test"], test["output_data"]) == (True, {"z": 101})


async def test_a_draft_that_fails_as_the_live_version_did_is_equal(author: Author) -> None:
    await author.record("text", failed(FailureCode.INVALID_INPUT))
    broken = await author.record(1, {"z": 3})
    await author.draft(flow("input.y"))
    found = await author.ended()
    assert (found["equal"], found["differing"]) == (1, 0)
    (failure,) = found["failed"]
    assert (failure["run_id"], failure["code"]) == (broken, "invalid_input")
    assert failure["test_run_id"] is not None


async def test_only_the_last_answers_with_inputs_are_used(author: Author) -> None:
    await author.record(1, {"z": 3})
    last = [await author.record(number, {"z": 0}) for number in range(3)]
    await author.record(2, {"z": 5}, mode=ExecutionMode.FAST, input_data=None)
    await author.record(3, failed(FailureCode.TIMEOUT))
    found = await author.ended(last=3)
    assert sorted(one["run_id"] for one in found["different"]) == sorted(last)
    assert (found["total"], found["done"], found["equal"]) == (3, 3, 0)


async def test_without_recorded_inputs_there_is_nothing_to_do(author: Author) -> None:
    assert (await author.client.get(f"{author.path}rehearsals/")).json() == {"items": []}
    found = await author.begun()
    assert (found["state"], found["total"]) == ("completed", 0)


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_deployment_has_one_rehearsal_at_a_time(author: Author) -> None:
    await author.gateway.container.execution.pool.drain(0)
    await author.record(1, {"z": 3})
    begun = await author.begun()
    assert begun["state"] == "running"
    second = await author.rehearse()
    assert (second.status_code, second.json()["code"]) == (409, "conflict")
    assert second.json()["rehearsal_id"] == begun["id"]
    await author.gateway.container.rehearsals.close()
    stopped = await author.kept()
    assert (stopped["id"], stopped["state"]) == (begun["id"], "stopped")
    assert (await author.begun())["id"] != begun["id"]


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_cancelled_rehearsal_keeps_what_it_has_compared(author: Author) -> None:
    await author.record(1, {"z": 3})
    done = await author.ended()
    assert await author.cancel() == [done], "one that has ended stays as it is"
    await author.gateway.container.execution.pool.drain(0)
    begun = await author.begun()
    (cancelled,) = await author.cancel()
    assert (cancelled["id"], cancelled["state"]) == (begun["id"], "stopped")
    assert cancelled["finished_at"] is not None
    await author.gateway.container.rehearsals.finish()
    assert await author.kept() == cancelled
    assert await author.tests() == ["cancelled", "completed"]
    assert (await author.begun())["state"] == "running"


async def test_a_rehearsal_that_was_never_begun_is_not_cancelled(author: Author) -> None:
    assert await author.cancel() == []


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_rehearsal_whose_process_is_gone_has_stopped(
    author: Author, database: Database
) -> None:
    await author.gateway.container.execution.pool.drain(0)
    await author.record(1, {"z": 3})
    await author.begun()
    async with database.write() as session:
        await session.execute(update(Rehearsal).values(lease_until=now() - timedelta(seconds=1)))
    assert (await author.kept())["state"] == "stopped"


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_user_has_few_rehearsals_at_once(author: Author) -> None:
    await author.gateway.container.execution.pool.drain(0)
    for _ in range(5):
        await author.deploy()
        await author.record(1, {"z": 3})
        await author.begun()
    await author.deploy()
    await author.record(1, {"z": 3})
    refused = await author.rehearse()
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")


async def test_nodes_that_call_other_systems_need_permission(author: Author) -> None:
    await author.record(1, {"z": 3})
    await author.draft(flow("input.x * 2", REQUEST))
    refused = await author.rehearse()
    assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed")
    assert refused.json()["nodes"] == ["notify"]
    assert (await author.client.get(f"{author.path}rehearsals/")).json() == {"items": []}
    await author.gateway.container.execution.pool.drain(0)
    assert (await author.begun(allow_requests=True))["total"] == 1


@pytest.mark.parametrize("last", [0, 51])
async def test_the_number_of_runs_is_bounded(author: Author, last: int) -> None:
    assert (await author.rehearse(last=last)).status_code == 422


async def test_a_draft_that_cannot_be_deployed_is_not_rehearsed(author: Author) -> None:
    await author.record(1, {"z": 3})
    unknown = node("model", "inference", model="unknown", inputs={"x": "input.x"})
    await author.draft(flow("input.x", unknown))
    refused = await author.rehearse()
    assert refused.json()["code"] == "invalid_flow"


async def test_other_users_neither_begin_nor_see_one(author: Author) -> None:
    await author.record(1, {"z": 3})
    await author.ended()
    for caller in await author.gateway.other_callers():
        if caller.credential == "trigger key":
            continue  # it manages nothing: tests/gateway/test_isolation.py
        begun = await caller.client.post(f"{author.path}rehearse/", json={})
        seen = await caller.client.get(f"{author.path}rehearsals/")
        assert (begun.status_code, seen.status_code) == (404, 404), str(caller)


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_rehearsal_is_kept_for_a_day(author: Author, database: Database) -> None:
    await author.begun()
    kept = KeptRehearsals(database)
    assert await KeptForDay(kept.prune).prune(now() - timedelta(days=30)) == 0
    assert await kept.prune(now() + timedelta(seconds=60)) == 1


@pytest.mark.long
@pytest.mark.databases("sqlite", "postgresql")
async def test_another_gateway_shows_and_tells_how_far_it_is(
    database: Database, settings: Settings
) -> None:
    async with live_gateway(settings) as here, live_gateway(settings) as there:
        author = await author_at(here)
        await author.record(1, {"z": 3})
        elsewhere = await there.key_client(author.profile, Scope.MANAGE)
        async with listening(elsewhere, "rehearsals") as listener:
            await author.begun()
            assert (await listener.item("rehearsals"))["id"] == author.deployment_id
            await here.container.rehearsals.finish()
            (found,) = (await elsewhere.get(f"{author.path}rehearsals/")).json()["items"]
            assert (found["state"], found["equal"]) == ("completed", 1)
        await here.container.execution.pool.drain(0)
        await author.begun()
        cancelled = await elsewhere.post(f"{author.path}rehearsals/cancel/")
        assert cancelled.json()["items"][0]["state"] == "stopped"
        await here.container.rehearsals.finish()
        assert await author.kept() == cancelled.json()["items"][0]
