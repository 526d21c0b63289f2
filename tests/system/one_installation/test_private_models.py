"""Private models in an installation of two gateways: over REST, gRPC, deployments and commands."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import tritonclient.grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from tests import onnx_models
from tests.system.installation import Installation, chain
from tests.system.one_installation.test_triton_clients import tensors
from tests.timing import TIMEOUT_SECONDS, pause

MODEL, UNKNOWN = "adas-vault", "no-one-has"
IN_FORCE_SECONDS = 1.0
CONNECTIONS = 16
PASSWORD = "korrekte pferde heften"


class Member:
    """A member with a `manage` key."""

    def __init__(self, installation: Installation, name: str) -> None:
        email = f"{name}@example.com"
        made = installation.post("/node/users/", {"email": email, "password": PASSWORD})
        self.id: str = made["id"]
        with httpx.Client(base_url=installation.up.url) as page:
            login = page.post("/node/session/", json={"email": email, "password": PASSWORD})
            headers = {"x-csrf-token": login.json()["csrf_token"]}
            key = {"name": name, "scope": "manage"}
            self.key: str = page.post("/node/api-keys/", json=key, headers=headers).json()["key"]
        self.headers = {"x-api-key": self.key}
        self.http = httpx.Client(
            base_url=installation.up.url, headers=self.headers, timeout=TIMEOUT_SECONDS
        )

    def statuses(self, method: str, path: str) -> set[int]:
        """Ask over new connections, which are spread over both gateways; return the statuses."""
        url = f"{self.http.base_url}{path}"
        return {
            httpx.request(method, url, headers=self.headers).status_code for _ in range(CONNECTIONS)
        }


@pytest.fixture(scope="module")
def member(installation: Installation) -> Iterator[Callable[[str], Member]]:
    """A function that returns a new member."""
    with ExitStack() as opened:

        def make(name: str) -> Member:
            made = Member(installation, name)
            opened.enter_context(made.http)
            return made

        yield make


@pytest.fixture(scope="module")
def owner(
    installation: Installation,
    member: Callable[[str], Member],
    tmp_path_factory: pytest.TempPathFactory,
) -> Member:
    """The owner of MODEL, which is private and served."""
    made = member("ada")
    file = onnx_models.mixed(tmp_path_factory.mktemp("private") / "model.onnx")
    upload(made, file)
    made_server = made.http.post("/node/inference-servers/", json={"model": MODEL})
    assert made_server.status_code == 201, made_server.text
    installation.until_ready(made_server.json()["id"])
    return made


@pytest.fixture(scope="module")
def other(member: Callable[[str], Member]) -> Member:
    """Another member."""
    return member("eve")


def upload(by: Member, file: Path, **params: str) -> None:
    """Upload a version of MODEL."""
    answer = by.http.post(
        "/node/models/",
        params={"name": MODEL, **params},
        content=file.read_bytes(),
        headers={"content-type": "application/octet-stream"},
    )
    assert answer.status_code == 201, answer.text


def set_visibility(owner: Member, visibility: str) -> dict[str, Any]:
    """Change MODEL, and wait as long as that may take to be in force. Any: JSON."""
    answer = owner.http.patch(f"/node/models/{MODEL}/", json={"visibility": visibility})
    assert answer.status_code == 200, answer.text
    pause(IN_FORCE_SECONDS)
    changed: dict[str, Any] = answer.json()
    return changed


def code_of(client: triton_grpc.InferenceServerClient, caller: Member, model: str) -> str:
    """Return status and message of an inference that is refused, without the model's name."""
    with pytest.raises(InferenceServerException) as refused:
        client.infer(model, tensors(triton_grpc), headers=caller.headers)
    return str(refused.value).replace(model, "MODEL")


def test_only_the_owner_calls_it_over_rest_and_grpc(
    installation: Installation, owner: Member, other: Member, grpc_address: str
) -> None:
    del installation
    assert owner.http.get(f"/v2/models/{MODEL}/ready").status_code == 200
    assert other.statuses("GET", f"/v2/models/{MODEL}/ready") == {404}
    assert other.statuses("GET", f"/v2/models/{MODEL}") == {404}
    said = [
        other.http.post(f"/v2/models/{model}/infer", json={"inputs": []}).text
        for model in (MODEL, UNKNOWN)
    ]
    assert said[0].replace(MODEL, UNKNOWN) == said[1]
    with triton_grpc.InferenceServerClient(grpc_address) as client:
        client.infer(MODEL, tensors(triton_grpc), headers=owner.headers)
        assert client.is_model_ready(MODEL, headers=owner.headers)
        assert not client.is_model_ready(MODEL, headers=other.headers)
        assert code_of(client, other, MODEL) == code_of(client, other, UNKNOWN)
        for ask in (client.get_model_metadata, client.get_model_config):
            with pytest.raises(InferenceServerException, match="no inference server"):
                ask(MODEL, headers=other.headers)
        with pytest.raises(InferenceServerException, match="no inference server"):
            client.get_inference_statistics(MODEL, headers=other.headers)
        index = client.get_model_repository_index(headers=other.headers).models
        assert MODEL not in {model.name for model in index}
        every = client.get_inference_statistics(headers=other.headers).model_stats
        assert MODEL not in {model.name for model in every}
        every = client.get_inference_statistics(headers=owner.headers).model_stats
        assert MODEL in {model.name for model in every}


