"""Fast calls of deployments with a webhook: all are recorded, losses are counted."""

from __future__ import annotations

from time import perf_counter

import pytest

from gateway.auth.identity import Identity, Role, Scope
from gateway.deployments.live_deployment import LiveDeployment
from gateway.errors import GatewayError
from gateway.fast_path.deployment_call import DeploymentCall
from gateway.fast_path.recorder import RunRecorder
from gateway.fast_path.routes import ResolvedRoute
from gateway.ids import new_run_id
from gateway.metrics import GatewayMetrics
from protos.errors import ErrorCode
from tests.gateway.webhooks.harness import WebhookHarness

MIB = 1024 * 1024


class Prediction(DeploymentCall):
    """A fast call whose inference server has answered."""

    def __init__(self, route: ResolvedRoute) -> None:
        self.route = route
        self.run_id = new_run_id()
        self.began = self.ended = perf_counter()
        self.is_run = True


async def call_of(harness: WebhookHarness) -> Prediction:
    """Return a call of a fast deployment that records errors only."""
    made = await harness.deploy(execution_mode="fast", record_runs="errors")
    profile = harness.user.headers["x-test-profile"]
    deployment = await harness.in_process_gateway.deployment_cache.find(made["id"], profile)
    identity = Identity(
        key_id="key", profile_id=profile, scope=Scope.TRIGGER, deployments=None, role=Role.OWNER
    )
    return Prediction(ResolvedRoute(identity, deployment, None, None, (), 0))


def deployment_of(call: Prediction) -> LiveDeployment:
    """Return the deployment of a call."""
    assert call.route is not None
    return call.route.deployment


async def test_every_call_is_recorded_with_its_output_and_reported(
    idle_harness: WebhookHarness,
) -> None:
    recorder, call = RunRecorder(idle_harness.runs, GatewayMetrics()), await call_of(idle_harness)
    call.output_data = b'{"label":1}'
    recorder.record(deployment_of(call), [call])
    await recorder.close()
    shown = await idle_harness.delivery(call.run_id)
    assert shown["event"] == "run.completed"
    assert shown["payload"]["data"]["output_data"] == {"label": 1}
    run = await idle_harness.runs.get(call.run_id)
    assert run is not None
    assert run.output_data == b'{"label":1}'


async def test_a_failed_call_is_reported_with_its_error(idle_harness: WebhookHarness) -> None:
    recorder, call = RunRecorder(idle_harness.runs, GatewayMetrics()), await call_of(idle_harness)
    call.run_error = GatewayError(ErrorCode.INFERENCE_FAILED, "no")
    recorder.record(deployment_of(call), [call])
    await recorder.close()
    shown = await idle_harness.delivery(call.run_id)
    assert shown["event"] == "run.failed"
    assert shown["payload"]["data"]["error"]["code"] == "inference_failed"


async def test_a_large_output_is_stored_in_the_run_but_not_in_the_event(
    idle_harness: WebhookHarness,
) -> None:
    recorder, call = RunRecorder(idle_harness.runs, GatewayMetrics()), await call_of(idle_harness)
    call.output_data = b'"%b"' % (b"x" * MIB)
    recorder.record(deployment_of(call), [call])
    await recorder.close()
    data = (await idle_harness.delivery(call.run_id))["payload"]["data"]
    assert (data["output_data"], data["output_truncated"]) == (None, True)
    run = await idle_harness.runs.get(call.run_id)
    assert run is not None
    assert len(run.output_data or b"") == MIB + 2


@pytest.mark.parametrize(
    ("output", "fit"), [(b"{}", 20_000), (b"x" * MIB, 64)], ids=["small", "large"]
)
async def test_events_that_exceed_the_queue_are_counted(
    idle_harness: WebhookHarness, output: bytes, fit: int
) -> None:
    metrics = GatewayMetrics()
    recorder, call = RunRecorder(idle_harness.runs, metrics), await call_of(idle_harness)
    call.output_data = output
    recorder.record(deployment_of(call), [call] * fit)
    assert metrics.events_lost.value == 0
    recorder.record(deployment_of(call), [call])
    assert (metrics.events_lost.value, metrics.runs_unrecorded.value) == (1, 1)
