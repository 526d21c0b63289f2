"""Calls by `/v1/{owner}/{slug}`: as by id, and only for those who may call by id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from gateway.auth.identity import Role, Scope
from gateway.auth.keys import generate_key
from gateway.fast_path.http_call import RequestHead
from gateway.storage.tables import Profile
from tests.gateway.in_process_gateway import DEPLOYMENTS, deploy, flow_json
from tests.gateway.served_gateway import ServedGateway

INPUT = {"input_data": {"x": [[1, 2, 3, 4]]}}
UNKNOWN = "98593f2f-379e-4fa6-9398-f968c4f16563"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A user with an async deployment named "Iris classifier", in a gateway that runs nothing."""

    gateway: ServedGateway
    ada: Profile
    user: httpx.AsyncClient
    made: dict[str, Any]  # Any: JSON

    async def call(self, path: str, **request: Any) -> httpx.Response:
        """Call a path, after the gateway has heard of all changes."""
        await self.gateway.container.feed.poll()
        return await self.user.post(path, json=INPUT, **request)

    async def change(self, deployment: dict[str, Any], **settings: Any) -> httpx.Response:
        """Change settings of a deployment."""
        return await self.user.patch(f"{DEPLOYMENTS}{deployment['id']}/", json=settings)


@pytest.fixture
async def setting(served_gateway: ServedGateway) -> Setting:
    """What the tests need."""
    ada = await served_gateway.user("Ada.Lovelace@example.com", Role.MEMBER)
    user = await served_gateway.key_client(ada, Scope.MANAGE)
    made = await deploy(user, flow_json(), name="Iris classifier", execution_mode="async")
    return Setting(gateway=served_gateway, ada=ada, user=user, made=made)


def by_id(deployment: dict[str, Any]) -> str:
    """Return the path of a deployment's id."""
    return f"/node/deployment-trigger/{deployment['id']}/"


def told(answer: httpx.Response) -> tuple[int, str, str]:
    """Return what an answer says, without what differs between any two answers."""
    body = answer.json()
    return answer.status_code, body["code"], str(body["message"])


async def test_a_deployment_has_an_address_of_its_owners_handle_and_its_name(
    setting: Setting,
) -> None:
    made = setting.made
    assert made["slug"] == "iris-classifier"
    assert made["named_path"] == "/v1/ada-lovelace/iris-classifier"
    assert made["named_url"] == f"{setting.gateway.url}{made['named_path']}"


@pytest.mark.parametrize("end", ["", "/"])
async def test_a_call_by_address_is_one_by_id(setting: Setting, end: str) -> None:
    path = setting.made["named_path"] + end
    for _ in range(3):  # asks the database, is found in memory, and repeats what is known
        answer = await setting.call(path)
        assert answer.status_code == 202, answer.text
        run = (await setting.user.get(f"/node/flow-runs/{answer.json()['flow_run_id']}/")).json()
        assert run["deployment_id"] == setting.made["id"]


async def test_a_call_may_repeat_its_key_and_name_a_version(setting: Setting) -> None:
    path = setting.made["named_path"]
    keyed = {"idempotency-key": "one"}
    first = await setting.call(path, headers=keyed)
    again = await setting.call(by_id(setting.made), headers=keyed)
    assert again.json()["flow_run_id"] == first.json()["flow_run_id"]
    versions = [await setting.call(f"{path}?version={number}") for number in (1, 2)]
    by_ids = [await setting.call(f"{by_id(setting.made)}?version={number}") for number in (1, 2)]
    assert versions[0].status_code == by_ids[0].status_code == 202
    assert told(versions[1]) == told(by_ids[1])
    assert told(versions[1])[0] == 404


async def test_a_batch_by_address_has_a_run_for_each_item(setting: Setting) -> None:
    path = setting.made["named_path"]
    await setting.call(path)  # the route of a call is in memory
    body = {"input_data": [{"x": [[1, 2, 3, 4]]}, {"x": [[5, 6, 7, 8]]}]}
    for end in ("/batch", "/batch/"):
        answer = await setting.user.post(path + end, json=body)
        assert answer.status_code == 202, answer.text
        assert [result["index"] for result in answer.json()["results"]] == [0, 1]


@pytest.mark.parametrize("slug", ["batch", "runs"])
async def test_a_slug_may_be_a_word_of_the_paths(setting: Setting, slug: str) -> None:
    made = await deploy(setting.user, flow_json(), slug=slug, execution_mode="async")
    for _ in range(2):
        answer = await setting.call(made["named_path"])
        assert answer.status_code == 202, answer.text
    run_id = answer.json()["flow_run_id"]
    polled = await setting.user.get(f"{made['named_path']}/runs/{run_id}")
    assert polled.json()["deployment_id"] == made["id"]
    batch = await setting.user.post(
        f"{made['named_path']}/batch", json={"input_data": [INPUT["input_data"]]}
    )
    assert batch.status_code == 202, batch.text


