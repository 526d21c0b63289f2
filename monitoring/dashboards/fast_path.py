"""Where the time of fast calls goes."""

from __future__ import annotations

from monitoring.panels import Dashboard, Panel
from monitoring.queries import mean, named, quantile, rate

FAST_PATH = Dashboard(
    "slipstream-fast-path",
    "Slipstream: fast path by phase",
    "Where the time of fast calls goes.",
    (
        Panel(
            "Mean time by phase",
            "s",
            "Mean time in each phase of a fast call; together, its whole time in the gateway. "
            "queue and infer are the inference server's own clock.",
            {"{{stage}}": mean("gateway_stage_seconds", "stage")},
        ),
        Panel(
            "p99 by phase",
            "s",
            "99 % of the calls spend less in this phase.",
            {"{{stage}}": quantile(0.99, "gateway_stage_seconds", "stage")},
        ),
        Panel(
            "p99 by deployment",
            "s",
            "99 % of the fast calls of a deployment are faster. The ten slowest.",
            {
                "{{name}}": named(
                    'topk(10, deployment_mode:gateway_request_seconds:p99_rate5m{mode="fast"})'
                )
            },
        ),
        Panel(
            "Wait for a run of the model",
            "s",
            "How long calls waited in inference servers until their batch began: more than a "
            "run takes is a sign of too few replicas.",
            {"{{model}} {{version}}": quantile(0.99, "inference_queue_seconds", "model, version")},
        ),
        Panel(
            "Time in ONNX Runtime",
            "s",
            "Median of a run of the model, without waiting.",
            {"{{model}} {{version}}": quantile(0.5, "inference_seconds", "model, version")},
        ),
        Panel(
            "Refused before they were complete",
            "reqps",
            "Requests and connections that gateways refused, by reason, and calls beyond a quota.",
            {
                "{{reason}}": rate("requests_refused_total", "reason"),
                "quota {{policy}}": rate("rate_limited_total", "policy"),
            },
        ),
        Panel(
            "Lag of event loops",
            "s",
            "How late gateway processes come to what is due, measured once a second: 99 % are "
            "less. More than a few milliseconds delays every call.",
            {"{{instance}}": quantile(0.99, "event_loop_lag_seconds", "instance")},
        ),
    ),
)
