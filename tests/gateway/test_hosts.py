"""One supervisor at a time has the lease of a database."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import update

from gateway.fleet.hosts import LEASE_SECONDS, RELOAD_LEASE_SECONDS, HostLease, HostStore
from gateway.storage.database import Database
from gateway.storage.sql import seconds_from_now
from gateway.storage.tables import Host

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def hosts(database: Database) -> HostStore:
    """The rows of hosts."""
    return HostStore(database)


async def claim(
    hosts: HostStore, owner: str, *ended: str, joined: bool = False
) -> HostLease | Host:
    """Claim the lease as a process on a machine of the same name."""
    return await hosts.claim(
        name=owner, owner=owner, has_ended=lambda name: name in ended, joined=joined
    )


async def held(hosts: HostStore, owner: str, *ended: str, joined: bool = False) -> HostLease:
    """Claim the lease successfully."""
    lease = await claim(hosts, owner, *ended, joined=joined)
    assert isinstance(lease, HostLease)
    return lease


async def expire(database: Database) -> None:
    """Let time pass until every lease has ended."""
    async with database.write() as session:
        ended = seconds_from_now(-0.001)
        await session.execute(update(Host).values(lease_until=ended))


async def test_a_lease_that_is_held_is_given_to_no_other(hosts: HostStore) -> None:
    await held(hosts, "first")
    found = await claim(hosts, "second")
    assert isinstance(found, Host)
    assert (found.name, found.owner) == ("first", "first")


async def test_of_several_claims_at_once_one_succeeds(hosts: HostStore) -> None:
    found = await asyncio.gather(*(claim(hosts, f"host {number}") for number in range(8)))
    assert sum(isinstance(each, HostLease) for each in found) == 1


async def test_renewals_prolong_a_lease(hosts: HostStore, database: Database) -> None:
    lease = await held(hosts, "first")
    before = await claim(hosts, "second")
    assert isinstance(before, Host)
    await asyncio.sleep(0.01)
    assert await hosts.renew(lease) == 0
    after = await claim(hosts, "second")
    assert isinstance(after, Host)
    assert timedelta(0) < after.lease_until - before.lease_until < timedelta(seconds=LEASE_SECONDS)
    await expire(database)
    assert await hosts.renew(lease) == 0, "no other has taken it"
    assert isinstance(await claim(hosts, "second"), Host)


@pytest.mark.parametrize("how", ["expired", "released", "ended", "own"])
async def test_the_next_lease_has_a_greater_token_and_ends_the_one_before(
    hosts: HostStore, database: Database, how: str
) -> None:
    first = await held(hosts, "first")
    if how == "expired":
        await expire(database)
    elif how == "released":
        await hosts.release(first)
    second = await held(
        hosts, "first" if how == "own" else "second", *(["first"] if how == "ended" else [])
    )
    assert second.token > first.token
    assert await hosts.renew(first) is None
    await hosts.release(first)
    assert isinstance(await claim(hosts, "third"), Host), "the old lease releases nothing"
    assert await hosts.renew(second) == 0


async def test_a_lease_lasts_longer_while_the_program_of_its_owner_is_replaced(
    hosts: HostStore,
) -> None:
    async def lasts_until(lease: HostLease) -> datetime:
        (host,) = [each.row for each in await hosts.all() if each.row.id == lease.host_id]
        return host.lease_until

    lease = await held(hosts, "first")
    usual = await lasts_until(lease)
    await hosts.prolong(lease)
    long = await lasts_until(lease)
    assert long - usual > timedelta(seconds=RELOAD_LEASE_SECONDS - LEASE_SECONDS - 1)
    again = await held(hosts, "first")
    assert (again.host_id, await lasts_until(again)) == (lease.host_id, long)
    await hosts.prolong(lease)
    assert await lasts_until(again) == long, "its lease is that of the new program"
    await hosts.renew(again)
    assert await lasts_until(again) < long - timedelta(seconds=LEASE_SECONDS)


async def test_hosts_that_have_joined_stand_beside_each_other(
    hosts: HostStore, database: Database
) -> None:
    first = await held(hosts, "first")
    others = [await held(hosts, name, joined=True) for name in ("second", "third")]
    assert [await hosts.renew(lease) for lease in (first, *others)] == [2, 2, 2]
    assert isinstance(await claim(hosts, "fourth"), Host), "it has not joined"
    assert len({lease.token for lease in (first, *others)}) == 3
    await expire(database)
    await held(hosts, "fifth")
    assert await hosts.renew(first) is None
    assert await hosts.renew(others[0]) == 1, "its lease had ended, and it goes on"


async def test_a_host_that_is_refused_deletes_no_other(hosts: HostStore) -> None:
    first = await held(hosts, "first", joined=True)
    second = await held(hosts, "second")
    assert isinstance(await claim(hosts, "third", "first"), Host)
    assert await hosts.renew(first) == 1
    assert await hosts.renew(second) == 1


async def test_the_row_of_a_host_that_is_known_to_have_ended_is_deleted(hosts: HostStore) -> None:
    first, second = await held(hosts, "first"), await held(hosts, "second", joined=True)
    third = await held(hosts, "third", "second", joined=True)
    assert await hosts.renew(second) is None
    assert await hosts.renew(first) == await hosts.renew(third) == 1


async def test_a_machine_that_returns_after_a_power_cycle_is_listed_once(
    hosts: HostStore, database: Database
) -> None:
    async def boot(name: str, number: int) -> HostLease:
        lease = await hosts.claim(
            name=name, owner=f"{name}/{number}", has_ended=lambda _: False, joined=True
        )
        assert isinstance(lease, HostLease)
        return lease

    first = await boot("h1", 1)
    before = await boot("h2", 1)
    await boot("h2", 2)
    assert [it.row.name for it in await hosts.all()] == ["h1", "h2", "h2"], "both live"
    await hosts.cordon(before.host_id)
    await expire(database)
    assert await hosts.renew(first) == 0
    await boot("h2", 3)
    assert [(it.row.name, it.is_alive) for it in await hosts.all()] == [("h1", True), ("h2", True)]
    assert (await hosts.all())[1].row.cordoned_at is not None, "it stays so until a person says so"
    assert await hosts.renew(before) is None
    assert await hosts.renew(first) == 1


async def test_a_process_that_claims_again_keeps_its_row(hosts: HostStore) -> None:
    await held(hosts, "first")
    before = await held(hosts, "second", joined=True)
    after = await held(hosts, "second")  # as after a reload with other options
    assert after.host_id == before.host_id
    assert after.token > before.token
    assert await hosts.renew(before) is None
    assert [host.row.joined for host in await hosts.all()] == [False, True]


async def test_a_host_whose_lease_ended_long_ago_is_forgotten(
    hosts: HostStore, database: Database
) -> None:
    for name in ("first", "second"):
        await held(hosts, name, joined=name == "second")
    await expire(database)
    await hosts.forget()
    assert [(host.row.name, host.is_alive) for host in await hosts.all()] == [
        ("first", False),
        ("second", False),
    ]
    assert await hosts.counts() == {"alive": 0, "gone": 2}
    async with database.write() as session:
        await session.execute(update(Host).values(lease_until=seconds_from_now(-8 * 86_400)))
    await hosts.forget()
    assert [host.row.name for host in await hosts.all()] == ["first"]
