"""Whom a request is of, where proxies stand between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.auth import keys
from gateway.auth.identity import Role, Scope
from gateway.auth.proxies import TrustedProxies
from gateway.settings import Settings
from gateway.storage.database import Database
from tests.gateway.audit.audit_log_entries import acts_in
from tests.gateway.fast_path.client import Client, chunked
from tests.gateway.served_gateway import PASSWORD, ServedGateway

OURS = (ip_network("10.0.0.0/8"), ip_network("2001:db8:ffff::/48"))
PROXIES = TrustedProxies(OURS)
PEER = "10.0.0.1"
FAILURES = 2

proxies = st.sampled_from(["10.0.0.2", "10.255.255.255", "2001:db8:ffff::7", "::ffff:10.0.0.3"])
untrusted_addresses = (st.ip_addresses(v=4) | st.ip_addresses(v=6)).filter(
    lambda address: (
        not any(address in network for network in OURS)
        and not (isinstance(address, IPv6Address) and address.ipv4_mapped)
    )
)
anything = st.binary(max_size=60).map(lambda value: value.replace(b"\n", b"").replace(b"\r", b""))


def written(address: IPv4Address | IPv6Address, form: int) -> str:
    """Return an address in one of the forms in which proxies write it."""
    if isinstance(address, IPv4Address):
        return (str(address), f"{address}:4711", f"::ffff:{address}")[form]
    return (str(address), f"[{address}]:4711", f"[{address.exploded}]")[form]


def lines_of(words: list[bytes], cuts: set[int]) -> list[tuple[bytes, bytes]]:
    """Return the words as a header, in one line or several."""
    edges = [0, *sorted(cut for cut in cuts if 0 < cut < len(words)), len(words)]
    parts = [words[start:end] for start, end in pairwise(edges)]
    return [(b"x-forwarded-for", b", ".join(part)) for part in parts]


@given(
    invented=st.lists(anything, max_size=5),
    client=untrusted_addresses,
    form=st.integers(0, 2),
    hops=st.lists(proxies, max_size=8),
    cuts=st.sets(st.integers(0, 14)),
)
def test_the_client_is_the_rightmost_address_that_is_not_a_proxy(
    invented: list[bytes],
    client: IPv4Address | IPv6Address,
    form: int,
    hops: list[str],
    cuts: set[int],
) -> None:
    words = [*invented, written(client, form).encode(), *(hop.encode() for hop in hops)]
    assert PROXIES.client(PEER, lines_of(words, cuts)) == str(client)


@given(peer=untrusted_addresses, words=st.lists(anything, max_size=5))
def test_headers_of_untrusted_peers_are_ignored(
    peer: IPv4Address | IPv6Address, words: list[bytes]
) -> None:
    lines = [(b"x-forwarded-for", word) for word in [*words, b"192.0.2.1"]]
    assert PROXIES.client(str(peer), lines) == str(peer)
    assert TrustedProxies(()).client(PEER, lines) == PEER
    assert PROXIES.client("", lines) == ""


@given(
    words=st.lists(anything | untrusted_addresses.map(lambda one: str(one).encode()), max_size=30)
)
def test_the_result_is_always_an_address(words: list[bytes]) -> None:
    found = PROXIES.client(PEER, [(b"x-forwarded-for", b",".join(words))])
    assert str(ip_address(found)) == found


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("", PEER),
        ("unknown", PEER),
        ("192.0.2.1, unknown", PEER),
        ("192.0.2.1, _hidden, 10.0.0.2", "10.0.0.2"),
        ("192.0.2.1,, 10.0.0.2", "10.0.0.2"),
        ("192.0.2.1 192.0.2.2", PEER),
        ("192.0.2.01", PEER),
        ("0x7f000001", PEER),
        ("3221225985", PEER),
        ("fe80::1%eth0", PEER),
        ("\xb9\xb2\xb3.0.2.1", PEER),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        (" 192.0.2.1\t", "192.0.2.1"),
        ("192.0.2.1" + ", 10.0.0.2" * 16, "192.0.2.1"),
        ("192.0.2.1" + ", 10.0.0.2" * 17, "10.0.0.2"),
        ("192.0.2.1, " * 3000, PEER),
    ],
)
def test_an_invalid_address_ends_the_search(said: str, found: str) -> None:
    assert PROXIES.client(PEER, [(b"x-forwarded-for", said.encode("latin-1"))]) == found


def test_no_other_header_is_read() -> None:
    names = (b"forwarded", b"x-real-ip", b"x-forwarded", b"x_forwarded_for", b"cf-connecting-ip")
    lines = [(name, b"192.0.2.1") for name in names]
    assert PROXIES.client(PEER, [*lines, (b"forwarded", b"for=192.0.2.1")]) == PEER


def test_the_setting_takes_networks_and_never_all_of_them() -> None:
    given = Settings.model_validate({"trusted_proxies": "10.0.0.0/8, 2001:db8::1,"})
    assert given.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("2001:db8::1/128"))
    for wrong in ("0.0.0.0/0", "10.0.0.0/8,::/0", "10.0.0.1/8", "proxy.example", "*"):
        with pytest.raises(ValidationError, match="trusted_proxies"):
            Settings.model_validate({"trusted_proxies": wrong})


@pytest.fixture
async def behind(database: Database, settings: Settings) -> AsyncIterator[ServedGateway]:
    """A gateway that trusts every peer on this machine as a proxy."""
    changes = {"trusted_proxies": (ip_network("127.0.0.0/8"),), "failed_auth_per_minute": FAILURES}
    opened = ServedGateway(settings.model_copy(update=changes))
    await opened.open()
    yield opened
    await opened.close()


def request_at(door: str) -> tuple[str, str]:
    """Return method and path of a request that takes a key."""
    return {
        "trigger": ("POST", "/node/deployment-trigger/00000000-0000-4000-8000-000000000000/"),
        "v2": ("GET", "/v2/models/iris"),
        "management": ("GET", "/node/flows/"),
    }[door]


async def guess(served_gateway: ServedGateway, door: str, *forwarded: str) -> int:
    """Present a key that is none; return the answer's status."""
    lines = [("x-forwarded-for", line) for line in forwarded]
    headers = [("x-api-key", keys.generate_key()), *lines]
    return (await served_gateway.client().request(*request_at(door), headers=headers)).status_code


