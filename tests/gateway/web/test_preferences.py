"""`Prefer` headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.preferences import NO_PREFERENCES, Preferences, read_preferences

READ = [
    (None, Preferences()),
    (b"", Preferences()),
    (b"respond-async", Preferences(respond_async=True)),
    (b"Respond-Async, WAIT=10", Preferences(respond_async=True, wait=10)),
    (b"wait=10;x=1, respond-async; y", Preferences(respond_async=True, wait=10)),
    (b'wait = "10"', Preferences(wait=10)),
    (b"wait=10, wait=20", Preferences(wait=10)),
    (b"handling=strict", Preferences(strict=True)),
    (b"handling=lenient", Preferences()),
    (b"return=minimal, wait=0", Preferences(wait=0)),
    (b'foo; bar="a, respond-async", wait=5', Preferences(wait=5)),
    (b"wait", Preferences()),
    (b"wait=-1", Preferences()),
    (b"wait=1.5", Preferences()),
    (b"wait=soon, respond-async", Preferences(respond_async=True)),
    (b"=, ;, wait=3", Preferences(wait=3)),
    ("wait=7", Preferences(wait=7)),
]


@pytest.mark.parametrize(("value", "expected"), READ)
def test_preferences_are_parsed_and_unknown_ones_ignored(
    value: bytes | str | None, expected: Preferences
) -> None:
    assert read_preferences(value) == expected


def test_an_endless_wait_is_a_long_one() -> None:
    found = read_preferences(b"wait=" + b"9" * 5000)
    assert found.wait is not None
    assert found.wait > 10**6


@given(st.text(alphabet='abwit=;," \\09-', max_size=60))
def test_no_header_value_breaks_the_parser(text: str) -> None:
    assert isinstance(read_preferences(text), Preferences)


def test_only_applied_preferences_are_reported() -> None:
    both = Preferences(respond_async=True, wait=10)
    assert NO_PREFERENCES.applied(waited=10, responded_async=True) is None
    assert both.applied() is None
    assert both.applied(waited=5.0) == "wait=5"
    assert both.applied(responded_async=True) == "respond-async"
    assert both.applied(waited=10, responded_async=True) == "respond-async, wait=10"
