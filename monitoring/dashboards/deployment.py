"""One deployment."""

from __future__ import annotations

from monitoring.panels import Dashboard, Panel, Variable
from monitoring.queries import mean, quantile, quantiles, rate

_OF_DEPLOYMENT = '{deployment="$deployment"}'
DEPLOYMENT = Dashboard(
    "slipstream-deployment",
    "Slipstream: one deployment",
    "Calls, errors, durations and runs of one deployment.",
    (
        Panel(
            "Calls by status",
            "reqps",
            "Calls answered a second by HTTP status.",
            {"{{mode}} {{code}}": rate(f"gateway_requests_total{_OF_DEPLOYMENT}", "mode, code")},
        ),
        Panel(
            "Errors by code",
            "reqps",
            "Error answers a second by stable code (docs/errors.md).",
            {"{{code}}": rate(f"gateway_errors_total{_OF_DEPLOYMENT}", "code")},
        ),
        Panel(
            "Duration of calls",
            "s",
            "From a call's last header to its answer's last byte.",
            quantiles("gateway_request_seconds", "mode", _OF_DEPLOYMENT, "{{mode}}"),
        ),
        Panel(
            "Where the time goes",
            "s",
            "Mean time of whole calls, of each phase of a fast call, and of a run: its wait for "
            "the start, for an inference server to boot (if it had to), and its execution. What a "
            "call takes beyond its parts is spent in the gateway and its database.",
            {
                "{{mode}} call": mean("gateway_request_seconds", "mode", _OF_DEPLOYMENT),
                "{{stage}}": mean("gateway_stage_seconds", "stage", _OF_DEPLOYMENT),
                "run: waits for its start": mean("run_queue_seconds", "mode", _OF_DEPLOYMENT),
                "run: waits for a boot": mean("run_boot_seconds", "mode", _OF_DEPLOYMENT),
                "run: executes": mean("run_seconds", "mode", _OF_DEPLOYMENT),
            },
        ),
        Panel(
            "p99 by phase",
            "s",
            "99 % of the fast calls spend less in this phase.",
            {"{{stage}}": quantile(0.99, "gateway_stage_seconds", "stage", _OF_DEPLOYMENT)},
        ),
        Panel(
            "Runs that have ended",
            "ops",
            "Runs a second by how they ended.",
            {"{{status}} {{code}}": rate(f"runs_total{_OF_DEPLOYMENT}", "status, code")},
        ),
        Panel(
            "Duration of runs",
            "s",
            "From the start of a run to its end.",
            quantiles("run_seconds", "mode", _OF_DEPLOYMENT, "{{mode}}"),
        ),
        Panel(
            "Nodes",
            "s",
            "99 % of the nodes of this type take less.",
            {"{{node_type}}": quantile(0.99, "run_node_seconds", "node_type", _OF_DEPLOYMENT)},
        ),
        Panel(
            "Rollout",
            "reqps",
            "Calls of the live version (baseline) and of the one that is tried (candidate).",
            {
                "{{version}} {{outcome}}": rate(
                    f"rollout_calls_total{_OF_DEPLOYMENT}", "version, outcome"
                ),
            },
        ),
    ),
    (
        Variable(
            "deployment",
            "Deployment",
            "query_result(max by (deployment, name) (deployment_info))",
            '/name="(?<text>[^"]+)"|deployment="(?<value>[^"]+)"/g',
        ),
    ),
)
