"""When answered calls are counted."""

from __future__ import annotations

import asyncio

from gateway.fast_path.call_record import DeploymentCallRecord
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