def test_an_open_grpc_stream_checks_each_call(
    installation: Installation, owner: Member, other: Member
) -> None:
    answers: queue.Queue[InferenceServerException | None] = queue.Queue()

    def ask() -> InferenceServerException | None:
        client.async_stream_infer(MODEL, tensors(triton_grpc))
        return answers.get(timeout=TIMEOUT_SECONDS)

    with triton_grpc.InferenceServerClient(f"127.0.0.1:{installation.up.grpc_port}") as client:
        client.start_stream(lambda result, error: answers.put(error), headers=other.headers)  # noqa: ARG005
        assert "no inference server is active" in str(ask())
        assert set_visibility(owner, "shared")["visibility"] == "shared"
        assert ask() is None
        set_visibility(owner, "private")
        assert "no inference server is active" in str(ask())
        client.stop_stream()


def test_its_owner_deploys_it_and_a_change_reaches_every_gateway_within_a_second(
    owner: Member, other: Member
) -> None:
    flow = chain("mlp")
    flow["nodes"][1]["config"]["model"] = MODEL
    refused = other.http.post("/node/flows/", json=flow).json()
    assert [warning["code"] for warning in refused["warnings"]] == ["unknown_model"]
    body = {"flow_id": refused["id"]}
    assert other.http.post("/node/deployments/", json=body).status_code == 422

    path = f"/v2/models/{MODEL}/ready"
    set_visibility(owner, "shared")
    assert other.statuses("GET", path) == {200}
    deployed = other.http.post("/node/deployments/", json={**body, "execution_mode": "fast"})
    assert deployed.status_code == 201, deployed.text
    assert set_visibility(owner, "private")["deployments_of_others"] == 1
    assert other.statuses("GET", path) == {404}
    call = f"/node/deployment-trigger/{deployed.json()['id']}/"
    answer = other.http.post(
        call, json={"input_data": {"number": [[1.0, 2.0]], "count": [1, 2], "text": ["a", "b"]}}
    )
    assert answer.status_code == 200, answer.text
    again = other.http.post(f"/node/deployments/{deployed.json()['id']}/redeploy/")
    assert (again.status_code, again.json()["code"]) == (422, "invalid_flow")


def test_an_upload_under_its_name_is_refused(other: Member, owner: Member) -> None:
    answer = other.http.post(
        "/node/models/",
        params={"name": MODEL},
        content=b"no model at all",
        headers={"content-type": "application/octet-stream"},
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert owner.id not in answer.text


def test_commands_set_whose_a_model_is(
    installation: Installation, owner: Member, other: Member, tmp_path: Path
) -> None:
    file = str(onnx_models.identity(tmp_path / "identity.onnx"))
    installation.command("models", "add", file, "--name", "hers", "--private", "--owner", owner.id)
    installation.command("models", "add", file, "--name", "ours")
    page = installation.command("models", "list")["items"]
    listed = {model["name"]: (model["visibility"], model["owner_id"]) for model in page}
    assert listed["hers"] == ("private", owner.id)
    assert listed["ours"] == ("shared", None)
    assert other.http.get("/node/models/hers/").status_code == 404
    assert other.http.get("/node/models/ours/").status_code == 200
    assert owner.http.get("/node/models/hers/").json()["owner_id"] == owner.id
    changed = installation.command("models", "set", "hers", "--shared", "--no-owner")
    assert (changed["visibility"], changed["owner_id"]) == ("shared", None)
    assert other.http.get("/node/models/hers/").status_code == 200


def test_probes_and_metrics_for_others_do_not_name_it(
    installation: Installation, other: Member
) -> None:
    ready = httpx.get(f"{installation.up.url}/readyz")
    assert MODEL not in ready.text
    remote = {**other.headers, "x-forwarded-for": "192.0.2.1"}
    for path in ("/metrics", "/metrics/targets"):
        answer = httpx.get(f"{installation.up.url}{path}", headers=remote)
        assert (answer.status_code, answer.json()["code"]) == (403, "role_forbidden")
    document = httpx.get(f"{installation.up.url}/openapi.json")
    assert MODEL not in document.text
