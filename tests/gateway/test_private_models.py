"""A private model does not exist for those who may not use it, whichever route they ask.

Every route of the OpenAPI document is asked twice: about a private model, its server and flows that
name it, and about a name that no model has. The answers must be the same.
"""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import httpx
import pytest

from gateway.settings import Settings
from tests.gateway.in_process_gateway import flow_json
from tests.gateway.private_model import (
    DEPLOYMENTS,
    FLOWS,
    MODELS,
    PRIVATE,
    SERVERS,
    PrivateModel,
    following_gateway,
)
from tests.gateway.routes import Route, routes_of

NAMING_MODELS = ("/v2", MODELS, SERVERS, FLOWS, DEPLOYMENTS)
UNKNOWN = "blank"
"""As long as PRIVATE, so that answers of one length can be compared."""
VARYING = re.compile(
    r"req_[\w-]+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)?"
)
"""Ids and times."""


# Any: an id or a number
def names(model: str, server_id: str, route: Route) -> dict[str, Any]:
    """Return what a request says to ask about a model."""
    flow = flow_json(model)
    shared = {"name", "model", "server_id", "version", "number", "label", "problem"}
    return {
        **{name: str(uuid4()) for name in set(route.parameters) - shared},
        "name": model,
        "model": model,
        "server_id": server_id,
        "version": 1,
        "number": 1,
        "label": "stable",
        "problem": "not-found",
        "visibility": "shared",
        "nodes": flow["nodes"],
        "edges": flow["edges"],
    }


def comparable(answer: httpx.Response, model: str) -> tuple[object, ...]:
    """Return what an answer says, without what differs from call to call."""
    said = VARYING.sub("…", answer.text).replace(model, "MODEL")
    kept = {name: answer.headers.get(name) for name in ("content-type", "retry-after", "allow")}
    return answer.status_code, said, kept


async def test_every_route_answers_as_for_a_name_that_no_model_has(
    private_model: PrivateModel,
) -> None:
    before = (await private_model.owner.client.get(f"{MODELS}{PRIVATE}/")).json()
    asked = set()
    # two members, whose lists have what each of them has created here
    for other, second in zip(
        await private_model.others(), await private_model.others("uma"), strict=True
    ):
        for route in routes_of(private_model.gateway.openapi()):
            if route.path.startswith("/node/session/"):
                continue  # the caller's own session, or wrong passwords
            private = await route.ask(other.client, names(PRIVATE, private_model.server_id, route))
            unknown = await route.ask(second.client, names(UNKNOWN, str(uuid4()), route))
            where = f"{other}: {route}"
            assert private.status_code == unknown.status_code, where
            if route.path.startswith(NAMING_MODELS):
                assert comparable(private, PRIVATE) == comparable(unknown, UNKNOWN), where
            assert private_model.ada.id not in private.text, where
            if "server_id" not in route.parameters:
                assert private_model.server_id not in private.text, where
            asked.add(str(route))
    assert {"POST /v2/models/{model}/infer", f"PATCH {MODELS}{{name}}/"} < asked
    assert (await private_model.owner.client.get(f"{MODELS}{PRIVATE}/")).json() == before
    kept = await private_model.owner.client.get(f"{SERVERS}{private_model.server_id}/")
    assert (kept.status_code, kept.json()["desired"]) == (200, "running")


LISTS = (MODELS, SERVERS, "/v2/models", "/v2/models/stats")


@pytest.mark.databases("sqlite", "postgresql")
async def test_lists_are_without_it(private_model: PrivateModel) -> None:
    for other in await private_model.others():
        for path in LISTS:
            assert PRIVATE not in (await other.client.get(path)).text, f"{other}: {path}"
        index = await other.client.post("/v2/repository/index")
        assert PRIVATE not in index.text, other
    for credential in ("manage key", "trigger key"):
        client = (await private_model.gateway.caller(private_model.ada, credential)).client
        assert (await client.get("/v2/models")).json() == {"models": [PRIVATE]}
        (indexed,) = (await client.post("/v2/repository/index")).json()
        assert indexed["name"] == PRIVATE
    own = (await private_model.owner.client.get(MODELS)).json()["items"]
    assert [model["name"] for model in own] == ["mlp", "scaled", PRIVATE]


async def test_a_page_that_ends_before_it_has_no_further_page(private_model: PrivateModel) -> None:
    member = await private_model.member()
    page = (await member.get(MODELS, params={"limit": 3})).json()
    assert ([model["name"] for model in page["items"]], page["next_cursor"]) == (
        ["mlp", "scaled"],
        None,
    )


async def test_a_deployment_of_a_private_model_is_refused_like_one_of_no_model(
    private_model: PrivateModel,
) -> None:
    member = await private_model.member()
    private, unknown = [
        [
            comparable(await member.post(path, json={"flow_id": flow["id"], **settings}), model)
            for path, settings in (
                (SERVERS, {}),
                (DEPLOYMENTS, {}),
                (DEPLOYMENTS, {"execution_mode": "fast"}),
            )
        ]
        for model in (PRIVATE, UNKNOWN)
        for flow in [(await member.post(FLOWS, json=flow_json(model))).json()]
    ]
    assert private == unknown
    assert [status for status, *_ in private] == [404, 422, 422]


async def test_probes_do_not_name_it(private_model: PrivateModel) -> None:
    container = private_model.gateway.container
    container.readiness.servers_known(has_hosts=True)
    reasons = [*container.readiness.reasons(), *container.readiness.degraded()]
    assert [reason for reason in reasons if reason.startswith("inference server")] == [
        "inference server of a private model: stopped"
    ]


async def test_anonymous_calls_use_shared_models_only(
    private_model: PrivateModel, settings: Settings
) -> None:
    anonymous = settings.model_copy(update={"anonymous_v2": True})
    async with following_gateway(anonymous) as gateway:
        client = gateway.client()
        assert (await client.get("/v2/models")).json() == {"models": []}
        private, unknown = [
            comparable(await client.post(f"/v2/models/{model}/infer", content=b"{}"), model)
            for model in (PRIVATE, UNKNOWN)
        ]
        assert private == unknown
        await private_model.set_visibility("shared")
        await private_model.until_private(False, gateway)
        assert (await client.get("/v2/models")).json() == {"models": [PRIVATE]}
