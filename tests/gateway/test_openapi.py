"""What the OpenAPI document says of every route, and the answers that go with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.routing import APIRoute
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.auth.identity import Role, Scope
from gateway.operations import operation_id
from gateway.webhooks.events import WebhookEvent
from gateway.webhooks.signature import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER
from tests.gateway.in_process_gateway import InProcessGateway, deploy, flow_json
from tests.gateway.routes import Route, is_readiness, routes_of
from tests.gateway.served_gateway import ServedGateway


# Any: OpenAPI's own form
def answers_of(route: Route) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each status with its answer."""
    for status, answer in route.operation["responses"].items():
        shared = answer.get("$ref", "").rpartition("/")[2]
        yield int(status), route.document["components"]["responses"][shared] if shared else answer


def test_every_error_is_a_problem_and_those_of_v2_are_v2s(
    in_process_gateway: InProcessGateway,
) -> None:
    for route in routes_of(in_process_gateway.openapi()):
        v2 = route.path.startswith("/v2")
        form = ("application/json", "V2Error") if v2 else ("application/problem+json", "Problem")
        for status, answer in answers_of(route):
            probe = status == 503 and is_readiness(route.path)
            if status >= 400 and not probe:
                media, schema = form
                reference = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
                assert answer["content"] == {media: reference}, (str(route), status)


def test_whatever_needs_a_credential_says_how_it_is_refused(
    in_process_gateway: InProcessGateway,
) -> None:
    for route in routes_of(in_process_gateway.openapi()):
        if route.operation.get("security"):
            statuses = {status for status, _ in answers_of(route)}
            assert {401, 403, 429, 503} <= statuses, str(route)


def test_the_document_is_valid_and_says_where_its_server_is(
    in_process_gateway: InProcessGateway,
) -> None:
    document = in_process_gateway.openapi()
    assert not list(OpenAPIV31SpecValidator(document).iter_errors())
    assert [server["url"] for server in document["servers"]] == ["/"]


async def test_probes_answer_as_they_are_documented(served_gateway: ServedGateway) -> None:
    document = served_gateway.openapi()
    for path, status in (("/livez", 200), ("/readyz", 503)):
        operation = document["paths"][path]["get"]
        assert operation["security"] == []
        assert "200" in operation["responses"]
        answer = await served_gateway.client().get(path)
        assert answer.status_code == status  # this gateway is served and not started
        described = operation["responses"][str(status)]
        assert set(described.get("headers", ())) <= {"Retry-After"}
        assert ("retry-after" in answer.headers) == ("headers" in described)
        schema = described["content"][answer.headers["content-type"]]["schema"]
        name = schema["$ref"].rpartition("/")[2]
        assert set(answer.json()) == set(document["components"]["schemas"][name]["properties"])


def test_events_of_webhooks_are_described(in_process_gateway: InProcessGateway) -> None:
    document = in_process_gateway.openapi()
    assert set(document["webhooks"]) == {event.value for event in WebhookEvent}
    for item in document["webhooks"].values():
        headers = {each["name"] for each in item["post"]["parameters"]}
        assert headers == {ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER}


def test_every_property_is_described(in_process_gateway: InProcessGateway) -> None:
    schemas = in_process_gateway.openapi()["components"]["schemas"]
    assert not [
        f"{name}.{property_name}"
        for name, schema in schemas.items()
        for property_name, described in schema.get("properties", {}).items()
        if not described.get("description")
    ]


def test_headers_are_what_generators_of_clients_understand(
    in_process_gateway: InProcessGateway,
) -> None:
    for route in routes_of(in_process_gateway.openapi()):
        for parameter in route.operation.get("parameters", ()):
            assert parameter["in"] != "header" or parameter["schema"].get("type") != "array", route


async def test_operations_that_read_x_request_timeout_document_it(
    served_gateway: ServedGateway,
) -> None:
    user = await served_gateway.user("ada@example.com", Role.OWNER)
    client = await served_gateway.key_client(user, Scope.MANAGE)
    made = await deploy(client, flow_json())
    names = {
        "deployment_id": made["id"],
        "owner": user.handle,
        "slug": made["slug"],
        "model": "mlp",
        "version": 1,
    }
    wrong = {"x-request-timeout": "soon"}
    documented = {
        str(route): route
        for route in routes_of(served_gateway.openapi())
        if any(
            parameter["name"] == "x-request-timeout"
            for parameter in route.operation.get("parameters", ())
        )
    }
    bodies = {
        "POST /node/deployment-trigger/{deployment_id}/": {"input_data": {}},
        "POST /node/deployment-trigger/{deployment_id}/batch/": {"input_data": [{}]},
        "POST /v1/{owner}/{slug}/": {"input_data": {}},
        "POST /v1/{owner}/{slug}/batch/": {"input_data": [{}]},
        "POST /v2/models/{model}/infer": {"inputs": []},
        "POST /v2/models/{model}/versions/{version}/infer": {"inputs": []},
    }
    assert set(documented) == set(bodies)
    for name, body in bodies.items():
        path = documented[name].path.format(**names)
        answer = await client.post(path, json=body, headers=wrong)
        assert "X-Request-Timeout: expected seconds" in answer.text, name
    assert (await client.post("/v2/repository/index", headers=wrong)).is_success
    assert (await client.post("/node/flows/", json=flow_json(), headers=wrong)).is_success


