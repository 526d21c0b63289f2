"""What is said of refused calls, and what is never said of their keys."""

from __future__ import annotations

import pytest

from gateway.auth.keys import generate_key
from gateway.call_watches.client_names import client_name
from gateway.call_watches.hints import hint_for
from gateway.call_watches.reports import build_report
from gateway.storage.clock import now

KEY = generate_key()
MASKED = f"{KEY[:8]}********{KEY[-5:]}"
STARS = "Replace the stars with your key."


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        (MASKED, STARS),
        ("sk-EuT64********", STARS),
        (KEY, "This key does not exist, or was deleted: create another one."),
        (KEY[:20], "The key is not complete: it has 20 of 49 characters."),
        ("YOUR_API_KEY", "What was sent is no key: a key begins with sk-."),
        ("", "What was sent is no key: a key begins with sk-."),
    ],
    ids=["masked", "an old mask", "unknown", "cut off", "placeholder", "empty"],
)
def test_a_wrong_key_is_explained(key: str, hint: str) -> None:
    headers = {b"x-api-key": key.encode()}
    assert hint_for(401, "api_key_invalid", "no", headers) == hint
    changed = KEY[:10] + ("a" if KEY[10] != "a" else "b") + KEY[11:]
    wrong = hint_for(401, "api_key_invalid", "no", {b"x-api-key": changed.encode()})
    assert wrong is not None
    assert "checksum" in wrong
    assert changed not in wrong


@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ({}, "in the header X-API-Key"),
        ({b"api-key": KEY.encode()}, "has sent api-key"),
        ({b"authorization": KEY.encode()}, "Authorization: Bearer"),
    ],
)
def test_a_key_that_is_not_where_it_should_be_is_explained(
    headers: dict[bytes, bytes], word: str
) -> None:
    hint = hint_for(401, "api_key_missing", "no", headers)
    assert hint is not None
    assert word in hint
    assert KEY not in hint


def test_other_refusals_have_a_sentence_and_successes_have_none() -> None:
    assert hint_for(200, None, "", {}) is None
    assert hint_for(202, None, "", {}) is None
    assert hint_for(405, "method_not_allowed", "", {}) == (
        "Send a POST request: this was another method."
    )
    assert hint_for(422, "invalid_input", "x: expected 4 columns", {}) == "X: expected 4 columns."
    form = {b"content-type": b"application/x-www-form-urlencoded"}
    hint = hint_for(400, "invalid_json", "no JSON", form)
    assert hint == "Send the header Content-Type: application/json."


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (b"curl/8.14.1", "curl"),
        (b"python-requests/2.32.4", "python-requests"),
        (b"Mozilla/5.0 (X11; Linux x86_64)", "browser"),
        (b"node", "Node.js"),
        (b"Go-http-client/1.1", "Go-http-client"),
        (b"<script>alert(1)</script>", "unknown"),
        (b"x" * 500, "unknown"),
        (None, "unknown"),
    ],
)
def test_a_client_is_named_by_its_user_agent(agent: bytes | None, name: str) -> None:
    assert client_name(agent) == name


@pytest.mark.parametrize(
    ("key", "shown"),
    [(KEY, MASKED), (MASKED, MASKED), ("hunter2-my-password", None), (KEY[:-1], None)],
    ids=["key", "mask", "password", "cut off"],
)
def test_a_report_has_the_mask_of_what_is_a_key_and_nothing_else(
    key: str, shown: str | None
) -> None:
    report = build_report(
        "deployment",
        {b"authorization": b"Bearer " + key.encode()},
        at=now(),
        status=401,
        code="api_key_invalid",
        message=f"'{key}'",
        address="192.0.2.1",
        server_timing="",
    )
    assert report.shown(with_mask=True)["key_mask"] == shown
    assert report.shown(with_mask=False)["key_mask"] is None
    assert key == MASKED or key not in repr(report)