@pytest.mark.parametrize("door", ["trigger", "v2", "management"])
async def test_guesses_behind_a_proxy_block_only_the_guessing_client(
    behind: ServedGateway, door: str
) -> None:
    guesser, neighbour = "203.0.113.1", "203.0.113.2"
    answers = [await guess(behind, door, guesser) for _ in range(FAILURES + 1)]
    assert answers == [401] * FAILURES + [429]
    assert await guess(behind, door, neighbour) == 401
    for number in range(3):
        invented = f"198.51.100.{number}"
        assert await guess(behind, door, f"{invented}, {guesser}") == 429
        assert await guess(behind, door, invented, f"{guesser}, 127.0.0.9") == 429
        assert await guess(behind, door, f"{invented}, {guesser}", "127.0.0.9") == 429


@pytest.mark.parametrize("door", ["trigger", "v2", "management"])
async def test_untrusted_clients_cannot_set_their_address(
    database: Database, settings: Settings, door: str
) -> None:
    changes = {"trusted_proxies": (ip_network("10.0.0.0/8"),), "failed_auth_per_minute": FAILURES}
    for update in (changes, {**changes, "trusted_proxies": ()}):
        served_gateway = ServedGateway(settings.model_copy(update=update))
        await served_gateway.open()
        answers = [await guess(served_gateway, door, f"198.51.100.{number}") for number in range(4)]
        await served_gateway.close()
        assert answers == [401] * FAILURES + [429] * 2


async def test_sessions_and_events_have_the_client_address(behind: ServedGateway) -> None:
    await behind.user("ada@example.com", Role.ADMIN)
    browser = behind.client(**{"x-forwarded-for": "198.51.100.1, 203.0.113.7"})
    answer = await browser.post(
        "/node/session/", json={"email": "ada@example.com", "password": PASSWORD}
    )
    assert answer.status_code == 200
    sessions = (await browser.get("/node/sessions/")).json()["items"]
    assert [session["address"] for session in sessions] == ["203.0.113.7"]
    assert (await acts_in(behind.db))[-1].address == "203.0.113.7"


@pytest.mark.parametrize("door", ["trigger", "v2", "management"])
async def test_a_key_shows_its_owner_where_it_was_last_used_from(
    behind: ServedGateway, door: str
) -> None:
    ada = await behind.user("ada@example.com", Role.ADMIN)
    issued = await behind.services.keys.create(ada.id, name="phone", scope=Scope.MANAGE)
    owner = await behind.key_client(ada, Scope.MANAGE)
    for said, shown in (
        ({"x-forwarded-for": "198.51.100.1, 203.0.113.7"}, "203.0.113.7"),
        ({"x-forwarded-for": "2001:db8::1"}, "2001:db8::1"),
        ({}, "127.0.0.1"),
    ):
        client = behind.client(**{"x-api-key": issued.plain}, **said)
        answers = [await client.request(*request_at(door)) for _ in range(2)]
        assert 401 not in [answer.status_code for answer in answers]
        await behind.container.key_usage.flush()
        found = (await owner.get(f"/node/api-keys/{issued.row.id}/")).json()
        assert found["last_address"] == shown
        listed = (await owner.get("/node/api-keys/")).json()["items"]
        assert shown in [key["last_address"] for key in listed]


async def test_a_trailer_does_not_set_the_client_address(behind: ServedGateway) -> None:
    await behind.user("ada@example.com", Role.ADMIN)
    body = orjson.dumps({"email": "ada@example.com", "password": PASSWORD})
    client = await Client.to(int(behind.url.rpartition(":")[2]))
    request = chunked(b"/node/session/", body, trailers=b"x-forwarded-for: 198.51.100.1\r\n")
    more = b"content-type: application/json\r\nx-forwarded-for: 203.0.113.7\r\n"
    answer = await client.asked(request.replace(b"host:", more + b"host:", 1))
    await client.close()
    assert answer.status == 200
    assert (await acts_in(behind.db))[-1].address == "203.0.113.7"
