"""Which addresses may be dialled."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from gateway.outbound.addresses import block_reason, embedded_ipv4

PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:2800:220:1::1", "2001:4860:4860::8888"]
PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fc00::1",
    "fd12:3456::1",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "100::1",
]
WRAPPED = [
    "::ffff:127.0.0.1",
    "::ffff:10.1.2.3",
    "::127.0.0.1",
    "::a00:1",
    "2002:7f00:1::1",
    "2002:a00:1::",
    "64:ff9b::7f00:1",
    "64:ff9b::c0a8:101",
    "64:ff9b:1::a00:1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
]
METADATA = [
    "169.254.169.254",
    "169.254.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::a9fe:a9fe",
    "::ffff:169.254.169.254",
    "::ffff:100.100.100.200",
    "2002:a9fe:a9fe::",
    "64:ff9b::a9fe:a9fe",
    "::a9fe:a9fe",
]
EVERYTHING = [ip_network("0.0.0.0/0"), ip_network("::/0")]


@pytest.mark.parametrize("text", PUBLIC)
def test_the_public_internet_may_be_dialled_at_the_usual_ports(text: str) -> None:
    address = ip_address(text)
    assert all(block_reason(address, port, ()) is None for port in (80, 443, 8443))
    assert "port 22" in (block_reason(address, 22, ()) or "")


@pytest.mark.parametrize("text", [*PRIVATE, *WRAPPED, *METADATA])
def test_nothing_else_may(text: str) -> None:
    assert block_reason(ip_address(text), 443, ()) is not None


@pytest.mark.parametrize("text", METADATA)
def test_the_operator_cannot_open_where_credentials_are_kept(text: str) -> None:
    assert "credentials" in (block_reason(ip_address(text), 443, EVERYTHING) or "")


@pytest.mark.parametrize(
    ("network", "text"),
    [
        ("10.0.0.0/8", "10.9.8.7"),
        ("10.0.0.0/8", "::ffff:10.9.8.7"),
        ("127.0.0.1/32", "127.0.0.1"),
        ("::1/128", "::1"),
        ("fd00::/8", "fd12::1"),
    ],
)
def test_the_operator_can_open_private_networks_at_every_port(network: str, text: str) -> None:
    allowed = [ip_network(network)]
    assert block_reason(ip_address(text), 8123, allowed) is None
    assert block_reason(ip_address("192.168.0.1"), 443, allowed) is not None


def test_an_address_of_the_other_kind_is_in_no_network() -> None:
    assert block_reason(ip_address("fd00::1"), 443, [ip_network("10.0.0.0/8")]) is not None
    assert block_reason(ip_address("10.0.0.1"), 443, [ip_network("fd00::/8")]) is not None


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("::1.2.3.4", "1.2.3.4"),
        ("2002:102:304::", "1.2.3.4"),
        ("64:ff9b::102:304", "1.2.3.4"),
        ("2001:0:4136:e378:8000:63bf:fefd:fcfb", "1.2.3.4"),
    ],
)
def test_an_embedded_address_is_found(text: str, inner: str) -> None:
    assert embedded_ipv4(ip_address(text)) == ip_address(inner)


@pytest.mark.parametrize("text", ["::1", "::", "2606:2800::1", "8.8.8.8", "fd00::1"])
def test_an_address_that_wraps_none_is_itself(text: str) -> None:
    assert embedded_ipv4(ip_address(text)) is None
