"""Addresses that fail to authenticate."""

from __future__ import annotations

import pytest

from gateway.errors import GatewayError
from gateway.limits.client_subnet import client_subnet
from gateway.limits.request_limits import RequestLimits
from protos.errors import ErrorCode
from tests.gateway.limits.limiters import build_limits


async def attempt(code: ErrorCode | None) -> str:
    if code is not None:
        raise GatewayError(code, "no")
    return "good"


async def answers(
    limits: RequestLimits, address: str, code: ErrorCode | None, times: int
) -> list[str]:
    found = []
    for _ in range(times):
        try:
            found.append(await limits.failed_auth.guard(address, attempt(code)))
        except GatewayError as error:
            found.append(error.code)
    return found


async def test_an_address_with_too_many_failures_is_blocked_and_others_are_not() -> None:
    limits = build_limits(failed_auth_per_minute=3)
    bad = ErrorCode.API_KEY_INVALID
    assert await answers(limits, "192.0.2.1", bad, 5) == [bad] * 3 + ["too_many_failures"] * 2
    assert await answers(limits, "192.0.2.2", bad, 1) == [bad]


async def test_a_valid_key_is_accepted_from_a_blocked_address() -> None:
    limits = build_limits(failed_auth_per_minute=1)
    await answers(limits, "192.0.2.1", ErrorCode.API_KEY_DEACTIVATED, 9)
    assert await answers(limits, "192.0.2.1", None, 2) == ["good"] * 2


async def test_missing_and_wrong_keys_count_alike() -> None:
    limits = build_limits(failed_auth_per_minute=2)
    missing, wrong = ErrorCode.API_KEY_MISSING, ErrorCode.API_KEY_INVALID
    assert await answers(limits, "192.0.2.1", missing, 1) == [missing]
    assert await answers(limits, "192.0.2.1", wrong, 2) == [wrong, "too_many_failures"]
    assert await answers(limits, "192.0.2.1", missing, 1) == ["too_many_failures"]


async def test_forbidden_calls_do_not_count_as_failures() -> None:
    limits = build_limits(failed_auth_per_minute=1)
    code = ErrorCode.API_KEY_FORBIDDEN
    assert await answers(limits, "192.0.2.1", code, 3) == [code] * 3


async def test_the_response_to_a_blocked_address_names_the_policy() -> None:
    limits = build_limits(failed_auth_per_minute=1)
    await answers(limits, "192.0.2.1", ErrorCode.API_KEY_INVALID, 1)
    with pytest.raises(GatewayError) as refused:
        await limits.failed_auth.guard("192.0.2.1", attempt(ErrorCode.API_KEY_INVALID))
    assert refused.value.details["violated-policies"] == ["failed-auth"]
    assert refused.value.retry_after is not None


def test_ipv6_addresses_are_limited_by_network() -> None:
    assert client_subnet("2001:db8:1:2:3::4") == client_subnet("2001:db8:1:2:ffff::1")
    assert client_subnet("2001:db8:1:2::1") != client_subnet("2001:db8:1:3::1")
    assert client_subnet("::ffff:192.0.2.1") == client_subnet("192.0.2.1")
