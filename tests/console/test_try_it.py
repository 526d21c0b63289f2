"""Inputs and outputs of calls in the console: tables, files, pictures, JSON and cURL."""

from __future__ import annotations

import io
import re
import struct
import time
import wave
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import FilePayload, Page, Route, expect

from tests import onnx_models
from tests.console.conftest import installation, owner_of
from tests.console.watched_page import WatchedPage
from tests.slipstream.running import Up

pytestmark = pytest.mark.services

_RAW = {"content-type": "application/octet-stream"}
_BIG = 9007199254740993
_KEY = "sk-" + "a1" * 23
_PASTE = """(input, content) => {
  const clipboardData = new DataTransfer();
  clipboardData.setData("text/plain", content);
  const how = {clipboardData, bubbles: true, cancelable: true};
  input.dispatchEvent(new ClipboardEvent("paste", how));
}"""
_DROP = """(target, [name, bytes]) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([new Uint8Array(bytes)], name));
  target.dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true}));
}"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """An installation of its own: models stay."""
    yield from installation(tmp_path_factory.mktemp("console") / "state")


@pytest.fixture(scope="module")
def api(running: Up) -> Iterator[httpx.Client]:
    """A client with a session of the same user."""
    with owner_of(running) as client:
        yield client


# Any, here and below: JSON
def deploy(api: httpx.Client, flow: dict[str, Any], mode: str = "sync") -> str:
    """Deploy a flow that runs in the gateway; return the id of the deployment."""
    saved = api.post("/node/flows/", json=flow).raise_for_status().json()
    body = {"flow_id": saved["id"], "execution_mode": mode, "deployment_type": "server"}
    made = api.post("/node/deployments/", json=body).raise_for_status().json()
    return str(made["id"])


def flow_of(config: dict[str, Any]) -> dict[str, Any]:
    """Return a flow that answers its input."""
    nodes = [
        {"id": "input", "type": "api_input", "config": config},
        {"id": "output", "type": "api_output", "config": {}},
    ]
    return {"name": "Echo", "nodes": nodes, "edges": [{"source": "input", "target": "output"}]}


def deploy_model(api: httpx.Client, name: str, path: Path) -> str:
    """Publish a model, start its server, and deploy its starter."""
    answer = api.post(
        "/node/models/", params={"name": name}, content=path.read_bytes(), headers=_RAW
    )
    assert answer.status_code == 201, answer.text
    api.post("/node/inference-servers/", json={"model": name}).raise_for_status()
    while not api.get(f"/v2/models/{name}/ready").is_success:
        time.sleep(0.05)
    starter = api.get(f"/node/models/{name}/versions/1/starter/").raise_for_status().json()
    return deploy(api, {"name": name, **starter["flow"]}, "fast")


def times(text: str) -> str:
    """Return a text with the sign that stands between the sizes of a shape."""
    return text.replace(" x ", " \N{MULTIPLICATION SIGN} ")


def answer_of(page: Page) -> dict[str, Any]:
    """Press *Send*; return the `output_data` of the answer."""
    with page.expect_response(re.compile("/node/deployment-trigger/")) as answered:
        page.get_by_role("button", name="Send", exact=True).click()
    output: dict[str, Any] = answered.value.json()["output_data"]
    return output


def png(rows: np.ndarray) -> bytes:
    """Return RGB pixels as a PNG file."""
    height, width, _ = rows.shape
    raw = b"".join(b"\0" + row.tobytes() for row in rows.astype("u1"))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )


def small_png(content: bytes) -> FilePayload:
    """Return a file that the browser takes for a picture."""
    return {"name": "small.png", "mimeType": "image/png", "buffer": content}


def test_a_table_is_pasted_filled_read_from_files_and_sent(
    logged_in: WatchedPage, api: httpx.Client, tmp_path: Path
) -> None:
    page = logged_in.page
    deployment = deploy_model(api, "table", onnx_models.mlp(tmp_path / "table.onnx"))
    logged_in.open(f"/deployments/{deployment}/try")
    array = page.get_by_role("group", name=re.compile("^x"))
    first = array.get_by_label("Row 1, column 1", exact=True)
    first.wait_for()

    first.evaluate(_PASTE, "1\t2\t3\n4\t5\t6\n")
    array.get_by_text(times("2 x 3 · min 1 · mean 3.5 · max 6")).wait_for()
    array.get_by_text(
        times("Dimension 2 has 3 values; the signature expects 4 (any x 4).")
    ).wait_for()
    logged_in.check_accessibility()
    first.evaluate(_PASTE, "a\tb\tc\td\n5.1\t3.5\t1.4\t0.2\n4.9\t3\t1.4\t0.2")
    array.get_by_text(times("2 x 4 · min 0.2 · mean 2.4625 · max 5.1")).wait_for()
    expect(array.get_by_text("Dimension 2")).to_have_count(0)

    first.focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
    expect(array.get_by_label("Row 1, column 2")).to_be_focused()
    page.keyboard.type("much")
    array.get_by_text('Row 1, column 2: "much" is no number').wait_for()
    page.keyboard.press("Control+a")
    page.keyboard.type("3.25")
    page.get_by_role("tab", name="JSON").click()
    text = page.get_by_label("input_data, as JSON")
    expect(text).to_have_value('{"x":[[5.1,3.25,1.4,0.2],[4.9,3,1.4,0.2]]}')
    page.get_by_role("tab", name="Form").click()

    body = {"input_data": {"x": [[5.1, 3.25, 1.4, 0.2], [4.9, 3, 1.4, 0.2]]}}
    same = api.post(f"/node/deployment-trigger/{deployment}/", json=body).raise_for_status().json()
    assert answer_of(page) == same["output_data"]
    answer = page.get_by_role("region", name="Answer")
    answer.get_by_text("200 completed").wait_for()
    answer.get_by_text("infer", exact=True).wait_for()
    answer.get_by_text("net", exact=True).wait_for()
    expect(answer.get_by_role("table", name="y, Row 1").get_by_role("row")).to_have_count(4)
    logged_in.check_accessibility()

    array.get_by_role("button", name="Fill x").click()
    page.get_by_role("menuitem", name="Ones").click()
    array.get_by_text(times("2 x 4 · min 1 · mean 1 · max 1")).wait_for()
    saved = io.BytesIO()
    np.save(saved, np.arange(12, dtype="f4").reshape(3, 4))
    array.get_by_text("drop it here").evaluate(_DROP, ["x.npy", list(saved.getvalue())])
    array.get_by_text(times("3 x 4 · min 0 · mean 5.5 · max 11")).wait_for()
    array.get_by_label("File for x").set_input_files(
        {"name": "x.csv", "mimeType": "text/csv", "buffer": b"1,2,3,4\n5,6,7,oops\n"}
    )
    array.get_by_text('Line 2, column 4: "oops" is no number. Nothing was changed.').wait_for()
    array.get_by_text(times("3 x 4 · min 0 · mean 5.5 · max 11")).wait_for()


def test_a_picture_is_prepared_as_the_model_sees_it(
    logged_in: WatchedPage, api: httpx.Client, tmp_path: Path
) -> None:
    page = logged_in.page
    deployment = deploy_model(api, "means", onnx_models.channel_means(tmp_path / "means.onnx"))
    logged_in.open(f"/deployments/{deployment}/try")
    pixels = np.random.default_rng(5).integers(0, 256, (8, 8, 3))
    chosen = page.get_by_label("Picture for picture")
    chosen.set_input_files(small_png(png(pixels)))
    seen = page.get_by_role("region", name="What the model sees")
    seen.get_by_role("img").wait_for()
    logged_in.check_accessibility()
    for order, channels in (("RGB", (0, 1, 2)), ("BGR", (2, 1, 0))):
        page.get_by_label("Order of colours").select_option(order)
        expect(seen.get_by_role("row").nth(1).get_by_role("cell").first).to_have_text(order[0])
        shown = [
            float(seen.get_by_role("row").nth(at).get_by_role("cell").nth(2).inner_text())
            for at in (1, 2, 3)
        ]
        assert shown == pytest.approx((pixels / 255).mean((0, 1))[list(channels)], rel=1e-5)
        assert answer_of(page)["mean"][0] == pytest.approx(shown, rel=1e-5)

    chosen.set_input_files(small_png(b"no picture"))
    page.get_by_text("small.png is no picture that this browser can read.").wait_for()


def test_a_call_of_a_cold_server_is_sent_again_until_it_is_ready(
    logged_in: WatchedPage, api: httpx.Client, tmp_path: Path
) -> None:
    page = logged_in.page
    content = onnx_models.slow_to_load(tmp_path / "late.onnx", 4).read_bytes()
    published = api.post("/node/models/", params={"name": "late"}, content=content, headers=_RAW)
    published.raise_for_status()
    starter = api.get("/node/models/late/versions/1/starter/").raise_for_status().json()
    deployment = deploy(api, {"name": "late", **starter["flow"]}, "fast")
    settings = {"cold_start_wait_seconds": 0}
    api.patch(f"/node/deployments/{deployment}/", json=settings).raise_for_status()
    logged_in.open(f"/deployments/{deployment}/try")
    logged_in.announce(f"/node/deployment-trigger/{deployment}/", 503)
    send = page.get_by_role("button", name="Send", exact=True)
    send.wait_for()
    api.post("/node/inference-servers/", json={"model": "late"}).raise_for_status()
    send.click()
    answer = page.get_by_role("region", name="Answer")
    answer.get_by_text("The server is not ready. Sent again in").wait_for()
    expect(send).to_be_disabled()
    logged_in.press("Stop")
    answer.get_by_text("The answer appears here.").wait_for()
    send.click()
    answer.get_by_text("200 completed").wait_for(timeout=110_000)


def wav(samples: np.ndarray, rate: int) -> bytes:
    """Return samples between -1 and 1, of shape (count, channels), as a WAV file."""
    saved = io.BytesIO()
    with wave.open(saved, "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return saved.getvalue()


def test_a_sound_becomes_samples_of_one_channel_at_a_rate(
    logged_in: WatchedPage, api: httpx.Client
) -> None:
    page = logged_in.page
    tensor = {"datatype": "FP32", "shape": [1, -1]}
    numbers = {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}
    schema = {"type": "object", "properties": {"wave": {**numbers, "x-tensor": tensor}}}
    deployment = deploy(api, flow_of({"schema": schema}))
    logged_in.open(f"/deployments/{deployment}/try")
    page.get_by_text("From a sound file").click()
    page.get_by_label("Samples a second").select_option("8000")
    stereo = np.column_stack([np.full(24_000, 0.5), np.full(24_000, 0.25)])
    chosen = page.get_by_label("Sound for wave")
    chosen.set_input_files(
        {"name": "a.wav", "mimeType": "audio/wav", "buffer": wav(stereo, 48_000)}
    )
    array = page.get_by_role("group", name=re.compile("^wave"))
    array.get_by_text(times("1 x 4000 · min 0.")).wait_for()
    logged_in.check_accessibility()
    samples = answer_of(page)["wave"]
    assert np.shape(samples) == (1, 4_000)
    assert np.allclose(samples[0][100:-100], 0.375, atol=0.01)
    chosen.set_input_files({"name": "b.wav", "mimeType": "audio/wav", "buffer": b"no sound"})
    page.get_by_text("b.wav is no sound that this browser can read.").wait_for()


def test_what_a_call_refuses_is_marked_until_it_is_changed(
    logged_in: WatchedPage, api: httpx.Client
) -> None:
    page = logged_in.page
    properties = {
        "age": {"type": "integer", "minimum": 18},
        "sizes": {"type": "array", "items": {"type": "number", "maximum": 9}},
        "owner": {"type": "object", "properties": {"name": {"type": "string", "minLength": 2}}},
    }
    ways = {"Card": {"number": {"type": "string"}}, "Cash": {}}
    payment = [
        {
            "title": title,
            "type": "object",
            "properties": {"kind": {"const": title.lower()}, **more},
            "required": ["kind", *more],
        }
        for title, more in ways.items()
    ]
    given = {"age": 3, "sizes": [1, 10], "owner": {"name": "A"}, "payment": {"kind": "cash"}}
    properties = {**properties, "payment": {"oneOf": payment}}
    schema = {"type": "object", "properties": properties}
    deployment = deploy(api, flow_of({"schema": schema, "test_data": given}))
    logged_in.open(f"/deployments/{deployment}/try")
    logged_in.announce(f"/node/deployment-trigger/{deployment}/", 422)
    age = page.get_by_label("age", exact=True)
    expect(age).to_have_value("3")
    logged_in.press("Send")
    form = page.locator("form")
    form.get_by_text("3 is less than the minimum of 18").wait_for()
    expect(age).to_have_attribute("aria-invalid", "true")
    form.get_by_text("10 is greater than the maximum of 9").wait_for()
    form.get_by_text("'A' is too short").wait_for()
    logged_in.check_accessibility()
    age.fill("20")
    expect(form.get_by_text("less than the minimum")).to_have_count(0)
    form.get_by_text("'A' is too short").wait_for()
    page.get_by_label("name", exact=True).fill("Ada")
    page.get_by_label("Row 1, column 2").fill("9")
    page.get_by_label("Row 1, column 2").press("Enter")
    variant = page.get_by_label("Variant")
    expect(variant.locator("option:checked")).to_have_text("Cash")
    variant.select_option("Card")
    page.get_by_label("number", exact=True).fill("12")
    assert answer_of(page)["payment"] == {"kind": "card", "number": "12"}
    page.get_by_text("200 completed").wait_for()
    expect(form.get_by_text("'A' is too short")).to_have_count(0)


def test_form_json_and_curl_are_views_of_one_input(
    logged_in: WatchedPage, api: httpx.Client
) -> None:
    page = logged_in.page
    schema = {
        "type": "object",
        "properties": {
            "id": {"type": "integer"},
            "colour": {"enum": ["red", "green"]},
            "picture": {"type": "string", "contentEncoding": "base64"},
        },
        "required": ["id"],
    }
    deployment = deploy(api, flow_of({"schema": schema, "test_data": {"id": 1}}))
    logged_in.open(f"/deployments/{deployment}/try")
    number = page.get_by_label("id", exact=True)
    expect(number).to_have_value("1")
    number.fill(str(_BIG))
    page.get_by_label("colour").select_option("green")
    page.get_by_label("File for picture").set_input_files(
        {"name": "a.bin", "mimeType": "application/octet-stream", "buffer": b"abc"}
    )
    page.get_by_text("a.bin · Holds 3 B.").wait_for()
    logged_in.check_accessibility()
    whole = f'{{"id":{_BIG},"colour":"green","picture":"YWJj"}}'

    page.get_by_role("tab", name="JSON").click()
    text = page.get_by_label("input_data, as JSON")
    expect(text).to_have_value(whole)
    text.fill('{"id": 5')
    page.get_by_text("This is no JSON").wait_for()
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_disabled()
    page.get_by_role("tab", name="Form").click()
    page.get_by_text("JSON has an error. The form shows the last input without one.").wait_for()
    expect(number).to_have_value(str(_BIG))
    logged_in.check_accessibility()

    page.get_by_role("tab", name="cURL").click()
    command = page.get_by_label("The call, as cURL")
    expect(command).to_have_value(re.compile(re.escape(f'{{"input_data":{whole}}}')))
    command.fill(
        f"curl -X POST http://host/path/ \\\n  -H 'X-API-Key: {_KEY}' \\\n"
        f"""  --data-raw $'{{"input_data": {{"id": 7, "colour": "red", "name": "O\\'Brien"}}}}'"""
    )
    expect(command).not_to_have_value(re.compile(_KEY))
    logged_in.check_accessibility()
    page.get_by_role("tab", name="Form").click()
    expect(number).to_have_value("7")
    expect(page.get_by_label("colour").locator("option:checked")).to_have_text("red")
    expect(page.get_by_label("name")).to_have_value('"O\'Brien"')

    number.fill(str(_BIG))
    page.goto(logged_in.copied_by(logged_in.button("Copy link")))
    page.reload()
    expect(number).to_have_value(str(_BIG))
    logged_in.press("Send")
    answer = page.get_by_role("region", name="Answer")
    answer.get_by_role("region", name="id", exact=True).get_by_text(str(_BIG)).wait_for()


def test_what_is_larger_than_a_body_may_be_is_refused_before_it_is_sent(
    logged_in: WatchedPage, api: httpx.Client
) -> None:
    page = logged_in.page

    def with_small_bodies(route: Route) -> None:  # tests/gateway has the setting
        answer = route.fetch()
        info = answer.json()
        info["limits"]["max_body_bytes"] = 4096
        route.fulfill(response=answer, json=info)

    page.route("**/node/info/", with_small_bodies)
    config = {"schema": {"properties": {"data": {"type": "string", "contentEncoding": "base64"}}}}
    logged_in.open(f"/deployments/{deploy(api, flow_of(config))}/try")
    page.get_by_text("of at most 4.00 KiB").wait_for()
    chosen = page.get_by_label("File for data")
    chosen.set_input_files({"name": "a.bin", "mimeType": "x/y", "buffer": b"a" * 3_100})
    page.get_by_text("The file has 3.03 KiB; at most 3.00 KiB can be sent.").wait_for()
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_enabled()
    chosen.set_input_files({"name": "a.bin", "mimeType": "x/y", "buffer": b"a" * 3_070})
    page.get_by_text("this installation accepts at most 4.00 KiB").wait_for()
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_disabled()
