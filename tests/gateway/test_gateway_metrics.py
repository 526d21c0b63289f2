"""The gateway's metrics have a bounded number of series."""

from __future__ import annotations

from gateway.metrics import GatewayMetrics
from telemetry.instruments import render


def test_a_deployment_beyond_the_limit_gets_series_when_another_one_is_deleted() -> None:
    metrics = GatewayMetrics(max_series=1)

    def shown_after_a_call(deployment: str) -> bool:
        metrics.for_deployment(deployment, "fast").answered(200, 0.001)
        return f'deployment="{deployment}"' in render([metrics.registry]).decode()

    assert shown_after_a_call("first")
    assert not shown_after_a_call("second")
    metrics.remove_deployment("first")
    assert shown_after_a_call("second")
