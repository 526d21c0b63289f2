"""Which requests of a browser count as those of our own pages."""

from __future__ import annotations

import pytest

from gateway.auth.csrf import check_csrf, check_same_origin, csrf_token
from gateway.auth.session_cookie import session_token
from gateway.errors import GatewayError

TOKEN = "t" * 43
RIGHT = {b"x-csrf-token": csrf_token(TOKEN).encode(), b"host": b"gateway.example:8080"}


def test_what_changes_nothing_needs_no_token() -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        check_csrf(method, {b"origin": b"https://evil.example"}, TOKEN, ())


@pytest.mark.parametrize(
    "more",
    [
        {},
        {b"origin": b"http://gateway.example:8080"},
        {b"origin": b"HTTPS://Gateway.example:8080"},
        {b"sec-fetch-site": b"same-origin"},
        {b"sec-fetch-site": b"none"},
        {b"origin": b"https://console.example"},
    ],
)
def test_pages_of_the_gateway_are_accepted(more: dict[bytes, bytes]) -> None:
    check_csrf("POST", {**RIGHT, **more}, TOKEN, {"https://console.example"})


@pytest.mark.parametrize(
    "more",
    [
        {b"x-csrf-token": b""},
        {b"x-csrf-token": csrf_token("another").encode()},
        {b"x-csrf-token": TOKEN.encode()},
        {b"x-csrf-token": b"\xff\xfe"},
        {b"origin": b"http://gateway.example"},
        {b"origin": b"http://gateway.example.evil.example:8080"},
        {b"origin": b"http://gateway.example:8080@evil.example"},
        {b"origin": b"null"},
        {b"origin": b""},
        {b"origin": b"http://[broken"},
        {b"sec-fetch-site": b"cross-site"},
        {b"sec-fetch-site": b"same-site"},
    ],
)
def test_pages_of_other_sites_are_rejected(more: dict[bytes, bytes]) -> None:
    with pytest.raises(GatewayError) as caught:
        check_csrf("POST", {**RIGHT, **more}, TOKEN, {"https://console.example"})
    assert caught.value.code == "csrf_failed"


def test_a_request_without_a_host_is_cross_site() -> None:
    with pytest.raises(GatewayError):
        check_same_origin({b"origin": b"null"}, ())


def test_the_csrf_token_does_not_reveal_the_session_token() -> None:
    assert TOKEN not in csrf_token(TOKEN)
    assert csrf_token(TOKEN) != csrf_token(TOKEN[:-1] + "u")


def test_a_cookie_is_found_among_others_whatever_they_hold() -> None:
    for header, found in (
        (b"slipstream_session=abc", "abc"),
        (b'a={"b": 1}; slipstream_session=abc; c', "abc"),
        (b"slipstream_session=plain; __Host-slipstream_session=tls", "tls"),
        (b"slipstream_session=", None),
        (b"xslipstream_session=abc", None),
        (b"\xff\xfe", None),
    ):
        assert session_token({b"cookie": header}) == found, header
    assert session_token({}) is None