async def test_a_run_is_polled_at_the_address_of_its_deployment_only(setting: Setting) -> None:
    run_id = (await setting.call(setting.made["named_path"])).json()["flow_run_id"]
    documented = await setting.user.get(f"/node/flow-runs/{run_id}/")
    polled = await setting.user.get(f"{setting.made['named_path']}/runs/{run_id}")
    assert (polled.status_code, polled.json()) == (200, documented.json())
    assert polled.headers["etag"] == documented.headers["etag"]
    other = await deploy(setting.user, flow_json(), name="Other")
    elsewhere = await setting.user.get(f"{other['named_path']}/runs/{run_id}")
    unknown = await setting.user.get(f"/node/flow-runs/{UNKNOWN}/")
    assert told(elsewhere)[:2] == told(unknown)[:2] == (404, "not_found")
    assert told(elsewhere)[2] == told(unknown)[2].replace(UNKNOWN, run_id)


async def test_who_may_not_call_by_id_may_not_by_address(setting: Setting) -> None:
    gateway, path = setting.gateway, setting.made["named_path"]
    eve = await gateway.user("eve@example.com", Role.OWNER)
    other = await deploy(setting.user, flow_json(), name="Other")
    limited = await gateway.services.keys.create(
        setting.ada.id, name="limited", deployments=[other["id"]]
    )
    clients = {
        404: await gateway.key_client(eve, Scope.MANAGE),
        403: gateway.client(**{"x-api-key": limited.plain}),
        401: gateway.client(**{"x-api-key": generate_key()}),
    }
    assert (await setting.call(path)).status_code == 202  # all of it is in memory
    for status, client in clients.items():
        for end, body in (("", INPUT), ("batch", {"input_data": [{}]})):
            called = await client.post(f"{path}/{end}", json=body)
            expected = await client.post(by_id(setting.made) + end, json=body)
            assert told(called)[:2] == told(expected)[:2], (status, end)
            assert called.status_code == status
    without = await gateway.client().post(path, json=INPUT)
    assert told(without) == told(await gateway.client().post(by_id(setting.made), json=INPUT))


async def test_what_is_unknown_answers_as_an_unknown_id_and_as_what_belongs_to_others(
    setting: Setting,
) -> None:
    eve = await setting.gateway.user("eve@example.com", Role.MEMBER)
    client = await setting.gateway.key_client(eve, Scope.MANAGE)
    expected = told(await client.post(by_id({"id": UNKNOWN}), json=INPUT))
    assert expected == (404, "not_found", f"unknown deployment '{UNKNOWN}'")
    for name in (
        *("ada-lovelace/iris-classifier", "ada-lovelace/nothing", "unknown-user/iris-classifier"),
        *("eve/iris-classifier", "Ada-Lovelace/Iris-Classifier", "Ada-Lovelace/Nothing"),
    ):
        for _ in range(2):
            answer = await client.post(f"/v1/{name}", json=INPUT)
            assert told(answer) == (404, "not_found", f"unknown deployment '{name.lower()}'")
            polled = await client.get(f"/v1/{name}/runs/{UNKNOWN}")
            assert told(polled) == told(answer)
    for wrong in ("eve", "eve/", "eve/a/b", "eve/a_b", f"eve/{'a' * 64}", "%00/a"):
        answer = await client.post(f"/v1/{wrong}", json=INPUT)
        assert told(answer)[:2] == expected[:2], wrong


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_slug_that_was_changed_leads_nowhere_and_another_deployment_may_take_it(
    setting: Setting,
) -> None:
    former = setting.made["named_path"]
    for _ in range(3):
        assert (await setting.call(former)).status_code == 202
    changed = await setting.change(setting.made, slug="irises")
    assert changed.json()["named_path"] == "/v1/ada-lovelace/irises"
    assert told(await setting.call(former))[:2] == (404, "not_found")
    assert (await setting.call("/v1/ada-lovelace/irises")).status_code == 202
    other = await deploy(setting.user, flow_json(), slug="iris-classifier", execution_mode="async")
    for _ in range(3):
        answer = await setting.call(former)
        run = (await setting.user.get(f"/node/flow-runs/{answer.json()['flow_run_id']}/")).json()
        assert run["deployment_id"] == other["id"]


