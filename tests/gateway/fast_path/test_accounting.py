"""When answered calls are counted."""

from __future__ import annotations

import asyncio

from gateway.fast_path.call_record import DeploymentCallRecord
from gateway.ids import new_run_id
from protos.errors import ErrorCode
from telemetry.instruments import render
from tests.gateway.fast_path.test_recorder import route_of
from tests.gateway.in_process_gateway import InProcessGateway
from tests.gateway.runs.builders import until


def answered() -> DeploymentCallRecord:
    """Return the record of a call that was answered 200."""
    record = DeploymentCallRecord()
    record.is_request, record.status = True, 200
    return record


async def test_a_hundred_calls_are_counted_in_the_next_turn_of_the_loop(
    in_process_gateway: InProcessGateway,
) -> None:
    accounting = in_process_gateway._container.accounting
    counted = in_process_gateway._container.metrics.for_deployment("", "").ok
    for _ in range(2):
        before = counted.value
        for _ in range(100):
            accounting.add(answered())
        await asyncio.sleep(0)
        assert counted.value == before + 100


async def test_a_single_call_is_counted_in_a_moment_and_before_anything_is_read(
    in_process_gateway: InProcessGateway,
) -> None:
    accounting = in_process_gateway._container.accounting
    counted = in_process_gateway._container.metrics.for_deployment("", "").ok
    accounting.add(answered())
    assert counted.value == 0
    await until(lambda: counted.value == 1)
    accounting.add(answered())
    accounting.drain()
    assert counted.value == 2


async def test_fast_calls_are_measured_by_deployment_key_and_error_code(
    in_process_gateway: InProcessGateway,
) -> None:
    accounting, route = in_process_gateway._container.accounting, route_of()
    completed, item, refused, lost, failed = (DeploymentCallRecord() for _ in range(5))
    for call in (completed, item, refused, lost, failed):
        call.route, call.is_request = route, call is not item
        call.run_id, call.headers = new_run_id(), {}
    for call in (completed, item, lost):
        call.status, call.stages = 200, (0.1, 0.1, 0.1, 0.25, 0.1)
    refused.status, refused.error = 503, ErrorCode.OVERLOADED
    lost.status, lost.error = 503, ErrorCode.DATABASE_UNAVAILABLE
    failed.status, failed.error = 503, ErrorCode.INFERENCE_SERVER_UNAVAILABLE
    failed.is_failed_run = True
    for call in (completed, item, refused, lost, failed):
        accounting.add(call)
    accounting.drain()
    text = render([in_process_gateway._container.metrics.registry]).decode()
    deployment = f'deployment="{route.deployment.id}",mode="fast"'
    for code in ("overloaded", "database_unavailable", "inference_server_unavailable"):
        assert f'gateway_errors_total{{code="{code}",{deployment}}} 1.0' in text
    kind = route.deployment.type
    assert f'runs_total{{code="",{deployment},status="completed",type="{kind}"}} 2.0' in text
    ended = f'{deployment},status="failed",type="{kind}"'
    assert f'runs_total{{code="inference_server_unavailable",{ended}}} 1.0' in text
    assert text.count(ended) == 1, "what was refused, or not stored, is no failed run"
    stage = f'deployment="{route.deployment.id}",stage="infer"'
    assert f"gateway_stage_seconds_sum{{{stage}}} 0.75" in text
    assert 'gateway_key_calls_total{key="key"} 4.0' in text
