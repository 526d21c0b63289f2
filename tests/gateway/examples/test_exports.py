"""`GET /node/deployments/{id}/export/`: files for other programs."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from gateway.deployments.settings import ExecutionMode, ResponseFormat
from gateway.examples.choices import ExampleChoices
from gateway.examples.exports import DeploymentExportFormat, write_export
from tests.gateway.examples.targets import DEPLOYMENT, all_targets, target
from tests.gateway.in_process_gateway import DEPLOYMENTS, InProcessGateway, deploy, flow_json


# Any: a JSON document
def written(form: DeploymentExportFormat, **fields: Any) -> Any:
    """Return an exported JSON document of a target with these fields."""
    return json.loads(write_export(target(**fields), ExampleChoices(), form).content)


def names(collection: Any) -> list[str]:
    """Return the names of a collection's requests."""
    return [item["name"] for item in collection["item"]]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (
            ExecutionMode.SYNC,
            [
                "Call and wait for the answer",
                "Start a run",
                "Read the run, waiting up to 20 s",
                "Call with several inputs",
            ],
        ),
        (
            ExecutionMode.ASYNC,
            ["Start a run", "Read the run, waiting up to 20 s", "Call with several inputs"],
        ),
        (ExecutionMode.FAST, ["Call and wait for the answer", "Call with several inputs"]),
    ],
)
def test_a_collection_has_the_calls_of_the_mode(mode: ExecutionMode, expected: list[str]) -> None:
    collection = written(DeploymentExportFormat.POSTMAN, mode=mode)
    assert names(collection) == expected
    first = collection["item"][0]["request"]
    assert first["url"]["raw"] == f"{{{{base_url}}}}/node/deployment-trigger/{DEPLOYMENT}/"
    assert json.loads(first["body"]["raw"]) == {"input_data": {"x": [[5.1, 3.5, 1.4, 0.2]]}}


def test_the_variable_of_the_key_is_empty_and_secret() -> None:
    environment = written(DeploymentExportFormat.POSTMAN_ENVIRONMENT)
    key = environment["values"][1]
    assert (key["key"], key["value"], key["type"]) == ("SLIPSTREAM_API_KEY", "", "secret")
    collection = written(DeploymentExportFormat.POSTMAN)
    (stored,) = [one for one in collection["variable"] if one["key"] == "SLIPSTREAM_API_KEY"]
    assert (stored["value"], stored["type"]) == ("", "secret")
    lines = write_export(
        target(), ExampleChoices(), DeploymentExportFormat.HTTP
    ).content.splitlines()
    assert "@SLIPSTREAM_API_KEY =" in lines
    for form in DeploymentExportFormat:
        for each in all_targets():
            assert "sk-" not in write_export(each, ExampleChoices(), form).content


def test_text_that_looks_like_a_variable_stays_text() -> None:
    given = {"text": "{{base_url}} {{{x}}}"}
    collection = written(DeploymentExportFormat.POSTMAN, input_data=given)
    raw = collection["item"][0]["request"]["body"]["raw"]
    assert "{{" not in raw
    assert json.loads(raw) == {"input_data": given}


def test_an_idempotency_key_is_sent_where_calls_need_one() -> None:
    collection = written(DeploymentExportFormat.POSTMAN, requires_idempotency_key=True)
    headers = [
        item["request"]["header"] for item in collection["item"] if "body" in item["request"]
    ]
    assert all({"key": "Idempotency-Key", "value": "{{$guid}}"} in each for each in headers)
    document = written(DeploymentExportFormat.OPENAPI, requires_idempotency_key=True)
    (operation,) = document["paths"].values()
    assert [each["name"] for each in operation["post"]["parameters"]] == ["Idempotency-Key"]


def test_an_openapi_document_has_the_deployments_own_schema() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/row"}},
        "$defs": {"row": {"type": "array"}},
    }
    document = written(
        DeploymentExportFormat.OPENAPI,
        input_schema=schema,
        mode=ExecutionMode.ASYNC,
        response_format=ResponseFormat.ENVELOPE,
    )
    ((path, item),) = document["paths"].items()
    assert path == f"/node/deployment-trigger/{DEPLOYMENT}/"
    body = item["post"]["requestBody"]["content"]["application/json"]["schema"]
    given = body["properties"]["input_data"]
    assert given["$defs"] == schema["$defs"]
    assert given["$id"].startswith("urn:"), "so that its references stay within it"
    assert set(item["post"]["responses"]) == {"202", "default"}


async def test_the_files_are_downloads(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json(), name="Iris, für alle!")

    async def fetched(**query: object) -> httpx.Response:
        return await user.get(
            f"{DEPLOYMENTS}{made['id']}/export/",
            params={name: str(value) for name, value in query.items()},
        )

    for form, ending in {
        "postman": "postman_collection.json",
        "postman-environment": "postman_environment.json",
        "openapi": "openapi.json",
        "http": "http",
    }.items():
        answer = await fetched(format=form)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-disposition"] == (
            f'attachment; filename="iris-f-r-alle.{ending}"'
        )
        assert made["api_key"]["key"] not in answer.text
        assert "http://office" in answer.text, "the address at which it was asked"
    pinned = await fetched(format="http", version=1)
    assert "/?version=1" in pinned.text
    assert (await fetched(format="http", version=2)).status_code == 404
    assert (await fetched(format="yaml")).status_code == 422
