"""Keys in an installation of two gateways: changes apply and uses count in both."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import tritonclient.grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from tests.system.installation import Installation, chain
from tests.system.one_installation.test_triton_clients import check, tensors
from tests.timing import TIMEOUT_SECONDS, Timer, pause

KEYS = "/node/api-keys/"
BODY = {"input_data": {"x": [[1, 2, 3, 4]]}}
IN_FORCE_SECONDS = 1.0
COUNTED_SECONDS = 10.0
CONNECTIONS = 24


@pytest.fixture
def path(installation: Installation) -> str:
    """The URL of a fast deployment."""
    return f"/node/deployment-trigger/{installation.deploy(chain('iris'))}/"


@pytest.fixture
def callers(installation: Installation) -> Iterator[list[httpx.Client]]:
    """Clients with one connection each, spread over both gateways."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(httpx.Client(base_url=installation.up.url))
            for _ in range(CONNECTIONS)
        ]


# Any, here and below: JSON
def make(installation: Installation, **members: Any) -> dict[str, Any]:
    """Make a key."""
    return installation.post(KEYS, {"name": "phone", **members})


def ask_all(callers: list[httpx.Client], path: str, key: str) -> list[tuple[int, str | None]]:
    """Call over all connections at once; return status and error code of each response."""

    def ask(caller: httpx.Client) -> tuple[int, str | None]:
        answer = caller.post(path, json=BODY, headers={"X-API-Key": key})
        return answer.status_code, answer.json().get("code")

    with ThreadPoolExecutor(len(callers)) as threads:
        return list(threads.map(ask, callers))


@pytest.mark.long
@pytest.mark.parametrize(
    "end",
    [
        ("deactivate/", {}, "api_key_deactivated"),
        ("rotate/", {"grace_seconds": 0}, "api_key_expired"),
    ],
    ids=["deactivated", "rotated"],
)
def test_a_revoked_key_is_rejected_by_every_gateway_within_a_second(
    installation: Installation,
    path: str,
    callers: list[httpx.Client],
    end: tuple[str, dict[str, int], str],
) -> None:
    act, body, code = end
    made = make(installation)
    assert ask_all(callers, path, made["key"]) == [(200, None)] * CONNECTIONS
    assert installation.http.post(f"{KEYS}{made['id']}/{act}", json=body).is_success
    pause(IN_FORCE_SECONDS)
    assert ask_all(callers, path, made["key"]) == [(401, code)] * CONNECTIONS


@pytest.mark.long
def test_an_expired_key_is_rejected_by_every_gateway_at_once(
    installation: Installation, path: str, callers: list[httpx.Client]
) -> None:
    ends_at = datetime.now(UTC) + timedelta(seconds=6)
    made = make(installation, expires_at=ends_at.isoformat())
    assert ask_all(callers, path, made["key"]) == [(200, None)] * CONNECTIONS
    time.sleep(max(0.0, (ends_at - datetime.now(UTC)).total_seconds() + 0.01))
    expected = [(401, "api_key_expired")] * CONNECTIONS
    assert ask_all(callers, path, made["key"]) == expected


def test_uses_over_all_gateways_and_apis_are_counted(
    installation: Installation, path: str, callers: list[httpx.Client]
) -> None:
    made = make(installation)
    ask_all(callers, path, made["key"])
    headers = {"X-API-Key": made["key"]}
    for _ in range(3):
        assert httpx.get(f"{installation.up.url}/v2/models/iris", headers=headers).is_success
    address = f"127.0.0.1:{installation.up.grpc_port}"
    with triton_grpc.InferenceServerClient(address) as client:
        metadata = {"x-api-key": made["key"]}
        for _ in range(5):
            check(client.infer("mixed", tensors(triton_grpc), headers=metadata))
    timer = Timer()
    shown: dict[str, Any] = {"total_uses": 0}
    while shown["total_uses"] != CONNECTIONS + 8:
        assert timer.seconds < COUNTED_SECONDS, shown
        time.sleep(0.2)
        shown = installation.http.get(f"{KEYS}{made['id']}/").json()
    used = datetime.now(UTC) - datetime.fromisoformat(shown["last_used_at"])
    assert used < timedelta(seconds=TIMEOUT_SECONDS)
    assert shown["last_address"] == "127.0.0.1"


def test_a_grpc_stream_ends_with_its_key(installation: Installation, grpc_address: str) -> None:
    made = make(installation)
    answers: queue.Queue[tuple[Any, InferenceServerException | None]] = queue.Queue()
    with triton_grpc.InferenceServerClient(grpc_address) as client:
        client.start_stream(
            lambda result, error: answers.put((result, error)), headers={"x-api-key": made["key"]}
        )
        client.async_stream_infer("mixed", tensors(triton_grpc))
        result, error = answers.get(timeout=TIMEOUT_SECONDS)
        assert error is None
        check(result)
        assert installation.http.post(f"{KEYS}{made['id']}/deactivate/").is_success
        pause(IN_FORCE_SECONDS)
        client.async_stream_infer("mixed", tensors(triton_grpc))
        _, error = answers.get(timeout=TIMEOUT_SECONDS)
        assert error is not None
        assert "deactivated" in str(error)
        client.stop_stream(cancel_requests=True)
