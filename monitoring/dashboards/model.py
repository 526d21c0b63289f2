"""The inference servers of one model."""

from __future__ import annotations

from monitoring.panels import Dashboard, Panel, Variable
from monitoring.queries import mean, quantiles, rate

_OF_MODEL = '{model="$model"}'
MODEL = Dashboard(
    "slipstream-model",
    "Slipstream: one model",
    "Inference servers of one model.",
    (
        Panel(
            "Inference calls",
            "reqps",
            "Calls that inference servers have answered, by outcome.",
            {"{{version}} {{code}}": rate(f"inference_requests_total{_OF_MODEL}", "version, code")},
        ),
        Panel(
            "Time in ONNX Runtime",
            "s",
            "Of a run of the model, without waiting.",
            quantiles("inference_seconds", "version", _OF_MODEL, "{{version}}"),
        ),
        Panel(
            "Wait for a run",
            "s",
            "How long calls waited until their batch began.",
            quantiles("inference_queue_seconds", "version", _OF_MODEL, "{{version}}"),
        ),
        Panel(
            "Calls that wait",
            "short",
            "Calls whose batch has not begun.",
            {
                "{{version}} {{instance}}": "sum by (version, instance) "
                f"(inference_queue_depth{_OF_MODEL})"
            },
        ),
        Panel(
            "Rows of a batch",
            "short",
            "Mean rows of a run: more than 1 where calls are batched.",
            {"{{version}}": mean("inference_batch_size", "version", _OF_MODEL)},
        ),
        Panel(
            "Replicas",
            "short",
            "Processes that hosts should run, that take calls, and that are avoided as slow.",
            {
                "{{version}} wanted": f"max by (version) (inference_server_replicas{_OF_MODEL})",
                "{{version}} connected": "min by (version) "
                f"(inference_server_connected_replicas{_OF_MODEL})",
                "{{version}} slow": f"max by (version) (inference_server_slow_replicas{_OF_MODEL})",
            },
        ),
        Panel(
            "Restarts",
            "short",
            "How often processes of inference servers have died and were started again, per hour. "
            "The same in every gateway, so the largest counts.",
            {
                "{{version}}": "max by (version) "
                f"(increase(inference_server_restarts_total{_OF_MODEL}[1h]))"
            },
        ),
        Panel(
            "Time of the last boot",
            "s",
            "Until the server was ready.",
            {
                "{{version}}": "max by (version) "
                '(inference_server_boot_seconds{job="slipstream", model="$model"})'
            },
        ),
    ),
    (Variable("model", "Model", "label_values(inference_server_state, model)"),),
)
