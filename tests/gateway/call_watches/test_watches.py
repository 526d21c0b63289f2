"""Calls of watched deployments: which gateway they come to, who is told, and how many."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.auth.identity import Role
from gateway.auth.keys import generate_key
from gateway.call_watches.store import MAX_CALLS
from gateway.settings import Settings
from gateway.storage.database import Database
from tests.gateway.databases import statements
from tests.gateway.in_process_gateway import flow_json
from tests.gateway.live_updates.conftest import live_gateway
from tests.gateway.live_updates.listener import listening
from tests.gateway.runs.builders import until
from tests.gateway.served_gateway import ServedGateway

pytestmark = pytest.mark.databases("sqlite", "postgresql")

BODY = {"input_data": {"x": [[1, 2, 3, 4]]}}


class Watched:
    """A deployment of Ada's whose calls one gateway gets, while another one streams."""

    # Any: a deployment
    def __init__(
        self, here: ServedGateway, there: ServedGateway, browser: httpx.AsyncClient, made: Any
    ) -> None:
        self.here = here
        self.there = there
        self.browser = browser
        """Of Ada, at `here`."""
        self.id: str = made["id"]
        self.key: str = made["api_key"]["key"]
        self.mask: str = made["api_key"]["masked"]

    @property
    def path(self) -> str:
        """Where it is called."""
        return f"/node/deployment-trigger/{self.id}/"

    async def begin(self, seconds: int = 600) -> None:
        """Watch it, and wait until both gateways do."""
        path = f"/node/deployments/{self.id}/watch/"
        answer = await self.browser.post(path, json={"seconds": seconds})
        assert answer.status_code == 204, answer.text
        assert self.id in self.here.container.call_watches.deployments
        await until(lambda: self.id in self.there.container.call_watches.deployments)

    async def until_ended(self) -> None:
        """Wait until no gateway watches it."""
        await until(lambda: not self.here.container.call_watches.deployments)
        await until(lambda: not self.there.container.call_watches.deployments)


@pytest.fixture
async def watched(database: Database, settings: Settings) -> AsyncIterator[Watched]:
    """A watched async deployment, and two gateways on one database."""
    async with live_gateway(settings) as here, live_gateway(settings) as there:
        ada = await here.user("ada@example.com", Role.OWNER)
        browser = await here.browser(ada)
        flow = (await browser.post("/node/flows/", json=flow_json())).json()
        body = {"flow_id": flow["id"], "execution_mode": "async", "deployment_type": "api"}
        made = (await browser.post("/node/deployments/", json=body)).json()
        watched = Watched(here, there, browser, made)
        await watched.begin()
        yield watched


async def test_a_call_at_one_gateway_is_streamed_by_another(watched: Watched) -> None:
    caller = watched.there.client(**{"x-api-key": watched.key, "user-agent": "curl/8.14.1"})
    async with listening(watched.browser, "calls") as listener:
        answer = await caller.post(watched.path, json=BODY)
        assert answer.status_code == 202
        item = await listener.item("calls")
    assert item["deployment_id"] == watched.id
    assert (item["status"], item["code"], item["hint"]) == (202, None, None)
    assert (item["client"], item["address"]) == ("curl", "127.0.0.1")
    assert item["key_mask"] == watched.mask
    assert item["server_timing"].startswith("total;dur=")
    assert watched.key not in str(item)


@pytest.mark.long
async def test_refused_calls_are_reported_with_the_reason(watched: Watched) -> None:
    masked = watched.there.client(**{"x-api-key": watched.mask})
    keyless = watched.there.client()
    wrong_header = watched.there.client(**{"api-key": watched.key})
    caller = watched.there.client(**{"x-api-key": watched.key})
    unknown = generate_key()
    json = {"content-type": "application/json"}
    refused = [
        (masked.post(watched.path, json=BODY), 401, "Replace the stars with your key."),
        (keyless.post(watched.path, json=BODY), 401, "The call has no key"),
        (wrong_header.post(watched.path, json=BODY), 401, "this call has sent api-key"),
        (caller.get(watched.path), 405, "Send a POST request"),
        (caller.post(watched.path, content=b"{", headers=json), 400, "JSON"),
        (caller.post(watched.path, json={"input_data": 1}), 400, "nput_data"),
        (caller.post(f"{watched.path}run/", json=BODY), 404, "the address has an error"),
        (
            watched.there.client(authorization=f"Bearer {unknown}").post(watched.path, json=BODY),
            401,
            "does not exist",
        ),
    ]
    async with listening(watched.browser, "calls") as listener:
        for call, status, hint in refused:
            answer = await call
            item = await listener.item("calls")
            assert item["status"] == answer.status_code == status, item
            assert item["code"] == answer.json()["code"]
            assert hint in item["hint"], item
            assert watched.key not in str(item)
            assert unknown not in str(item)


async def test_only_the_owner_is_told_and_not_of_the_masks_of_others(watched: Watched) -> None:
    bob = await watched.here.user("bob@example.com", Role.ADMIN)
    foreign = await watched.there.caller(bob, "manage key")
    async with (
        listening(await watched.here.browser(bob), "calls,flows") as of_bob,
        listening(watched.browser, "calls") as listener,
    ):
        assert (await foreign.client.post(watched.path, json=BODY)).status_code == 404
        item = await listener.item("calls")
        assert (item["status"], item["key_mask"]) == (404, None)
        flow = await foreign.client.post("/node/flows/", json=flow_json())
        assert (await of_bob.event()).items == [{"topic": "flows", "id": flow.json()["id"]}]
    path = f"/node/deployments/{watched.id}/watch/"
    assert (await foreign.client.post(path, json={"seconds": 5})).status_code == 404


async def test_a_watch_reports_twenty_calls_in_all_gateways_together(watched: Watched) -> None:
    keyless = [watched.here.client(), watched.there.client()]
    async with listening(watched.browser, "calls") as listener:
        for number in range(MAX_CALLS + 6):
            await keyless[number % 2].post(watched.path, json=BODY)
        items = [await listener.item("calls") for _ in range(MAX_CALLS)]
        await watched.until_ended()
        await watched.begin()
        await keyless[0].get(watched.path)
        while (await listener.item("calls"))["status"] != 405:
            pass  # a call of before whose report was not written yet
    assert len({item["id"] for item in items}) == MAX_CALLS


@pytest.mark.long
async def test_a_watch_ends_by_itself(watched: Watched) -> None:
    await watched.begin(seconds=3)
    await watched.until_ended()


async def test_calls_that_are_not_watched_ask_nothing_more(
    database: Database, settings: Settings
) -> None:
    async with live_gateway(settings) as gateway:
        with statements(gateway.db) as asked:
            client = gateway.client()
            path = "/node/deployment-trigger/11111111-1111-4111-8111-111111111111/"
            assert (await client.post(path, json=BODY)).status_code == 401
            assert (await client.get(path)).status_code == 405
            gateway.container.accounting.drain()
        assert not [one for one in asked if "watched_calls" in one]


async def test_the_time_of_a_watch_is_limited(watched: Watched) -> None:
    path = f"/node/deployments/{watched.id}/watch/"
    for seconds in (0, 601):
        assert (await watched.browser.post(path, json={"seconds": seconds})).status_code == 422