async def test_a_route_by_address_is_in_memory_until_the_address_changes(
    setting: Setting,
) -> None:
    resolver = setting.gateway.container.trigger.services.resolver
    key = setting.user.headers["x-api-key"].encode()

    def head() -> RequestHead:
        url = setting.made["named_path"].encode()
        lines = [(b"x-api-key", key)]
        return RequestHead(url, lines, keep_alive=True, expects_continue=False)

    repeated = head()
    await setting.gateway.container.feed.poll()
    assert resolver.resolve(repeated) is None
    assert (await setting.call(setting.made["named_path"])).status_code == 202
    found = resolver.resolve(repeated)
    assert found is not None
    assert found.route.deployment.id == setting.made["id"]
    assert resolver.resolve(repeated) is found, "one comparison for a head that repeats"
    other = resolver.resolve(head())
    assert other is not None
    assert other.route is found.route, "one dictionary for another connection"
    await setting.change(setting.made, slug="irises")
    await setting.gateway.container.feed.poll()
    assert resolver.resolve(repeated) is resolver.resolve(head()) is None
    assert told(await setting.call(setting.made["named_path"]))[0] == 404
    assert resolver.resolve(repeated) is resolver.resolve(head()) is None


async def test_a_handle_that_was_changed_leads_nowhere(setting: Setting) -> None:
    former = setting.made["named_path"]
    for _ in range(3):
        assert (await setting.call(former)).status_code == 202
    owner = await setting.gateway.user("olga@example.com", Role.OWNER)
    admin = await setting.gateway.key_client(owner, Scope.MANAGE)
    changed = await admin.patch(f"/node/users/{setting.ada.id}/", json={"handle": "countess"})
    assert changed.json()["handle"] == "countess"
    assert told(await setting.call(former))[:2] == (404, "not_found")
    assert (await setting.call("/v1/countess/iris-classifier")).status_code == 202
    taken = await admin.patch(f"/node/users/{owner.id}/", json={"handle": "countess"})
    assert told(taken)[:2] == (409, "conflict")


async def test_a_paused_and_a_deleted_deployment_answer_as_by_id(setting: Setting) -> None:
    made, path = setting.made, setting.made["named_path"]
    assert (await setting.call(path)).status_code == 202
    await setting.user.post(f"{DEPLOYMENTS}{made['id']}/pause/")
    paused = await setting.call(path)
    assert told(paused) == told(await setting.call(by_id(made)))
    assert told(paused)[:2] == (409, "deployment_paused")
    await setting.user.post(f"{DEPLOYMENTS}{made['id']}/resume/")
    run_id = (await setting.call(path)).json()["flow_run_id"]
    await setting.user.delete(f"{DEPLOYMENTS}{made['id']}/")
    for _ in range(2):
        deleted = await setting.call(path)
        assert told(deleted) == told(await setting.call(by_id(made)))
        assert told(deleted)[:2] == (410, "gone")
    assert (await setting.user.get(f"{path}/runs/{run_id}")).status_code == 200


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_deleted_deployments_slug_is_free_and_the_newest_tombstone_has_it(
    setting: Setting,
) -> None:
    path = setting.made["named_path"]
    await setting.user.delete(f"{DEPLOYMENTS}{setting.made['id']}/")
    assert told(await setting.call(path))[:2] == (410, "gone")
    again = await deploy(setting.user, flow_json(), name="Iris classifier", execution_mode="async")
    assert again["named_path"] == path
    for _ in range(2):
        assert (await setting.call(path)).status_code == 202
    await setting.user.delete(f"{DEPLOYMENTS}{again['id']}/")
    assert told(await setting.call(path)) == (
        410,
        "gone",
        f"deployment '{again['id']}' was deleted",
    )


async def test_pages_may_call_by_address_as_by_id(setting: Setting) -> None:
    made, path = setting.made, setting.made["named_path"]
    await setting.change(made, cors_origins=["https://app.example.com"])
    asked = {
        "origin": "https://app.example.com",
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-api-key",
    }
    await setting.gateway.container.feed.poll()
    client = setting.gateway.client()
    preflights = [
        await client.options(each, headers=asked)
        for each in (by_id(made), path, f"{path}/batch", f"{path}/runs/{UNKNOWN}")
    ]
    for answer in preflights:
        assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
    methods = [answer.headers["access-control-allow-methods"] for answer in preflights]
    assert methods == ["POST", "POST", "POST", "GET, POST"]
    called = await setting.call(path, headers={"origin": "https://app.example.com"})
    assert called.headers["access-control-allow-origin"] == "https://app.example.com"
    refused = await client.post(path, json=INPUT, headers={"origin": "https://app.example.com"})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://app.example.com"


async def test_other_methods_are_not_allowed(setting: Setting) -> None:
    by_ids = await setting.user.get(by_id(setting.made))
    by_address = await setting.user.get(setting.made["named_path"])
    assert told(by_address)[:2] == told(by_ids)[:2] == (405, "method_not_allowed")
    assert by_address.headers["allow"] == by_ids.headers["allow"]
