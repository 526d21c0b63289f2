"""Who can read /metrics, which names the deployments of all users."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from gateway.auth.identity import Role
from gateway.auth.metrics_access import MetricsAccess
from gateway.auth.proxies import TrustedProxies
from gateway.execution.lease_owner import lease_owner_name
from gateway.fleet import scrape_targets
from gateway.fleet.hosts import HostLease
from gateway.fleet.service_process import ProcessKind, SeenProcess
from gateway.fleet.states import State
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.upstream.servers import ReplicaStatus, ServerStatus
from tests.gateway.runs.builders import until
from tests.gateway.served_gateway import CREDENTIALS, ServedGateway
from transport.bearer_tokens import BearerTokens, TokenFileError

PATHS = ("/metrics", "/metrics/targets")
TOKEN, NEXT_TOKEN = "a" * 32, "b" * 32
REMOTE = {"x-forwarded-for": "192.0.2.1"}
DEPLOYMENT = "0b6f1e5c-5d0f-4e0f-9c0e-5d8a1f6f8c11"

Serve = Callable[..., Awaitable[ServedGateway]]


@pytest.fixture
async def serve(database: Database, settings: Settings) -> AsyncIterator[Serve]:
    """Serves a gateway with other settings, on which a deployment was called."""
    async with AsyncExitStack() as stack:

        async def serve(**changes: object) -> ServedGateway:
            served = ServedGateway(settings.model_copy(update=changes))
            await served.open()
            stack.push_async_callback(served.close)
            served.container.metrics.for_deployment(DEPLOYMENT, "fast").answered(200, 0.001)
            return served

        yield serve


async def statuses(client: httpx.AsyncClient) -> list[int]:
    """Return what the client is answered at each path; a refusal names no deployment."""
    answers = [await client.get(path) for path in PATHS]
    for answer in answers:
        if answer.is_error:
            assert answer.headers["content-type"] == "application/problem+json"
            assert DEPLOYMENT not in answer.text
    return [answer.status_code for answer in answers]


async def test_a_program_on_this_machine_needs_nothing(serve: Serve) -> None:
    served = await serve()
    client = served.client()
    assert await statuses(client) == [200, 200]
    assert DEPLOYMENT in (await client.get("/metrics")).text


@pytest.mark.parametrize(
    "header",
    [
        *("X-Forwarded-For", "X-Real-IP", "Forwarded", "Via"),
        *("CF-Connecting-IP", "True-Client-IP", "X-Client-IP"),
    ],
)
async def test_a_client_behind_a_proxy_on_this_machine_is_refused(
    serve: Serve, header: str
) -> None:
    served = await serve()
    assert await statuses(served.client(**{header: "127.0.0.1"})) == [401, 401]


async def test_a_trusted_proxy_on_this_machine_is_refused_for_itself_too(serve: Serve) -> None:
    served = await serve(trusted_proxies=(ip_network("127.0.0.0/8"),))
    for headers in ({}, REMOTE, {"x-forwarded-for": "127.0.0.1"}):
        assert await statuses(served.client(**headers)) == [401, 401]


async def test_a_key_or_session_of_an_administrator_is_enough(serve: Serve) -> None:
    served = await serve()
    for role in Role:
        user = await served.user(f"{role}@example.com", role)
        for credential in CREDENTIALS:
            client = (await served.caller(user, credential)).client
            client.headers.update(REMOTE)
            allowed = role is not Role.MEMBER and credential != "trigger key"
            assert await statuses(client) == ([200] * 2 if allowed else [403] * 2), credential


async def test_with_tokens_everyone_needs_one(serve: Serve, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN}\n")
    served = await serve(metrics_token_file=tokens)
    right, wrong = f"Bearer {TOKEN}", f"Bearer {NEXT_TOKEN}"
    assert await statuses(served.client(authorization=right)) == [200, 200]
    assert await statuses(served.client(authorization=right, **REMOTE)) == [200, 200]
    for headers in ({}, {"authorization": wrong}, {"authorization": f"Bearer {TOKEN[:-1]}"}):
        assert await statuses(served.client(**headers)) == [401, 401], headers


@pytest.mark.long
async def test_tokens_are_reloaded_when_their_file_changes(serve: Serve, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN)
    access = (await serve(metrics_token_file=tokens)).container.metrics_access
    headers = [(b"authorization", f"Bearer {NEXT_TOKEN}".encode())]
    access.start()
    try:
        assert not access.admits("127.0.0.1", headers)
        tokens.write_text(f"{TOKEN}\n{NEXT_TOKEN}\n")
        await until(lambda: access.admits("127.0.0.1", headers))
    finally:
        await access.stop()


def test_a_token_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("short")
    with pytest.raises(TokenFileError, match="openssl rand -hex 32"):
        BearerTokens(tokens)


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("127.0.0.9", False),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1", False),
        ("", False),
    ],
)
def test_only_loopback_addresses_that_are_no_proxy_are_local(peer: str, local: bool) -> None:
    assert TrustedProxies([ip_network("127.0.0.9/32")]).is_local(peer, []) is local


async def test_servers_on_loopback_are_named_to_readers_on_their_machine_only(
    serve: Serve,
) -> None:
    served = await serve(trusted_proxies=(ip_network("127.0.0.9/32"),))
    here, there = [
        await served.container.hosts.claim(
            name="a", owner=owner, has_ended=lambda _: False, joined=True
        )
        for owner in (lease_owner_name("supervisor"), "supervisor-1-2@another/3/4")
    ]
    assert isinstance(here, HostLease)
    assert isinstance(there, HostLease)
    found = [
        ("127.0.0.1:1", None, here.host_id),
        ("127.0.0.1:2", None, there.host_id),
        ("https://[::1]:3", None, there.host_id),
        ("https://10.0.0.6:4", None, there.host_id),
        ("127.0.0.1:5", "127.0.0.1:6", None),  # these two have registered themselves
        ("127.0.0.1:7", "pod:6", None),
    ]
    replicas = tuple(
        ReplicaStatus(
            slot=slot,
            metrics_address=metrics,
            tcp_address=tcp,
            is_hosted=host is not None,
            host_id=host,
        )
        for slot, (metrics, tcp, host) in enumerate(found)
    )
    status = ServerStatus(model="iris", version=1, wanted=False, state="stopped", replicas=replicas)
    served.container.servers.apply([status])
    owner = await served.user("ada@example.com", Role.OWNER)
    client = (await served.caller(owner, "manage key")).client

    async def targets(**headers: str) -> list[str]:
        answer = await client.get("/metrics/targets", headers=headers)
        return [address for each in answer.json() for address in each["targets"]]

    assert await targets() == ["127.0.0.1:1", "10.0.0.6:4", "127.0.0.1:5"]
    assert await targets(**REMOTE) == ["10.0.0.6:4"]


async def test_workers_with_metrics_are_named_once(serve: Serve) -> None:
    served = await serve()
    worker = SeenProcess(kind=ProcessKind.WORKER, name="rest", state=State.READY)
    there, here = "http://10.0.0.7:9100", "http://127.0.0.1:9100"
    seen = [
        replace(worker, address=there),
        replace(worker, name="sync", address=there),
        replace(worker, address=here),
        worker,  # of `up`
        replace(worker, kind=ProcessKind.GATEWAY, address="http://10.0.0.8:8080"),
    ]
    await served.container.processes.write(dict(zip("abcde", seen, strict=True)), None)
    name, labels = socket.gethostname(), {"__scheme__": "http"}
    remote = {"targets": ["10.0.0.7:9100"], "labels": {"worker_host": name, **labels}}
    local = {"targets": ["127.0.0.1:9100"], "labels": {"worker_host": name, **labels}}
    assert (await served.client().get("/metrics/targets")).json() == [remote, local]
    owner = await served.user("ada@example.com", Role.OWNER)
    client = (await served.caller(owner, "manage key")).client
    answer = await client.get("/metrics/targets", headers=REMOTE)
    assert answer.json() == [remote]


async def test_targets_are_known_for_a_while_when_the_database_is_away(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = await serve()
    gateway = SeenProcess(
        kind=ProcessKind.GATEWAY,
        name="gateway 1",
        state=State.READY,
        address="https://10.0.0.8:8080",
    )
    seen = {"a": gateway, "b": replace(gateway, name="gateway 2")}
    await served.container.processes.write(seen, None)
    labels = {"gateway_host": socket.gethostname(), "__scheme__": "https"}
    expected = [{"targets": ["10.0.0.8:8080"], "labels": labels}]
    client = served.client()
    asked = {"kind": ["gateway", "worker"]}
    assert (await client.get("/metrics/targets", params=asked)).json() == expected
    async with served.db.write() as session:
        await session.execute(sa.text("ALTER TABLE service_processes RENAME TO away"))
    assert (await client.get("/metrics/targets", params=asked)).json() == expected
    assert (await client.get("/metrics/targets")).json() == []
    monkeypatch.setattr(scrape_targets, "_MAX_AGE_SECONDS", 0.0)
    assert (await client.get("/metrics/targets")).is_server_error
    assert (await client.get("/metrics/targets?kind=host")).status_code == 422


@pytest.mark.parametrize(
    ("peer", "headers", "address", "local"),
    [
        ("127.0.0.1", {}, "127.0.0.1", True),
        ("10.0.0.5", {}, "10.0.0.5", True),
        ("10.0.0.6", {}, "10.0.0.5", False),
        ("127.0.0.9", {"x-forwarded-for": "10.0.0.6"}, "127.0.0.1", False),
        ("10.0.0.9", {"x-forwarded-for": "10.0.0.5"}, "10.0.0.5", True),
        ("", {}, None, False),
    ],
)
def test_a_reader_that_has_our_own_address_is_on_this_machine(
    peer: str, headers: dict[str, str], address: str | None, local: bool
) -> None:
    proxies = TrustedProxies([ip_network("127.0.0.9/32"), ip_network("10.0.0.9/32")])
    lines = [(name.encode(), text.encode()) for name, text in headers.items()]
    assert MetricsAccess(proxies, None).is_local(peer, lines, address) is local
