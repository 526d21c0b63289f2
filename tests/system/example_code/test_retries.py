"""Examples repeat calls after 429, 503 and lost connections, and after nothing else."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.system.example_code.examples import Examples, printed, programs, services
from tests.system.example_code.failing_proxy import LOST, failing_proxy

REPEATED = {"sync": ("wait", "poll", "batch"), "async": ("poll",)}


@pytest.mark.long
@programs
def test_a_program_repeats_a_call_with_one_idempotency_key(
    examples: Examples, language: str
) -> None:
    for mode, variants in REPEATED.items():
        deployment = examples.deploy(mode)
        for variant in variants:
            example = examples.one(deployment, language, variant)
            with failing_proxy(examples.installation.up.url, [503]) as proxy:
                printed(examples.execute(example, url=proxy.url))
            first, second = proxy.keys
            assert first is not None
            assert first == second


@programs
def test_a_program_waits_as_long_as_it_is_told_and_else_for_a_doubling_second(
    examples: Examples, language: str
) -> None:
    example = examples.one(examples.deploy(), language, "wait")
    with failing_proxy(examples.installation.up.url, [429, LOST]) as proxy:
        printed(examples.execute(example, url=proxy.url))
    told, doubled = (after - before for before, after in pairwise(proxy.times))
    assert 2 <= told < 10  # Retry-After, in place of the first pause of 1 s
    assert 2 <= doubled < 10  # the second pause
    assert len(set(proxy.keys)) == 1


@pytest.mark.long
@programs
def test_a_program_gives_up_at_other_statuses(examples: Examples, language: str) -> None:
    example = examples.one(examples.deploy(), language, "wait")
    for status in (400, 500, 502, 504):
        with failing_proxy(examples.installation.up.url, [status]) as proxy:
            ran = examples.execute(example, url=proxy.url)
        assert ran.returncode != 0
        assert f"API Error: {status}: <html>busy</html>" in ran.stderr
        assert len(proxy.keys) == 1


@pytest.mark.long
@programs
def test_a_program_gives_up_after_five_attempts(examples: Examples, language: str) -> None:
    example = examples.one(examples.deploy(), language, "wait")
    with failing_proxy(examples.installation.up.url, [503] * 5) as proxy:
        ran = examples.execute(example, url=proxy.url)
    assert ran.returncode != 0
    assert "API Error: 503" in ran.stderr
    assert len(proxy.keys) == 5


@programs
def test_without_retry_a_program_calls_once(examples: Examples, language: str) -> None:
    example = examples.one(examples.deploy(), language, "wait", retry="false")
    with failing_proxy(examples.installation.up.url, [503]) as proxy:
        assert examples.execute(example, url=proxy.url).returncode != 0
    assert proxy.keys == [None]


@pytest.mark.long
@programs
def test_a_repeated_fast_call_has_no_run_to_join_and_says_so(
    examples: Examples, language: str
) -> None:
    example = examples.one(examples.deploy("fast"), language, "wait")
    assert "a repeat is a new call" in example["code"]
    with failing_proxy(examples.installation.up.url, [503]) as proxy:
        printed(examples.execute(example, url=proxy.url))
    assert proxy.keys == [None, None]


@services
@pytest.mark.parametrize("key", ["masked", "environment"])
def test_curl_repeats_with_one_idempotency_key_where_it_is_asked_to(
    examples: Examples, key: str
) -> None:
    deployment = examples.deploy()
    for variant in ("wait", "poll"):
        example = examples.one(deployment, "curl", variant, key=key, retry="true")
        with failing_proxy(examples.installation.up.url, [503]) as proxy:
            api_key = examples.installation.key
            printed(examples.execute(example, url=proxy.url, SLIPSTREAM_API_KEY=api_key))
        first, second = proxy.keys
        assert first is not None
        assert first == second


@pytest.mark.parametrize("language", ["python", "httpie", pytest.param("curl", marks=services)])
def test_a_deployment_that_requires_idempotency_keys_gets_them(
    examples: Examples, language: str
) -> None:
    for mode in ("sync", "fast"):
        deployment = examples.deploy(mode, require_idempotency_key=True)
        for choices in ({"retry": "false"}, {"key": "environment"}):
            example = examples.one(deployment, language, "wait", **choices)
            key = examples.installation.key
            assert "completed" in printed(examples.execute(example, SLIPSTREAM_API_KEY=key))
