"""What the command derives from its options."""

from __future__ import annotations

import pytest
from psutil import net_if_addrs

from slipstream.settings import address_for_others, reachable
from slipstream.trigger_call import TriggerCall


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


@pytest.mark.parametrize("listening", ["192.0.2.1", "2001:db8::1", "localhost", "gateway.example"])
def test_others_reach_an_address_by_itself(listening: str) -> None:
    assert address_for_others(listening) == listening


@pytest.mark.parametrize("listening", ["0.0.0.0", "::"])
def test_others_reach_an_address_of_all_by_one_of_this_machine(listening: str) -> None:
    found = address_for_others(listening)
    own = {each.address.partition("%")[0] for nic in net_if_addrs().values() for each in nic}
    assert found in own or found == reachable(listening), "a machine may have no way to others"
    call = TriggerCall(host=listening, port=1, path="/v1/ada/d", key="k", input_data={})
    assert f"http://{f'[{found}]' if ':' in found else found}:1/v1/ada/d" in call.curl()
