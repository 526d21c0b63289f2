"""The code of a deployment in the console: chosen, filled, run, exported."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from tests.console.caller import Caller, until_answered
from tests.console.watched_page import KEY, WatchedPage

LANGUAGES = [
    "curl",
    "python",
    # The same blocks of the same page: what they contain is compared without a browser, too.
    *(
        pytest.param(each, marks=pytest.mark.long)
        for each in ("javascript", "typescript", "go", "httpie")
    ),
]
pytestmark = pytest.mark.services


def test_code_is_chosen_by_key_version_and_retries(logged_in: WatchedPage, caller: Caller) -> None:
    page = logged_in.page
    flow = caller.make_rules({"y": "input.a"}, {"a": 1})
    made = caller.deploy_with_key(flow, name="Rules in code")
    caller.change_rules(flow, {"y": "input.a * 2"}, {"a": 2})
    caller.ask("POST", f"/node/deployments/{made['id']}/redeploy/")
    logged_in.open(f"/deployments/{made['id']}/code")
    code = page.locator("figure").first
    expect(code).to_contain_text("sk-")
    page.get_by_label("API key").select_option("environment")
    expect(code).to_contain_text("SLIPSTREAM_API_KEY")
    expect(code).not_to_contain_text("version=1")
    page.get_by_label("Version").select_option("1")
    expect(code).to_contain_text("version=1")
    expect(code).not_to_contain_text("--retry")
    page.get_by_label("Tries again").select_option("true")
    expect(code).to_contain_text("--retry")
    page.wait_for_url("**/code?key=environment&version=1&retry=true")


def test_code_follows_what_is_typed(logged_in: WatchedPage, caller: Caller) -> None:
    page = logged_in.page
    made = caller.deploy_with_key(caller.make_rules({"y": "input.a"}, {"a": 1}), name="Rules typed")
    asked: list[str] = []
    logged_in.open(f"/deployments/{made['id']}/try")
    code = page.get_by_role("region", name="The call as code").locator("pre")
    code.wait_for()
    expect(code).to_contain_text("""-d '{"input_data": {"a": 1}}'""")
    page.on("request", lambda request: asked.append(request.url))
    typed = page.get_by_label("input_data, as JSON")
    typed.fill("""{"a": "it's", "b" : [null, 9007199254740993, 1e-9]}""")
    expected = """-d '{"input_data": {"a": "it\\u0027s", "b": [null, 9007199254740993, 1e-9]}}'"""
    expect(code).to_contain_text(expected)
    typed.press("End")
    typed.press_sequentially("}", delay=0)
    page.get_by_text("This is no JSON").wait_for()
    expect(code).to_contain_text(expected)
    assert not [url for url in asked if "/examples/" in url], "the browser writes it"
    typed.press("Backspace")
    page.get_by_label("Language").select_option("python")
    expect(code).to_contain_text("""{"a": "it's", "b": [None, 9007199254740993, 1e-9]}""")


def test_code_has_the_test_data_or_the_last_try(logged_in: WatchedPage, caller: Caller) -> None:
    page = logged_in.page
    made = caller.deploy_with_key(caller.make_rules({"y": "input.a"}, {"a": 1}), name="Rules tried")
    logged_in.open(f"/deployments/{made['id']}/try")
    typed = page.get_by_label("input_data, as JSON")
    given = """{"b":[null,9007199254740993,1e-9]}"""
    typed.fill(given)
    page.get_by_label("Language").select_option("python")
    logged_in.follow("More languages and variants")
    block = page.locator("figure").first
    expect(block).to_contain_text("""{"b": [None, 9007199254740993, 1e-9]}""")
    copied = logged_in.copied_by(block.get_by_role("button", name="Copy"))
    assert """{"b": [None, 9007199254740993, 1e-9]}""" in copied
    logged_in.follow("Go")
    expect(block).to_contain_text("""{"b": [null, 9007199254740993, 1e-9]}""")
    logged_in.follow("Test data")
    expect(block).to_contain_text("""{"a": 1}""")
    assert "data=" not in page.url
    logged_in.follow("My last try")
    expect(block).to_contain_text("""9007199254740993""")
    logged_in.follow("Try it")
    expect(typed).to_have_value(given)
    logged_in.press("Fill in the test data")
    expect(typed).to_have_value(re.compile(r'"a": ?1'))
    code = page.get_by_role("region", name="The call as code").locator("pre")
    expect(code).to_contain_text("""{"a": 1}""")


def test_an_export_is_downloaded_without_a_key(logged_in: WatchedPage, caller: Caller) -> None:
    page = logged_in.page
    made = caller.deploy_with_key(
        caller.make_rules({"y": "input.a"}, {"a": 1}), name="Rules export"
    )
    logged_in.open(f"/deployments/{made['id']}/code")
    logged_in.press("Export")
    page.get_by_role("menuitem", name="Postman collection").wait_for()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Postman collection").click()
    assert download.value.suggested_filename == "rules-export.postman_collection.json"
    text = download.value.path().read_text()
    assert not KEY.search(text)
    assert json.loads(text)["item"][0]["name"] == "Call and wait for the answer"


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_code_is_copied_as_the_gateway_writes_it(
    logged_in: WatchedPage, caller: Caller, language: str
) -> None:
    flow = caller.make_rules({"y": "input.a"}, {"a": 1})
    made = caller.deploy_with_key(flow, name="Rules copied")
    path = f"/node/deployments/{made['id']}/examples/"
    for example in caller.ask("GET", f"{path}?language={language}")["items"]:
        variant = example["variant"]
        address = f"/deployments/{made['id']}/code?language={language}&variant={variant}"
        logged_in.open(address)
        block = logged_in.page.locator("figure").filter(has_text=example["filename"])
        copy = block.first.get_by_role("button", name="Copy")
        assert logged_in.copied_by(copy) == example["code"], variant


def test_the_code_is_run_and_its_times_are_shown(logged_in: WatchedPage, caller: Caller) -> None:
    page = logged_in.page
    flow = caller.make_rules({"y": "input.a"}, {"a": 1})
    made = caller.deploy_with_key(flow, name="Rules run")
    caller.change_rules(flow, {"y": "input.b * 2"}, {"b": 21})
    caller.ask("POST", f"/node/deployments/{made['id']}/redeploy/", {})
    until_answered(caller, made, {"b": 1}, {"y": 2})
    logged_in.open(f"/deployments/{made['id']}/code")
    answer = page.get_by_role("region", name="Answer", exact=True)
    logged_in.press("Run this call")
    expect(answer).to_contain_text("200 completed")
    value = answer.get_by_role("region", name="y", exact=True)
    expect(value).to_have_text(re.compile("42$"))
    expect(answer.get_by_label("Where the time went")).to_contain_text("run")
    logged_in.check_accessibility()
    page.get_by_label("Version").select_option("v1")
    expect(page.locator("figure").first).to_contain_text("version=1")
    logged_in.press("Run this call")
    expect(value).to_have_text(re.compile("y1$"))
    page.get_by_role("link", name="Several inputs at once").click()
    logged_in.button("Run this call").wait_for(state="detached")
