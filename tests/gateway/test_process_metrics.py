"""What /metrics has of the gateway process, and the names that explain its labels."""

from __future__ import annotations

import os
from importlib.metadata import version

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from gateway.fleet.hosts import HostLease
from tests.gateway.served_gateway import ServedGateway

pytestmark = pytest.mark.databases("sqlite", "postgresql")


async def scrape(served: ServedGateway) -> dict[str, list[Sample]]:
    """Return the samples by name, after a sample was taken."""
    served.container.process_metrics.sample()
    answer = await served.client().get("/metrics")
    assert answer.is_success
    found: dict[str, list[Sample]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


async def test_the_process_is_measured(served_gateway: ServedGateway) -> None:
    samples = await scrape(served_gateway)
    process = {"process": f"gateway-{os.getpid()}"}
    for name in (
        *("process_cpu_seconds_total", "process_open_fds", "process_max_fds"),
        *("process_resident_memory_bytes", "process_start_time_seconds"),
    ):
        (sample,) = samples[name]
        assert sample.labels == process
        assert sample.value > 0
    (info,) = samples["slipstream_build_info"]
    assert info.labels["onnxruntime"]


async def test_statements_and_their_failures_are_counted(served_gateway: ServedGateway) -> None:
    before = await scrape(served_gateway)
    async with served_gateway.db.read() as session:
        with pytest.raises(SQLAlchemyError):
            await session.execute(text("SELECT nothing_like_this"))
    async with served_gateway.db.write() as session:
        with pytest.raises(IntegrityError):  # the database works
            await session.execute(text("INSERT INTO hosts (id) VALUES (NULL)"))
    after = await scrape(served_gateway)
    name = "database_query_seconds_count"
    assert after[name][0].value > before[name][0].value > 0
    name = "database_errors_total"
    assert after[name][0].value == before[name][0].value + 1


async def test_a_database_that_does_not_answer_is_told(
    served_gateway: ServedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    (before,) = (await scrape(served_gateway))["database_up"]
    monkeypatch.setattr(served_gateway.container.feed, "_unavailable", True)
    (after,) = (await scrape(served_gateway))["database_up"]
    assert (before.value, after.value) == (1, 0)


async def test_hosts_that_are_alive_have_a_version(served_gateway: ServedGateway) -> None:
    hosts = served_gateway.container.hosts
    lease = await hosts.claim(name="a", owner="first", has_ended=lambda _: False, joined=True)
    assert isinstance(lease, HostLease)
    assert await hosts.versions() == {"a": version("slipstream")}
    await hosts.release(lease)
    assert await hosts.versions() == {}