def test_nothing_is_left_of_fastapis_own_error(in_process_gateway: InProcessGateway) -> None:
    assert "HTTPValidationError" not in str(in_process_gateway.openapi())


def test_every_operation_has_a_name_of_its_own_and_a_sentence(
    in_process_gateway: InProcessGateway,
) -> None:
    routes = routes_of(in_process_gateway.openapi())
    names = [route.operation["operationId"] for route in routes]
    assert len(set(names)) == len(names)
    for route, name in zip(routes, names, strict=True):
        assert re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", name), name
        assert " " in route.operation["summary"], str(route)


def test_every_group_of_routes_is_described(in_process_gateway: InProcessGateway) -> None:
    document = in_process_gateway.openapi()
    described = {tag["name"] for tag in document["tags"] if tag["description"]}
    assert {tag for route in routes_of(document) for tag in route.operation["tags"]} <= described


def test_names_of_schemes_and_schemas_are_names_for_openapi(
    in_process_gateway: InProcessGateway,
) -> None:
    for kind, components in in_process_gateway.openapi()["components"].items():
        for name in components:
            assert re.fullmatch(r"[a-zA-Z0-9._-]+", name), (kind, name)
            assert "__" not in name, f"two schemas share the name {name}"


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/node/flows/", "list_flows"),
        ("POST", "/node/flows/", "create_flow"),
        ("GET", "/node/flows/{flow_id}/", "get_flow"),
        ("PUT", "/node/flows/{flow_id}/", "replace_flow"),
        ("POST", "/node/deployments/{deployment_id}/pause/", "pause_deployment"),
        ("POST", "/node/deployments/{deployment_id}/api-keys/", "create_deployment_api_key"),
        ("GET", "/node/webhooks/deliveries/{delivery_id}/", "get_webhook_delivery"),
        ("DELETE", "/node/users/{user_id}/sessions/", "delete_user_sessions"),
    ],
)
def test_operation_ids_read_like_functions(method: str, path: str, name: str) -> None:
    def endpoint() -> None:
        """Nothing."""

    assert operation_id(APIRoute(path, endpoint, methods=[method])) == name


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/node/flows/", {"GET", "HEAD", "POST"}),
        ("/node/flows/some/", {"DELETE", "GET", "HEAD", "PATCH", "PUT"}),
        ("/node/deployments/presets/", {"GET", "HEAD"}),
        ("/v2", {"GET", "HEAD"}),
        ("/v2/models/iris/infer", {"POST"}),
        ("/v2/health/live", {"GET", "HEAD"}),
        ("/livez", {"GET", "HEAD"}),
        ("/docs", {"GET", "HEAD"}),
        ("/node/setup/", {"POST"}),
        ("/console/", {"GET", "HEAD"}),
    ],
)
async def test_a_wrong_method_is_answered_405_with_all_that_are_right(
    served_gateway: ServedGateway, path: str, methods: set[str]
) -> None:
    answer = await served_gateway.client().request("TRACE", path)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == methods


async def test_head_answers_as_get_without_a_body(served_gateway: ServedGateway) -> None:
    user = await served_gateway.user("ada@example.com", Role.OWNER)
    client = await served_gateway.key_client(user, Scope.MANAGE)
    full, head = await client.get("/node/flows/"), await client.head("/node/flows/")
    assert head.status_code == full.status_code == 200
    assert head.headers["content-type"] == full.headers["content-type"]
    assert head.content == b""
    assert (await served_gateway.client().head("/node/flows/")).status_code == 401


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_a_body_that_does_not_say_it_is_json_is_answered_415(
    served_gateway: ServedGateway, media: str | None
) -> None:
    user = await served_gateway.user("ada@example.com", Role.OWNER)
    client = await served_gateway.key_client(user, Scope.MANAGE)
    headers = {"content-type": media} if media else {}
    answer = await client.post("/node/api-keys/", content=b'{"name": "mine"}', headers=headers)
    assert answer.status_code == 415
    assert answer.json()["code"] == "unsupported_media_type"


@pytest.mark.parametrize("version", ["¹", "٣", "-1", "9" * 19, "\x00"])
async def test_a_version_that_is_no_number_is_refused(
    served_gateway: ServedGateway, version: str
) -> None:
    user = await served_gateway.user("ada@example.com", Role.OWNER)
    client = await served_gateway.key_client(user, Scope.MANAGE)
    path = f"/v2/models/iris/versions/{quote(version)}"
    assert (await client.get(path)).status_code == 400
    assert (await client.get(f"{path}/ready")).status_code == 400
