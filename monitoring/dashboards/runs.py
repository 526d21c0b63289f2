"""Runs of modes sync and async, and the workers that execute them."""

from __future__ import annotations

from monitoring.panels import Dashboard, Panel
from monitoring.queries import counted, named, quantile, quantiles, rate

RUNS = Dashboard(
    "slipstream-runs",
    "Slipstream: runs and workers",
    "Runs of modes sync and async: how many end, fail and wait, and what workers do.",
    (
        Panel(
            "Runs that have ended",
            "ops",
            "Runs a second by mode, type and how they ended.",
            {"{{mode}} {{type}} {{status}}": rate("runs_total", "mode, type, status")},
        ),
        Panel(
            "Why runs fail",
            "ops",
            "Failed runs a second by error code (docs/errors.md).",
            {"{{code}}": rate('runs_total{status="failed"}', "code")},
        ),
        Panel(
            "Duration",
            "s",
            "From the start of a run to its end.",
            quantiles("run_seconds", "mode, type", legend="{{mode}} {{type}}"),
        ),
        Panel(
            "Wait for the start",
            "s",
            "From accepting a run to its start.",
            quantiles("run_queue_seconds", "mode, type", legend="{{mode}} {{type}}"),
        ),
        Panel(
            "Backlog",
            "short",
            "Runs that wait, by deployment. The same in every gateway, so the largest counts.",
            {"{{name}} {{mode}}": named("max by (deployment, mode, type) (run_backlog)")},
        ),
        Panel(
            "Age of the oldest waiting run",
            "s",
            "0 while none waits. It rises while no worker takes runs.",
            {"{{mode}} {{type}}": "max by (mode, type) (run_backlog_oldest_seconds)"},
            (300,),
        ),
        Panel(
            "Unfinished runs",
            "short",
            "By state, of all users.",
            {"{{state}}": "max by (state) (runs_in_state)"},
        ),
        Panel(
            "Nodes",
            "s",
            "99 % of the nodes of this type take less.",
            {"{{node_type}}": quantile(0.99, "run_node_seconds", "node_type")},
        ),
        Panel(
            "Workers",
            "short",
            "Runs that workers execute, and could execute.",
            {
                "busy {{queue}} {{instance}}": "sum by (queue, instance) (worker_busy)",
                "places {{queue}} {{instance}}": "sum by (queue, instance) (worker_concurrency)",
            },
        ),
        Panel(
            "Cold starts",
            "short",
            "Per hour: runs that had to wait for an inference server to boot, of the ten "
            "deployments with the most, and boots by model and outcome.",
            {
                "{{name}}": named(f"topk(10, {counted('run_boot_seconds_count', 'deployment')})"),
                "boots of {{model}}, {{outcome}}": counted(
                    "inference_server_boots_total", "model, outcome"
                )
                + " > 0",
            },
        ),
        Panel(
            "Workers that ended",
            "short",
            "Per hour, without having been told to, of `slipstream worker --metrics`; and runs "
            "that processes left behind.",
            {
                "{{instance}}": counted("worker_restarts_total", "instance"),
                "runs {{outcome}}": counted("run_lease_reaped_total", "outcome"),
            },
        ),
    ),
)
