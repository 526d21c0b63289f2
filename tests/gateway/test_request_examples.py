"""Every JSON body of the OpenAPI document has an example, which is valid and is executed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from tests import onnx_models
from tests.gateway.in_process_gateway import InProcessGateway
from tests.gateway.routes import Route, routes_of

_NO_SERVER = "needs an inference server or a worker, which tests/system/document has"
_TOKEN = "takes a token, once: tests/gateway/accounts has it"
NOT_EXECUTED: Mapping[str, str] = {
    "trigger_deployment": _NO_SERVER,
    "trigger_deployment_batch": _NO_SERVER,
    "trigger_named_deployment": _NO_SERVER,
    "trigger_named_deployment_batch": _NO_SERVER,
    "infer_model": _NO_SERVER,
    "infer_version": _NO_SERVER,
    "test_flow": _NO_SERVER,
    "rehearse_deployment": "needs finished runs: tests/gateway/rehearsals has them",
    "set_up": _TOKEN,
    "accept_invitation": _TOKEN,
    "change_password": "needs a session: tests/gateway/accounts has it",
}
"""By operation: why its example is not sent here."""

ORDER: Mapping[str, str | None] = {
    "create_flow": "flow_id",
    "check_flow": None,
    "check_expression": None,
    "replace_flow": None,
    "change_flow": None,
    "create_flow_revision": None,
    "change_model": None,
    "replace_model_label": None,
    "create_deployment": "deployment_id",
    "change_deployment": None,
    "create_deployment_api_key": None,
    "redeploy_deployment": None,
    "change_deployment_version": None,
    "rollout_deployment": None,
    "change_deployment_rollout": None,
    "watch_deployment": None,
    "create_inference_server": "server_id",
    "change_inference_server": None,
    "replace_inference_server_registered": None,
    "create_api_key": "key_id",
    "change_api_key": None,
    "rotate_api_key": None,
    "change_webhook_endpoint": None,
    "rotate_webhook_endpoint": None,
    "replay_webhook_endpoint": None,
    "verify_webhook": None,
    "create_user": "user_id",
    "change_user": None,
    "log_in": None,
    "index_repository": None,
}
"""Operations in an order in which each finds what it needs, and what later ones call its id."""
_IDS = ("flow_id",)
"""Members of examples that are ids of this installation."""


# Any, here and below: JSON
def schema_of_body(route: Route) -> Mapping[str, Any] | None:
    """Return the schema of a JSON body, with its reference followed."""
    content = route.operation.get("requestBody", {}).get("content", {})
    media = content.get("application/json")
    if media is None:
        return None
    schema: Mapping[str, Any] = media["schema"]
    reference = schema.get("$ref") or schema.get("anyOf", [{}])[0].get("$ref", "")
    name = reference.rpartition("/")[2]
    return {**route.document["components"]["schemas"].get(name, {}), **schema}


def examples_of(document: Mapping[str, Any]) -> Mapping[str, tuple[Route, list[Any]]]:
    """Return the examples of each JSON body by operation."""
    found = {}
    for route in routes_of(document):
        schema = schema_of_body(route)
        if schema is not None:
            found[route.operation["operationId"]] = route, schema.get("examples", [])
    return found


def test_every_json_body_has_an_example_that_is_valid(
    in_process_gateway: InProcessGateway,
) -> None:
    document = in_process_gateway.openapi()
    for operation, (route, examples) in examples_of(document).items():
        assert examples, operation
        schema = route.operation["requestBody"]["content"]["application/json"]["schema"]
        whole = {**schema, "components": document["components"]}
        for example in examples:
            Draft202012Validator(whole).validate(example)


def test_every_example_is_executed_or_has_a_reason_not_to(
    in_process_gateway: InProcessGateway,
) -> None:
    assert set(examples_of(in_process_gateway.openapi())) == set(ORDER) | set(NOT_EXECUTED)


async def test_examples_are_answered_with_success(
    in_process_gateway: InProcessGateway, tmp_path: Path
) -> None:
    user = await in_process_gateway.user()
    onnx = onnx_models.mlp(tmp_path / "iris.onnx").read_bytes()
    published = await user.post(
        "/node/models/", data={"name": "iris"}, files={"file": ("iris.onnx", onnx)}
    )
    assert published.is_success, published.text
    ids: dict[str, Any] = {
        "name": "iris",
        "label": "stable",
        "number": 1,
        "registration_id": "00000000-0000-4000-8000-000000000000",
    }
    examples = examples_of(in_process_gateway.openapi())
    for operation, named in ORDER.items():
        route, bodies = examples[operation]
        for body in bodies:
            own = {name: ids[name] for name in _IDS if name in body}
            path = route.path.format(**ids)
            answer = await user.request(route.method, path, json={**body, **own})
            assert answer.is_success, (operation, answer.text)
            if named:
                ids[named] = answer.json()["id"]
        if operation == "create_deployment":  # its webhook is what later operations are about
            webhook = {"notification_method": "webhook", "callback_url": "https://8.8.8.8/"}
            path = f"/node/deployments/{ids['deployment_id']}/"
            assert (await user.patch(path, json=webhook)).is_success
