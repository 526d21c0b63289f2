"""Models and inference servers: upload, versions, boots that are waited for, and failures."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import onnx_models
from tests.console.conftest import installation
from tests.console.editing import EMAIL, PASSWORD, node_on_canvas
from tests.console.watched_page import WatchedPage
from tests.older_release import make_unservable
from tests.slipstream.running import Up

pytestmark = pytest.mark.services

_UPLOAD_BYTES_PER_SECOND = 40_000
_BOOT_MILLISECONDS = 60_000
_RAW = {"content-type": "application/octet-stream"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """An installation of its own: models stay."""
    yield from installation(tmp_path_factory.mktemp("console") / "state")


@pytest.fixture(scope="module")
def api(running: Up) -> Iterator[httpx.Client]:
    """A client with a session of the same user."""
    with httpx.Client(base_url=running.url) as client:
        body = {"email": EMAIL, "password": PASSWORD}
        client.headers["x-csrf-token"] = client.post("/node/session/", json=body).json()[
            "csrf_token"
        ]
        yield client


def add_model(api: httpx.Client, name: str, path: Path) -> None:
    """Publish a model."""
    content = path.read_bytes()
    answer = api.post("/node/models/", params={"name": name}, content=content, headers=_RAW)
    assert answer.status_code == 201, answer.text


@pytest.mark.long
@pytest.mark.usefixtures("at_flows")
def test_an_upload_shows_its_progress_and_can_be_cancelled(
    logged_in: WatchedPage, tmp_path: Path
) -> None:
    page = logged_in.page
    large = tmp_path / "large.onnx"
    large.write_bytes(os.urandom(3_000_000))
    logged_in.follow("Models")
    logged_in.heading("Models").wait_for()
    page.get_by_role("link", name="iris", exact=True).wait_for()
    logged_in.follow("Upload .onnx")
    logged_in.dialog("Upload a model").get_by_label("Name of the model").wait_for()

    network = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1}
    network.send(
        "Network.emulateNetworkConditions", {**slow, "uploadThroughput": _UPLOAD_BYTES_PER_SECOND}
    )
    page.get_by_label("File", exact=True).set_input_files(large)
    logged_in.press("Upload")
    page.get_by_text(re.compile(r"Uploading: [\d.]+ KiB of 2.86 MiB")).wait_for()
    logged_in.check_accessibility()
    logged_in.press("Cancel upload")
    page.get_by_text("The upload was cancelled. Nothing was published.").wait_for()

    network.send("Network.emulateNetworkConditions", {**slow, "uploadThroughput": -1})
    page.get_by_label("File", exact=True).set_input_files(onnx_models.mlp(tmp_path / "small.onnx"))
    logged_in.press("Upload")
    page.get_by_text("small v1 is published.").wait_for()
    logged_in.follow("Open the model")
    logged_in.heading("small v1").wait_for()
    assert page.get_by_role("link", name="large").count() == 0


def test_a_hostile_file_is_refused_with_the_reason(logged_in: WatchedPage, tmp_path: Path) -> None:
    path = onnx_models.external_data(tmp_path / "hostile.onnx", "../../etc/passwd", write=False)
    logged_in.announce("/node/models/", 422)
    logged_in.open("/models/upload")
    logged_in.page.get_by_label("File", exact=True).set_input_files(path)
    logged_in.press("Upload")
    alert = logged_in.page.get_by_role("alert")
    alert.get_by_text("expected a plain path below the model's folder").wait_for()
    alert.get_by_text("invalid_model").wait_for()
    logged_in.check_accessibility()


def test_what_of_a_model_is_not_served_is_named_with_what_helps(
    logged_in: WatchedPage, tmp_path: Path
) -> None:
    page = logged_in.page
    path = onnx_models.float8_output(tmp_path / "partly.onnx", alone=False)
    logged_in.open("/models/upload")
    page.get_by_label("File", exact=True).set_input_files(path)
    logged_in.press("Upload")
    dialog = logged_in.dialog("Upload a model")
    dialog.get_by_text("Not everything in it is served").wait_for()
    dialog.get_by_text("export the model with tensors of").wait_for()
    logged_in.follow("Open the model")
    logged_in.heading("partly v1").wait_for()
    page.get_by_text("export the model with tensors of").wait_for()
    page.get_by_role("cell", name="Not served").wait_for()
    logged_in.check_accessibility()
    logged_in.open("/models")
    page.get_by_text("1 not served").wait_for()


def test_a_version_is_read_tried_labelled_and_deleted(
    logged_in: WatchedPage, api: httpx.Client, tmp_path: Path
) -> None:
    page = logged_in.page
    add_model(api, "mixed", onnx_models.mixed(tmp_path / "mixed.onnx"))
    logged_in.open("/models?q=MIX")
    logged_in.follow("mixed")
    logged_in.heading("mixed v1").wait_for()
    page.get_by_role("cell", name="FP32").first.wait_for()
    page.get_by_text("No deployment uses this version.").wait_for()
    page.get_by_label("Label", exact=True).fill("stable")
    logged_in.press("Point a label to this version")
    page.get_by_role("button", name="Delete the label stable").wait_for()
    logged_in.check_accessibility()

    logged_in.follow("Graph")
    page.get_by_role("cell", name="number from 1 number").wait_for()
    logged_in.follow("Try")
    page.get_by_role("group", name="number").get_by_text("FP32").wait_for()
    page.get_by_role("tab", name="JSON").click()
    page.get_by_label("Input, as JSON").wait_for()
    logged_in.announce("/v2/models/mixed/versions/1/infer", 404)
    logged_in.press("Send")
    page.get_by_text("no inference server is active").wait_for()
    logged_in.press("Start the inference server")
    page.get_by_role("link", name="Ready").wait_for()
    logged_in.press("Send")
    page.get_by_role("region", name="doubled").get_by_role("table").wait_for()
    logged_in.check_accessibility()

    logged_in.press("Delete version")
    dialog = logged_in.dialog("Delete mixed v1?")
    dialog.get_by_text("The label stable points to it").wait_for()
    dialog.get_by_text("Its inference server is to run").wait_for()
    assert dialog.get_by_role("button", name="Delete version").is_disabled()
    logged_in.press("Cancel")
    page.get_by_role("link", name="Ready").click()
    logged_in.press("Stop")
    page.get_by_text("Stopped").first.wait_for()
    logged_in.follow("Open the model")
    logged_in.press("Delete the label stable")
    page.get_by_text("No label points to this version.").wait_for()
    logged_in.press("Delete version")
    dialog = logged_in.dialog("Delete mixed v1?")
    for path in ("", "versions/1/"):  # the page may ask once more before it is left
        logged_in.announce(f"/node/models/mixed/{path}", 404)
    dialog.get_by_role("button", name="Delete version").click()
    logged_in.heading("Models").wait_for()
    page.get_by_role("link", name="iris", exact=True).wait_for()
    assert page.get_by_role("link", name="mixed", exact=True).count() == 0


def test_a_flow_is_made_of_a_model(logged_in: WatchedPage) -> None:
    logged_in.open("/models/iris/versions/1")
    logged_in.follow("Make a flow")
    logged_in.dialog("New flow").get_by_text("FP32").first.wait_for()
    logged_in.press("Make flow")
    logged_in.heading("Iris").wait_for()
    node_on_canvas(logged_in.page, "model").wait_for()


def test_a_cold_server_shows_its_phases_until_it_is_ready(
    logged_in: WatchedPage, api: httpx.Client, tmp_path: Path
) -> None:
    page = logged_in.page
    add_model(api, "cold", onnx_models.slow_to_load(tmp_path / "cold.onnx", 4))
    logged_in.open("/models/cold/versions/1")
    logged_in.press("Start the inference server")
    page.get_by_role("link", name=re.compile("Booting")).click()
    boot = page.get_by_role("region", name="Boot")
    boot.get_by_text("Its first boot: how long it takes is not known.").wait_for()
    page.get_by_text("Booting · loading the model").first.wait_for()
    boot.locator("[aria-current=step]").get_by_text("Load").wait_for()
    boot.wait_for(state="hidden", timeout=_BOOT_MILLISECONDS)
    page.get_by_text("Ready", exact=True).first.wait_for()
    page.get_by_text(re.compile(r"ready after [\d.]+ s")).wait_for()
    logged_in.check_accessibility()

    page.set_viewport_size({"width": 1280, "height": 800})
    logged_in.press("Stop")
    page.get_by_text("Stopped", exact=True).first.wait_for()
    log = page.get_by_role("region", name="Log")
    log.get_by_text("stopped", exact=True).wait_for()
    log.get_by_text("loading", exact=True).wait_for()  # what it had logged before stays
    logged_in.press("Start")
    boot.get_by_text(re.compile(r"[\d.]+ m?s of about [\d.]+ s")).wait_for()
    boot.get_by_text("A boot takes about").wait_for()
    boot.wait_for(state="hidden", timeout=_BOOT_MILLISECONDS)

    page.get_by_label("Idle time-out, in seconds").fill("600")
    logged_in.press("Save settings")
    page.get_by_text("Saved.").wait_for()
    page.reload()
    page.get_by_label("Idle time-out, in seconds").wait_for()
    assert page.get_by_label("Idle time-out, in seconds").input_value() == "600"


def test_a_server_that_fails_shows_the_reason_and_its_log(
    logged_in: WatchedPage, running: Up, api: httpx.Client, tmp_path: Path
) -> None:
    page = logged_in.page
    add_model(api, "broken", onnx_models.identity(tmp_path / "broken.onnx"))
    make_unservable(running.state / "models", "broken")
    server = api.post("/node/inference-servers/", json={"model": "broken"}).json()
    logged_in.open(f"/servers/{server['id']}")
    logged_in.heading("broken v1").wait_for()
    alert = page.get_by_role("alert")
    alert.get_by_text("It does not run").wait_for()
    alert.get_by_text("seq(").wait_for()
    page.get_by_role("region", name="Log").get_by_text("failed: ").wait_for()
    logged_in.check_accessibility()

    page.set_viewport_size({"width": 1280, "height": 800})
    logged_in.follow("System")
    page.get_by_role("alert").get_by_text("broken 1").wait_for()
    page.get_by_role("alert").get_by_text("Fix the cause, then start it again.").wait_for()
    logged_in.check_accessibility()


def test_the_system_shows_what_runs(logged_in: WatchedPage) -> None:
    page = logged_in.page
    logged_in.open("/system")
    page.get_by_role("table", name="Gateways").get_by_text("gateway").wait_for()
    page.get_by_role("table", name="Queues").get_by_text("sync: callers wait").wait_for()
    page.get_by_text(re.compile("sqlite, answers in")).wait_for()
    page.get_by_role("table", name="Machines").get_by_text("Alive").wait_for()
