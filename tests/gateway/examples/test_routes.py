"""`GET /node/deployments/{id}/examples/`."""

from __future__ import annotations

import httpx
import pytest

from gateway.settings import Settings
from tests.gateway.in_process_gateway import DEPLOYMENTS, InProcessGateway, deploy, flow_json


async def fetched(user: httpx.AsyncClient, deployment: str, **query: object) -> httpx.Response:
    return await user.get(
        f"{DEPLOYMENTS}{deployment}/examples/", params={name: str(it) for name, it in query.items()}
    )


async def test_all_pairs_are_examples_or_absent(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json(), name="Iris")
    answer = await fetched(user, made["id"])
    assert answer.status_code == 200, answer.text
    body = answer.json()
    pairs = [(it["language"], it["variant"]) for it in (*body["items"], *body["absent"])]
    assert len(pairs) == len(set(pairs)) == 7 * 6
    assert body["input_file"] is None
    for item in body["items"]:
        assert item["title"]
        assert item["filename"] in item["run"]
        assert "".join(text for _, text in item["tokens"]) == item["code"]
        if item["variant"] != "webhook":
            assert "[[1, 2, 3, 4]]" in item["code"]
    assert made["api_key"]["key"] not in answer.text
    assert made["api_key"]["masked"] in answer.text


@pytest.mark.databases("sqlite", "postgresql")
async def test_the_mask_is_that_of_a_key_that_works(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    everywhere = made["api_key"]
    own = (await user.post(f"{DEPLOYMENTS}{made['id']}/api-keys/")).json()
    elsewhere = await deploy(user, flow_json())
    await user.post(f"{DEPLOYMENTS}{elsewhere['id']}/api-keys/")

    async def mask(language: str = "python") -> str:
        (item,) = (await fetched(user, made["id"], language=language, variant="wait")).json()[
            "items"
        ]
        return next(line for line in item["code"].splitlines() if line.startswith("API_KEY"))

    assert await mask() == f'API_KEY = "{own["masked"]}"'
    assert await mask("grpc_python") == f'API_KEY = "{everywhere["masked"]}"'
    await user.post(f"/node/api-keys/{own['id']}/deactivate/")
    assert await mask() == f'API_KEY = "{everywhere["masked"]}"'
    await user.post(f"/node/api-keys/{everywhere['id']}/deactivate/")
    assert await mask() == 'API_KEY = "sk-********"'


async def test_a_version_has_its_own_test_data(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    flow = flow_json()
    flow["nodes"][0]["config"]["test_data"] = {"x": [[9, 9, 9, 9]]}
    await user.put(f"/node/flows/{made['flow_id']}/", json=flow)
    draft = (await fetched(user, made["id"], language="curl", variant="wait")).json()
    await user.post(f"{DEPLOYMENTS}{made['id']}/redeploy/")
    live = (await fetched(user, made["id"], language="curl", variant="wait")).json()
    first = (await fetched(user, made["id"], language="curl", variant="wait", version=1)).json()
    assert "[[1, 2, 3, 4]]" in draft["items"][0]["code"]
    assert "[[9, 9, 9, 9]]" in live["items"][0]["code"]
    assert "[[1, 2, 3, 4]]" in first["items"][0]["code"]
    assert "/?version=1'" in first["items"][0]["code"]
    missing = await fetched(user, made["id"], version=3)
    assert missing.status_code == 404
    assert "has no version 3: expected 1 to 2" in missing.json()["message"]


async def test_errors_name_the_parameter_and_what_was_expected(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    for name, value, expected in (
        ("language", "cobol", "'curl', 'python'"),
        ("variant", "now", "'wait', 'start'"),
        ("key", "complete", "'masked' or 'environment'"),
        ("retry", "often", "boolean"),
        ("version", "0", "greater than or equal to 1"),
        ("version", "live", "integer"),
    ):
        answer = await fetched(user, made["id"], **{name: value})
        assert answer.status_code == 422
        problem = answer.json()
        assert problem["errors"][0]["pointer"] == f"#/{name}"
        assert expected in problem["message"]
        assert value in problem["message"]


async def test_others_and_deleted_deployments_have_no_examples(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    other = await in_process_gateway.user("eve@example.com")
    assert (await fetched(other, made["id"])).status_code == 404
    await user.delete(f"{DEPLOYMENTS}{made['id']}/")
    assert (await fetched(user, made["id"])).status_code == 410


async def test_names_of_models_and_tensors_are_written_as_literals(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json(), execution_mode="fast")
    body = (await fetched(user, made["id"], variant="wait", key="environment")).json()
    codes = {item["language"]: item["code"] for item in body["items"]}
    assert 'model_version="2"' in codes["grpc_python"]
    assert 'np.array(input_data["x"], np.float32)' in codes["grpc_python"]
    assert "type Output = {" in codes["typescript"]
    assert "SLIPSTREAM_API_KEY" in codes["go"]


@pytest.mark.parametrize(
    ("host", "called"),
    [
        ("flows.example.com:8443", "http://flows.example.com:8443/"),
        ("[::1]:8080", "http://[::1]:8080/"),
        ("a$(id).example.com", "http://127.0.0.1:8080/"),
        ("a'b", "http://127.0.0.1:8080/"),
    ],
)
async def test_calls_go_where_the_reader_has_reached_the_gateway(
    in_process_gateway: InProcessGateway, host: str, called: str
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    user.headers["host"] = host
    assert await called_urls(user, made["id"]) == {f"{called}node/deployment-trigger/{made['id']}/"}


@pytest.mark.usefixtures("database")
async def test_calls_go_to_the_public_url_where_the_operator_has_set_one(
    settings: Settings,
) -> None:
    public = settings.model_copy(update={"public_base_url": "https://api.example.com/ml/"})
    gateway = InProcessGateway(public)
    user = await gateway.user()
    made = await deploy(user, flow_json())
    user.headers["host"] = "10.0.0.1:8080"
    expected = f"https://api.example.com/ml/node/deployment-trigger/{made['id']}/"
    assert await called_urls(user, made["id"]) == {expected}
    assert made["trigger_url"] == expected
    await gateway.close()


async def called_urls(user: httpx.AsyncClient, deployment: str) -> set[str]:
    """Return where code calls a deployment, and where it says that it is called: one URL."""
    (item,) = (await fetched(user, deployment, language="curl", variant="wait")).json()["items"]
    shown = (await user.get(f"{DEPLOYMENTS}{deployment}/")).json()
    (listed,) = (await user.get(DEPLOYMENTS)).json()["items"]
    code = item["code"].split()[3]
    return {code, shown["trigger_url"], listed["trigger_url"]}
