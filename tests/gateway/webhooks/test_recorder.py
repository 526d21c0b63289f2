"""Fast calls of deployments with a webhook: all of them are kept, and what is not is counted."""

from __future__ import annotations

from time import perf_counter

import pytest

from gateway.deployments.settings import ResponseFormat
from gateway.errors import GatewayError
from gateway.fast_path.call import Trigger
from gateway.fast_path.recorder import RunRecorder
from gateway.ids import new_run_id
from gateway.metrics import GatewayMetrics
from protos.errors import ErrorCode
from tests.gateway.webhooks.harness import WebhookHarness

MIB = 1024 * 1024


async def trigger_of(harness: WebhookHarness) -> Trigger:
    """Return a call of a fast deployment that records errors only."""
    made = await harness.deploy(execution_mode="fast", record_runs="errors")
    profile = harness.user.headers["x-test-profile"]
    return Trigger(
        deployment=await harness.in_process_gateway.deployment_cache.find(made["id"], profile),
        key_id="key",
        run_id=new_run_id(),
        headers={},
        body=b"",
        response_format=ResponseFormat.FLAT,
        timeout=1.0,
        began=perf_counter(),
        authenticated=perf_counter(),
    )


async def test_every_call_is_kept_with_its_output_and_told(idle_harness: WebhookHarness) -> None:
    recorder, trigger = (
        RunRecorder(idle_harness.runs, GatewayMetrics()),
        await trigger_of(idle_harness),
    )
    recorder.completed(trigger, b'{"label":1}')
    await recorder.close()
    shown = await idle_harness.delivery(trigger.run_id)
    assert shown["event"] == "run.completed"
    assert shown["payload"]["data"]["output_data"] == {"label": 1}
    run = await idle_harness.runs.get(trigger.run_id)
    assert run is not None
    assert run.output_data == b'{"label":1}'


async def test_a_call_that_failed_is_told_with_its_error(idle_harness: WebhookHarness) -> None:
    recorder, trigger = (
        RunRecorder(idle_harness.runs, GatewayMetrics()),
        await trigger_of(idle_harness),
    )
    recorder.failed(trigger, GatewayError(ErrorCode.INFERENCE_FAILED, "no"))
    await recorder.close()
    shown = await idle_harness.delivery(trigger.run_id)
    assert shown["event"] == "run.failed"
    assert shown["payload"]["data"]["error"]["code"] == "inference_failed"


async def test_a_large_output_is_in_the_run_and_not_in_the_event(
    idle_harness: WebhookHarness,
) -> None:
    recorder, trigger = (
        RunRecorder(idle_harness.runs, GatewayMetrics()),
        await trigger_of(idle_harness),
    )
    recorder.completed(trigger, b'"%b"' % (b"x" * MIB))
    await recorder.close()
    data = (await idle_harness.delivery(trigger.run_id))["payload"]["data"]
    assert (data["output_data"], data["output_truncated"]) == (None, True)
    run = await idle_harness.runs.get(trigger.run_id)
    assert run is not None
    assert len(run.output_data or b"") == MIB + 2


@pytest.mark.parametrize(("output", "fit"), [(b"{}", 20_000), (b"x" * MIB, 64)])
async def test_what_does_not_fit_any_more_is_counted(
    idle_harness: WebhookHarness, output: bytes, fit: int
) -> None:
    metrics = GatewayMetrics()
    recorder, trigger = RunRecorder(idle_harness.runs, metrics), await trigger_of(idle_harness)
    for _ in range(fit):
        recorder.completed(trigger, output)
    assert metrics.events_lost.value == 0
    recorder.completed(trigger, output)
    assert (metrics.events_lost.value, metrics.runs_unrecorded.value) == (1, 1)
