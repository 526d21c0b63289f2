"""URLs as they are read."""

from __future__ import annotations

import pytest

from gateway.errors import GatewayError
from gateway.outbound.targets import parse_target
from protos.errors import ErrorCode


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "authority"),
    [
        ("https://example.com", "example.com", 443, b"/", "example.com"),
        ("https://Example.COM./a?b=c#d", "example.com.", 443, b"/a?b=c", "example.com."),
        ("https://example.com:8443/ä", "example.com", 8443, b"/%C3%A4", "example.com:8443"),
        ("https://[2606:2800::1]/x", "2606:2800::1", 443, b"/x", "[2606:2800::1]"),
        ("https://bücher.example/", "xn--bcher-kva.example", 443, b"/", "xn--bcher-kva.example"),
        ("http://example.com/%41", "example.com", 80, b"/%41", "example.com"),
        ("https://8.8.8.8/", "8.8.8.8", 443, b"/", "8.8.8.8"),
        ("https://under_score.example/", "under_score.example", 443, b"/", "under_score.example"),
    ],
)
def test_a_url_is_read_once(url: str, host: str, port: int, path: bytes, authority: str) -> None:
    target = parse_target(url, allow_http=True)
    assert (target.host, target.port, target.path) == (host, port, path)
    assert target.authority == authority


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://example.com/", "https"),
        ("ftp://example.com/", "https"),
        ("file:///etc/passwd", "https"),
        ("//example.com/", "https"),
        ("", "https"),
        ("https://user:secret@example.com/", "user and password"),
        ("https://@example.com/", "user and password"),
        ("https://example.com\\@evil.example/", "backslashes"),
        ("https://exa mple.com/", "spaces"),
        ("https://example.com/\r\nx: y", "control"),
        ("https:///path", "host name"),
        ("https://" + "a." * 130 + "com/", "host name"),
        ("https://-a-.example/", "host name"),
        ("https://example.com:99999/", "such as"),
        ("https://example.com:http/", "such as"),
        ("https://[::1/", "such as"),
        ("https://[fe80::1%25eth0]/", "interface"),
        ("https://2130706433/", "usual form"),
        ("https://0x7f000001/", "usual form"),
        ("https://0177.0.0.1/", "usual form"),
        ("https://127.1/", "usual form"),
        ("https://127.0.0.0x1/", "usual form"),
        ("https://metadata.google.internal/", "credentials"),
        ("https://METADATA.google.internal./", "credentials"),
        ("https://exa%6Dple.com/", "host name"),
        ("https://xn--\u2603\u200d.example/", "host name"),
    ],
)
def test_a_url_that_is_refused_says_why(url: str, says: str) -> None:
    with pytest.raises(GatewayError) as caught:
        parse_target(url, allow_http=False)
    assert caught.value.code is ErrorCode.BLOCKED_TARGET
    assert says in caught.value.message
    assert "secret" not in caught.value.message


def test_errors_do_not_contain_the_query_of_a_refused_url() -> None:
    with pytest.raises(GatewayError) as caught:
        parse_target("http://example.com/?token=hidden", allow_http=False)
    assert "hidden" not in caught.value.message
