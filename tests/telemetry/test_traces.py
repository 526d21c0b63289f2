"""The identity of spans, and a collector that does not answer."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from itertools import chain, repeat

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from telemetry import otlp, traces
from telemetry.instruments import Counter
from telemetry.trace_context import UNSAMPLED, continued
from telemetry.traces import Tracer
from tests.timing import TIMEOUT_SECONDS
from tests.trace_collector import collecting

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_span_is_below_the_one_of_the_traceparent() -> None:
    found = continued(GIVEN)
    assert found is not None
    assert found.parent_id == 0xB7AD6B7169203331
    again = continued(found.traceparent)
    assert again is not None
    assert (again.trace_id, again.parent_id) == (found.trace_id, found.span_id)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        f"ff{GIVEN[2:]}",
        GIVEN.upper(),
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
        f"{GIVEN[:-2]}00",
    ],
)
def test_a_traceparent_that_is_not_valid_or_not_sampled_is_not_continued(wrong: str) -> None:
    assert continued(wrong) is None


@pytest.mark.parametrize(
    ("state", "passed_on"),
    [
        ("vendor=18@a, t61rcwkgm@other=x/y", True),
        (f"a={'x' * 256},b={'x' * 249}", True),
        (f"a={'x' * 256},b={'x' * 252}", False),
        ("vendor", False),
        ("Vendor=1", False),
        ("a=1\r\nx-injected: 2", False),
        ("a=\xe9", False),
        (",".join(f"k{n}=1" for n in range(33)), False),
    ],
)
def test_tracestate_is_passed_on_unchanged_or_not_at_all(state: str, *, passed_on: bool) -> None:
    found = continued(GIVEN, state)
    assert found is not None
    assert found.headers.get("tracestate") == (state if passed_on else None)


async def test_a_collector_that_hangs_costs_spans_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "MAX_WAITING", otlp.MAX_BATCH)
    monkeypatch.setattr(traces, "_CLOSE_SECONDS", 0.0)
    dropped = Counter()
    with collecting(hangs=True) as collector:
        tracer = Tracer(collector.url, sample_rate=1.0, service="test", dropped=dropped)
        for _ in range(otlp.MAX_BATCH + 3):
            tracer.record(tracer.begin({}), "call", 1.0, 2.0)
        assert dropped.value == 3
        assert collector.asked.wait(60)
        tracer.record(tracer.begin({}), "call", 1.0, 2.0)
        assert dropped.value == 4
        await tracer.close()


@pytest.mark.parametrize(("status", "kept"), [(503, True), (400, False)])
async def test_spans_are_sent_again_where_the_collector_asks_for_it(
    status: int, *, kept: bool
) -> None:
    dropped = Counter()
    with collecting() as collector:
        collector.statuses = chain([status], repeat(200))
        tracer = Tracer(collector.url, sample_rate=1.0, service="test", dropped=dropped)
        tracer.record(tracer.begin({}), "call", 1.0, 2.0)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while len(collector.bodies) + dropped.value < 2:  # noqa: ASYNC110 - of other threads
                await asyncio.sleep(0.01)
        await tracer.close()
    assert len(collector.bodies) == 1 + kept
    assert dropped.value == (not kept)


async def test_batches_have_the_headers_and_the_resource_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20word,x-scope=a")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
    count = 2 * otlp.MAX_BATCH + 1
    with collecting() as collector:
        tracer = Tracer(collector.url, sample_rate=1.0, service="test", dropped=Counter())
        for _ in range(count):
            tracer.record(tracer.begin({}), "call", 1.0, 2.0, error="server_error")
        await tracer.close()
        spans = collector.spans()
        resource = collector.resource_of(spans[0])
    assert len({span.span_id for span in spans}) == count
    assert {span.status.code for span in spans} == {Status.STATUS_CODE_ERROR}
    assert {(span.start_time_unix_nano, span.end_time_unix_nano) for span in spans} == {
        (1_000_000_000, 2_000_000_000)
    }
    assert collector.headers["authorization"] == "Bearer word"
    assert collector.headers["x-scope"] == "a"
    assert resource["deployment.environment.name"] == "staging"
    assert resource["service.name"] == "test"
    assert resource["process.pid"] == str(os.getpid())
    sent = ExportTraceServiceRequest.FromString(collector.bodies[0]).resource_spans[0].resource
    (pid,) = [each.value for each in sent.attributes if each.key == "process.pid"]
    assert pid.int_value == os.getpid()


async def test_a_header_that_cannot_be_sent_costs_spans_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=two%0Alines")
    monkeypatch.setattr(otlp, "_GATHER_SECONDS", 0.0)
    dropped = Counter()
    with collecting() as collector:
        tracer = Tracer(collector.url, sample_rate=1.0, service="test", dropped=dropped)
        for count in (1, 2):
            tracer.record(tracer.begin({}), "call", 1.0, 2.0)
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while dropped.value < count:  # noqa: ASYNC110 - of another thread
                    await asyncio.sleep(0.01)
        await tracer.close()
    assert collector.bodies == []


async def test_the_sample_rate_is_for_calls_that_do_not_say_it() -> None:
    with collecting() as collector:
        tracer = Tracer(collector.url, sample_rate=0.0, service="test", dropped=Counter())
        assert tracer.begin({}) is UNSAMPLED
        assert tracer.begin({b"traceparent": b"nonsense"}) is UNSAMPLED
        assert tracer.begin({b"traceparent": f"{GIVEN[:-2]}00".encode()}) is UNSAMPLED
        assert (
            tracer.begin({b"traceparent": GIVEN.encode()}).trace_id
            == 0x0AF7651916CD43DD8448EB211C80319C
        )
        await tracer.close()


@pytest.mark.processes
def test_nothing_of_opentelemetry_is_imported_without_a_tracer() -> None:
    program = (
        "import sys, gateway.container, inference_server.process; "
        "assert not any(name.startswith('opentelemetry.sdk') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
