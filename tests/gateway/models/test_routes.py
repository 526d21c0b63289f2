"""Models over HTTP."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests import onnx_models
from tests.gateway.in_process_gateway import InProcessGateway, flow_json

MODELS = "/node/models/"
RAW = {"content-type": "application/octet-stream"}


@pytest.fixture
def file(tmp_path: Path) -> bytes:
    """A valid model file."""
    return onnx_models.identity(tmp_path / "identity.onnx").read_bytes()


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_file_becomes_the_next_version(
    in_process_gateway: InProcessGateway, file: bytes
) -> None:
    user = await in_process_gateway.user()
    for version in (1, 2):
        answer = await user.post(MODELS, params={"name": "same"}, content=file, headers=RAW)
        assert answer.status_code == 201
        assert (answer.json()["name"], answer.json()["version"]) == ("same", version)
    shown = (await user.get(f"{MODELS}same/")).json()
    assert shown == {
        "id": "same",
        "name": "same",
        "versions": [1, 2],
        "latest": 2,
        "labels": {},
        "visibility": "private",
        "owner_id": user.headers["x-test-profile"],
    }
    manifest = (await user.get(f"{MODELS}same/versions/latest/")).json()
    assert manifest["inputs"] == [
        {
            "name": "x",
            "datatype": "FP32",
            "shape": [-1, 3],
            "optional": False,
            "class_labels": None,
            "columns": None,
        }
    ]


async def test_columns_and_classes_are_named_in_the_query_or_the_form(
    in_process_gateway: InProcessGateway, tmp_path: Path
) -> None:
    user = await in_process_gateway.user()
    model = onnx_models.mlp(tmp_path / "mlp.onnx").read_bytes()
    names = {"columns": "a, b,c,d", "classes": "low,middle,high"}
    path = f"{MODELS}named/versions/latest/"
    for given in (
        {"params": {"name": "named", **names}, "content": model, "headers": RAW},
        {"data": {"name": "named", **names}, "files": {"file": ("m.onnx", model)}},
    ):
        made = await user.post(MODELS, **given)
        assert made.status_code == 201, made.text
        shown = (await user.get(path)).json()
        assert shown["inputs"][0]["columns"] == ["a", "b", "c", "d"]
        assert shown["outputs"][0]["class_labels"] == ["low", "middle", "high"]
        assert shown["names"]["columns"] == ["a", "b", "c", "d"]
    for wrong, message in (
        ({"columns": "a,b"}, "columns: expected one input with 2 columns, got 'x' FP32 [-1, 4]"),
        ({"classes": "a,,b"}, "classes: expected names with commas between them, got an empty"),
    ):
        refused = await user.post(
            MODELS, params={"name": "other", **wrong}, content=model, headers=RAW
        )
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
        assert message in refused.json()["message"]
    assert (await user.get(f"{MODELS}other/")).status_code == 404


@pytest.fixture
def with_weights(tmp_path: Path) -> dict[str, bytes]:
    """A model file and the file beside it that holds its weights."""
    model = onnx_models.external_data(tmp_path / "heavy.onnx", "weights/w.bin")
    weights = tmp_path / "weights" / "w.bin"
    return {"file": model.read_bytes(), "data": weights.read_bytes()}


async def test_a_form_can_contain_external_data(
    in_process_gateway: InProcessGateway, with_weights: dict[str, bytes]
) -> None:
    user = await in_process_gateway.user()
    names = {"file": "heavy.onnx", "data": "weights/w.bin"}
    parts = [(field, (names[field], content)) for field, content in with_weights.items()]
    answer = await user.post(MODELS, data={"name": "heavy", "version": "7"}, files=parts)
    assert (answer.status_code, answer.json()["version"]) == (201, 7)
    assert [file["path"] for file in answer.json()["files"]] == ["model.onnx", "weights/w.bin"]
    assert in_process_gateway.services.store.find_changes("heavy", 7) == []


BAD_UPLOADS: list[tuple[dict[str, str], dict[str, str], bytes, int]] = [
    ({}, RAW, b"x", 400),
    ({"name": "../x"}, RAW, b"x", 400),
    ({"name": "x", "version": "0"}, RAW, b"x", 400),
    ({"name": "x", "version": "one"}, RAW, b"x", 400),
    ({"name": "x"}, RAW, b"no model", 422),
    ({"name": "x"}, RAW, b"", 422),
    ({"name": "mlp", "version": "1"}, RAW, b"x", 409),
    ({"name": "x"}, {"content-type": "text/plain"}, b"x", 415),
    ({"name": "x"}, {}, b"x", 415),
]


async def test_invalid_uploads_leave_nothing_behind(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    before = (await user.get(MODELS)).json()
    for params, headers, content, status in BAD_UPLOADS:
        answer = await user.post(MODELS, params=params, content=content, headers=headers)
        assert answer.status_code == status, (params, headers, content)
    assert (await user.get(MODELS)).json() == before


async def test_external_data_stays_in_its_folder(
    in_process_gateway: InProcessGateway, file: bytes
) -> None:
    user = await in_process_gateway.user()
    for name in ("../../escape", "/etc/x", "model.onnx", "manifest.json", ".hidden"):
        parts = [("file", ("m.onnx", file)), ("data", (name, b"x"))]
        answer = await user.post(MODELS, data={"name": "x"}, files=parts)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_model"), name


async def test_a_form_without_a_file_is_refused(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    answer = await user.post(MODELS, data={"name": "x"}, files={"other": b"x"})
    assert answer.status_code == 400
    assert "field `file`" in answer.json()["message"]


async def test_labels_are_moved_and_deleted(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    url = f"{MODELS}mlp/labels/stable/"
    assert (await user.put(url, json={"version": 2})).json()["labels"] == {"stable": 2}
    assert (await user.put(url, json={"version": 9})).status_code == 404
    assert (await user.put(f"{MODELS}mlp/labels/latest/", json={"version": 1})).status_code == 400
    assert (await user.delete(url)).status_code == 204
    assert (await user.delete(url)).status_code == 404


async def test_models_are_paged_by_name(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    names, cursor = [], None
    for _ in range(2):
        params = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        page = (await user.get(MODELS, params=params)).json()
        names += [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert (names, cursor) == (["mlp", "scaled"], None)


async def _remove(user: httpx.AsyncClient, version: int) -> tuple[int, str]:
    answer = await user.delete(f"{MODELS}mlp/versions/{version}/")
    return answer.status_code, answer.json()["message"] if answer.content else ""


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_version_in_use_is_not_removed(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    flow = (await user.post("/node/flows/", json=flow_json(version="2"))).json()
    body = {"flow_id": flow["id"], "name": "shop window"}
    deployment = (await user.post("/node/deployments/", json=body)).json()
    server = (await user.post("/node/inference-servers/", json={"model": "mlp"})).json()
    status, message = await _remove(user, 2)
    assert status == 409
    assert "deployment 'shop window'" in message
    assert server["id"] in message
    await user.delete(f"/node/deployments/{deployment['id']}/")
    await user.post(f"/node/inference-servers/{server['id']}/stop/")
    assert await _remove(user, 2) == (204, "")
    assert (await _remove(user, 2))[0] == 404
    assert (await _remove(user, 1))[0] == 409, "it carries a label"


async def test_unknown_models_and_versions_are_not_found(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    for path in ("nothing/", "mlp/versions/9/", "mlp/versions/nightly/"):
        assert (await user.get(MODELS + path)).status_code == 404, path
