"""How many streams of events of runs a key and a user may have open."""

from __future__ import annotations

import asyncio

import pytest

from gateway.auth.identity import Identity, Role, Scope
from gateway.errors import GatewayError
from gateway.runs.run import RunResult, RunStatus
from gateway.runs.stream_places import KEYS_PER_USER, StreamPlaces
from gateway.settings import Settings
from protos.errors import ErrorCode
from tests.gateway.runs.builders import until
from tests.gateway.runs.runs_api import RUNS, RunsApi

PER_KEY = 2


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"key_event_streams": PER_KEY})


def identity(key_id: str | None, profile_id: str = "ada") -> Identity:
    return Identity(
        key_id=key_id,
        profile_id=profile_id,
        scope=Scope.MANAGE,
        deployments=None,
        role=Role.MEMBER,
    )


async def test_a_key_may_have_so_many_streams_of_runs_and_others_get_theirs(api: RunsApi) -> None:
    user, bob = await api.user(), await api.user("bob@example.com")
    deployment = await user.deployment()
    run, of_bob = await user.run(deployment), await bob.run(await bob.deployment())
    path = f"{RUNS}{run.id}/events/"
    streams = [asyncio.create_task(user.client.get(path)) for _ in range(PER_KEY)]
    await until(lambda: len(api.waiter._all()) == PER_KEY)
    refused = await user.client.get(path)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
    assert f"your key has {PER_KEY} streams" in refused.json()["message"]
    assert int(refused.headers["retry-after"]) > 0
    assert (await user.client.get(f"{RUNS}{run.id}/?wait=1")).status_code == 200
    other_key = await user.key_for(deployment)
    streams.append(asyncio.create_task(other_key.get(path)))
    streams.append(asyncio.create_task(bob.client.get(f"{RUNS}{of_bob.id}/events/")))
    await until(lambda: len(api.waiter._all()) == PER_KEY + 2)
    for each in (run, of_bob):
        assert await api.store.claim(each.id, "w") is not None
        ending = RunResult(status=RunStatus.COMPLETED, output_data=b"{}")
        assert await api.store.finish(each.id, 1, ending) is not None
    assert {(await stream).status_code for stream in streams} == {200}
    for _ in range(PER_KEY + 1):  # each gives its place back
        assert (await user.client.get(path)).status_code == 200


async def test_a_client_that_leaves_gives_up_its_place(api: RunsApi) -> None:
    user = await api.user()
    path = f"{RUNS}{(await user.run(await user.deployment())).id}/events/"
    for _ in range(PER_KEY + 1):
        stream = asyncio.create_task(user.client.get(path))
        await until(lambda: len(api.waiter._all()) == 1)
        stream.cancel()
        await asyncio.gather(stream, return_exceptions=True)
        await until(lambda: not api.waiter._all())


def test_the_keys_of_a_user_share_places() -> None:
    places = StreamPlaces(1)
    taken = [places.take(identity(f"key {number}")) for number in range(KEYS_PER_USER)]
    with pytest.raises(GatewayError, match=f"your keys have {KEYS_PER_USER} streams") as caught:
        places.take(identity(None))
    assert caught.value.code is ErrorCode.TOO_MANY_STREAMS
    places.take(identity("another", "bob"))
    taken[0]()
    give_up = places.take(identity(None))
    with pytest.raises(GatewayError, match="your sessions have 1 streams"):
        places.take(identity(None))
    give_up()
    assert not places._keys["ada"]
