"""What the command derives from its options."""

from __future__ import annotations

import pytest

from slipstream.settings import reachable


@pytest.mark.parametrize(
    ("listening", "reached"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("::", "::1"),
        ("0:0:0:0:0:0:0:0", "::1"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("localhost", "localhost"),
    ],
)
def test_an_address_of_all_is_reached_by_loopback(listening: str, reached: str) -> None:
    assert reachable(listening) == reached
