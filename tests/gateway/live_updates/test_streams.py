"""What users are told of, by which gateway, and when a stream ends."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gateway.auth.identity import Role, Scope
from gateway.live_updates.channels import MAX_STREAMS_PER_USER
from gateway.storage.tables import Profile
from tests.gateway.databases import statements
from tests.gateway.in_process_gateway import flow_json
from tests.gateway.live_updates.listener import EVENTS, listening
from tests.gateway.runs.builders import COMPLETED, failed, new_run
from tests.gateway.served_gateway import ServedGateway

EVERYTHING = "flows,deployments,runs,models,servers,keys,deliveries,calls"
Gateways = list[ServedGateway]


async def ada(gateway: ServedGateway) -> tuple[Profile, httpx.AsyncClient]:
    """Return a user with a browser."""
    user = await gateway.user("ada@example.com", Role.OWNER)
    return user, await gateway.browser(user)


# Any: what a flow holds
async def saved(client: httpx.AsyncClient) -> dict[str, Any]:
    """Save a flow and return it."""
    flow: dict[str, Any] = (await client.post("/node/flows/", json=flow_json())).json()
    return flow


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_change_made_at_one_gateway_is_told_at_another(gateways: Gateways) -> None:
    here, there = gateways
    user, browser = await ada(here)
    manager = await there.key_client(user, Scope.MANAGE)
    async with listening(manager, "flows,deployments,keys") as listener:
        flow = await saved(browser)
        assert await listener.item("flows") == {"topic": "flows", "id": flow["id"]}
        made = await browser.post("/node/deployments/", json={"flow_id": flow["id"]})
        assert (await listener.item("deployments"))["id"] == made.json()["id"]
        while (await listener.item("keys"))["id"] != made.json()["api_key"]["id"]:
            pass  # the manager's own key, which was made just before


async def test_a_deleted_resource_is_told_to_its_owner(gateways: Gateways) -> None:
    here, there = gateways
    user, browser = await ada(here)
    flow = await saved(browser)
    manager = await there.key_client(user, Scope.MANAGE)
    async with listening(manager, "flows") as listener:
        assert (await browser.delete(f"/node/flows/{flow['id']}/")).status_code == 204
        assert (await listener.item("flows"))["id"] == flow["id"]


async def test_users_are_told_of_their_own_resources_only(gateways: Gateways) -> None:
    here, there = gateways
    user, browser = await ada(here)
    other = await here.user("bob@example.com", Role.ADMIN)
    async with listening(await there.browser(other), EVERYTHING) as listener:
        await saved(browser)
        run = new_run(profile_id=user.id)
        await here.container.execution.store.create(run)
        own = await saved(await here.browser(other))
        items = [await listener.item("flows")]
        assert items == [{"topic": "flows", "id": own["id"]}]
        of_bob = new_run(profile_id=other.id)
        await here.container.execution.store.create(of_bob)
        assert (await listener.item("runs"))["id"] == of_bob.id


@pytest.mark.databases("sqlite", "postgresql")
async def test_runs_are_told_from_queued_to_their_end(gateways: Gateways) -> None:
    here, there = gateways
    user, browser = await ada(there)
    store = here.container.execution.store
    async with listening(browser, "runs") as listener:
        run = new_run(profile_id=user.id)
        await store.create(run)
        item = await listener.item("runs")
        assert item["deployment_id"] == run.deployment_id
        assert (item["id"], item["status"]) == (run.id, "queued")
        await store.claim(run.id, "worker")
        assert (await listener.item("runs"))["status"] == "running"
        await store.finish(run.id, 1, COMPLETED)
        item = await listener.item("runs")
        assert (item["id"], item["status"]) == (run.id, "completed")


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_client_reads_on_after_its_last_event_and_is_told_when_it_cannot(
    gateways: Gateways,
) -> None:
    here, there = gateways
    _, browser = await ada(here)
    async with listening(browser, "flows") as listener:
        first = await saved(browser)
        event = await listener.event()
        assert [item["id"] for item in event.items] == [first["id"]]
    second = await saved(browser)
    async with listening(browser, "flows", after=event.id) as listener:
        assert [item["id"] for item in (await listener.event()).items] == [second["id"]]
    for gateway, topics in ((there, "flows"), (here, "flows,keys")):
        client = gateway.client()
        client.cookies = browser.cookies
        query = {"topics": topics, "after": event.id, "max_seconds": "0"}
        assert "event: reset" in (await client.get(EVENTS, params=query)).text


async def test_the_last_event_id_precedes_the_query(gateways: Gateways) -> None:
    here, _ = gateways
    _, browser = await ada(here)
    query = {"topics": "flows", "max_seconds": "0"}
    answer = await browser.get(EVENTS, params=query)
    event_id = next(line for line in answer.text.splitlines() if line.startswith("id: "))[4:]
    again = await browser.get(EVENTS, params=query, headers={"last-event-id": event_id})
    assert "event: ready" in again.text
    wrong = await browser.get(EVENTS, params=query, headers={"last-event-id": "other-1"})
    assert "event: reset" in wrong.text


@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.parametrize("way", ["log-out", "deactivation", "role"])
async def test_a_stream_ends_with_its_session_or_the_rights_of_its_user(
    gateways: Gateways, way: str
) -> None:
    here, there = gateways
    _, owner = await ada(here)
    bob = await here.user("bob@example.com", Role.ADMIN)
    browser = await here.browser(bob)
    elsewhere = there.client()
    elsewhere.cookies = browser.cookies
    async with listening(elsewhere, "flows") as listener:
        if way == "log-out":
            assert (await browser.delete("/node/session/")).is_success
        else:
            change = {"state": "deactivated"} if way == "deactivation" else {"role": "member"}
            assert (await owner.patch(f"/node/users/{bob.id}/", json=change)).is_success
        await listener.ended()
    status = (
        await elsewhere.get(EVENTS, params={"topics": "flows", "max_seconds": "0"})
    ).status_code
    assert status == (200 if way == "role" else 401)


async def test_streams_end_when_the_gateway_drains(gateways: Gateways) -> None:
    here, _ = gateways
    _, browser = await ada(here)
    async with listening(browser, "flows") as listener:
        here.container.live_updates.drain()
        await listener.ended()
    refused = await browser.get(EVENTS, params={"topics": "flows"})
    assert (refused.status_code, refused.json()["code"]) == (503, "shutting_down")


async def test_the_streams_of_a_user_are_limited_and_a_closed_one_gives_up_its_place(
    gateways: Gateways,
) -> None:
    here, _ = gateways
    user, browser = await ada(here)
    live = here.container.live_updates
    identity = await here.container.sessions.identify(browser.cookies["slipstream_session"])
    opened = [live.open(identity, frozenset(), None) for _ in range(MAX_STREAMS_PER_USER)]
    query = {"topics": "flows", "max_seconds": "0"}
    refused = await browser.get(EVENTS, params=query)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
    assert int(refused.headers["retry-after"]) > 0
    bob = await here.user("bob@example.com")
    assert (await (await here.browser(bob)).get(EVENTS, params=query)).status_code == 200
    live.close(opened[0])
    for _ in range(3):  # each gives its place back
        assert (await browser.get(EVENTS, params=query)).status_code == 200
    assert user.id == identity.profile_id


async def test_a_client_that_leaves_gives_up_its_place(gateways: Gateways) -> None:
    here, _ = gateways
    _, browser = await ada(here)
    for _ in range(MAX_STREAMS_PER_USER + 2):
        async with here.client() as client:
            client.cookies = browser.cookies
            while True:
                async with client.stream("GET", EVENTS, params={"topics": "flows"}) as answer:
                    if answer.status_code == 200:
                        break
                    assert answer.status_code == 429  # the one before has not been noticed yet


async def test_unknown_topics_are_refused_and_trigger_keys_too(gateways: Gateways) -> None:
    here, _ = gateways
    user, browser = await ada(here)
    wrong = await browser.get(EVENTS, params={"topics": "flows,weather"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "validation_failed")
    trigger = await here.key_client(user, Scope.TRIGGER)
    refused = await trigger.get(EVENTS, params={"topics": "flows"})
    assert (refused.status_code, refused.json()["code"]) == (403, "api_key_forbidden")


async def test_without_streams_a_change_costs_no_query(gateways: Gateways) -> None:
    here, there = gateways
    _, browser = await ada(here)
    await saved(browser)
    with statements(there.db) as asked:
        await there.container.feed.poll()
        flow = await saved(browser)
        await there.container.feed.poll()
        async with listening(browser, "flows") as listener:
            await saved(browser)
            await listener.item("flows")
    assert not [one for one in asked if "FROM flows" in one or "FROM runs" in one], flow


@pytest.mark.databases("sqlite", "postgresql")
async def test_deliveries_are_told(gateways: Gateways) -> None:
    here, there = gateways
    user, browser = await ada(here)
    flow = await saved(browser)
    webhook = {"notification_method": "webhook", "callback_url": "https://8.8.8.8/"}
    body = {"flow_id": flow["id"], **webhook}
    deployment = (await browser.post("/node/deployments/", json=body)).json()["id"]
    store = here.container.execution.store
    run = new_run(profile_id=user.id, deployment_id=deployment, flow_id=flow["id"])
    async with listening(await there.browser(user), "deliveries") as listener:
        await store.create(run)
        await store.claim(run.id, "worker")
        await store.finish(run.id, 1, failed())
        item = await listener.item("deliveries")
    assert (item["deployment_id"], item["status"]) == (deployment, "pending")


@pytest.mark.databases("sqlite", "postgresql")
async def test_private_models_and_their_servers_are_named_to_those_who_may_use_them(
    gateways: Gateways,
) -> None:
    here, there = gateways
    _, browser = await ada(here)
    bob = await here.user("bob@example.com")
    async with (
        listening(browser, "models,servers") as of_ada,
        listening(await there.browser(bob), "models,servers") as of_bob,
    ):
        change = {"visibility": "private"}
        assert (await browser.patch("/node/models/mlp/", json=change)).is_success
        assert (await of_ada.item("models"))["id"] == "mlp"
        assert (await of_bob.item("models"))["id"] is None
        for model in ("mlp", "scaled"):
            body = {"model": model, "version": 1}
            server = (await browser.post("/node/inference-servers/", json=body)).json()
            assert (await of_ada.item("servers"))["id"] == server["id"]
        assert (await of_bob.item("servers"))["id"] == server["id"]  # the shared one's
