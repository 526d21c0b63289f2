"""Our dashboards: which question each graph answers, and with which query."""

from __future__ import annotations

from monitoring.panels import Dashboard, Panel, Variable

_INFO = "topk by (deployment) (1, deployment_info)"
"""One name of each deployment: every gateway says it, and an old and a new one for a moment."""


def named(query: str) -> str:
    """Return the series with the deployment's name; its id where none is known, as of models."""
    return (
        f"({query}) * on (deployment) group_left (name) {_INFO} "
        f'or label_replace(({query}) unless on (deployment) {_INFO}, "name", "$1", "deployment", '
        '"(.*)")'
    )


def rate(metric: str, by: str) -> str:
    """Return events a second by labels; `metric` may have a selector."""
    return f"sum by ({by}) (rate({metric}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str = "", selector: str = "") -> str:
    """Return a quantile of a histogram."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share:g}, {rate(f'{metric}_bucket{selector}', labels)})"


def quantiles(metric: str, by: str = "", selector: str = "", legend: str = "") -> dict[str, str]:
    """Return the median, 95 % and 99 %, by legend."""
    return {
        f"{legend} {name}".strip(): quantile(share, metric, by, selector)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }


_BUDGET = "(1 - scalar(slipstream:objective:ratio))"

_OVERVIEW = Dashboard(
    "slipstream-overview",
    "Slipstream: overview",
    "Whether the objective is met, and how fast the error budget is spent.",
    (
        Panel(
            "Calls",
            "reqps",
            "Calls answered a second, by mode: also those that were answered with an error.",
            {"{{mode}}": rate("gateway_requests_total", "mode")},
        ),
        Panel(
            "Calls that failed",
            "percentunit",
            "Share of calls answered with 5xx, of 5 minutes and 6 hours, and what is allowed.",
            {
                "5 minutes": "slipstream:calls_failed:ratio_rate5m",
                "6 hours": "slipstream:calls_failed:ratio_rate6h",
                "allowed": "1 - slipstream:objective:ratio",
            },
        ),
        Panel(
            "Burn rate: errors",
            "short",
            "How many times faster than allowed errors spend the budget: 1 spends it in its "
            "period. Pages at 14.4 (5 minutes and 1 hour) or 6 (30 minutes and 6 hours).",
            {
                window: f"slipstream:calls_failed:ratio_rate{window} / {_BUDGET}"
                for window in ("5m", "1h", "30m", "6h")
            },
        ),
        Panel(
            "Burn rate: slow fast calls",
            "short",
            "The same of fast calls that took longer than promised.",
            {
                window: f"slipstream:fast_calls_slow:ratio_rate{window} / {_BUDGET}"
                for window in ("5m", "1h", "30m", "6h")
            },
        ),
        Panel(
            "Duration of fast calls",
            "s",
            "From a call's last header to its answer's last byte, and what is promised.",
            {
                **quantiles("gateway_request_seconds", selector='{mode="fast"}'),
                "promised": "slipstream:objective_latency:seconds",
            },
        ),
        Panel(
            "Errors by code",
            "reqps",
            "Error answers a second by stable code (docs/errors.md): 503s split by reason.",
            {"{{code}}": rate("gateway_errors_total", "code")},
        ),
        Panel(
            "Alerts",
            "short",
            "Alerts that fire; docs/runbook.md has a section for each.",
            {
                "{{alertname}}": "sum by (alertname) "
                '(ALERTS{alertname=~"Slipstream.+", alertstate="firing"})'
            },
        ),
        Panel(
            "Gateways that answer",
            "short",
            "1 for each gateway and inference server that Prometheus reaches, 0 for others.",
            {"{{job}} {{instance}}": 'up{job=~"slipstream.*"}'},
        ),
    ),
)

_FAST = Dashboard(
    "slipstream-fast-path",
    "Slipstream: fast path by phase",
    "Where the time of fast calls goes.",
    (
        Panel(
            "Mean time by phase",
            "s",
            "Mean time in each phase of a fast call; together, its whole time in the gateway. "
            "queue and infer are the inference server's own clock.",
            {
                "{{stage}}": f"{rate('gateway_stage_seconds_sum', 'stage')} / "
                f"{rate('gateway_stage_seconds_count', 'stage')}"
            },
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

_RUNS = Dashboard(
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
                "busy {{instance}}": "sum by (instance) (worker_busy)",
                "places {{instance}}": "sum by (instance) (worker_concurrency)",
            },
        ),
        Panel(
            "Cold starts",
            "short",
            "Runs per hour that had to wait for an inference server to boot. The ten deployments "
            "with the most.",
            {
                "{{name}}": named(
                    "topk(10, sum by (deployment) (increase(run_boot_seconds_count[1h])))"
                )
            },
        ),
        Panel(
            "Queue workers that ended",
            "short",
            "Per hour, without having been told to, of `slipstream worker --metrics`; and runs "
            "that processes left behind.",
            {
                "{{instance}}": "sum by (instance) (increase(worker_restarts_total[1h]))",
                "runs {{outcome}}": "sum by (outcome) (increase(run_lease_reaped_total[1h]))",
            },
        ),
    ),
)

_OF_DEPLOYMENT = '{deployment="$deployment"}'
_DEPLOYMENT = Dashboard(
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
            "Mean time by phase",
            "s",
            "Of fast calls.",
            {
                "{{stage}}": f"{rate(f'gateway_stage_seconds_sum{_OF_DEPLOYMENT}', 'stage')} / "
                f"{rate(f'gateway_stage_seconds_count{_OF_DEPLOYMENT}', 'stage')}"
            },
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

_OF_MODEL = '{model="$model"}'
_MODEL = Dashboard(
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
            {
                "{{version}}": f"{rate(f'inference_batch_size_sum{_OF_MODEL}', 'version')} / "
                f"{rate(f'inference_batch_size_count{_OF_MODEL}', 'version')}"
            },
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

_WEBHOOKS = Dashboard(
    "slipstream-webhooks",
    "Slipstream: webhooks",
    "Whether events arrive, and how late.",
    (
        Panel(
            "Attempts",
            "ops",
            "Attempts to deliver an event a second, by how they went.",
            {"{{result}}": rate("webhook_attempts_total", "result")},
        ),
        Panel(
            "Age of the oldest event",
            "s",
            "That has not arrived and is still tried: it rises while a receiver is down.",
            {"all": "max(webhook_outbox_oldest_seconds)"},
        ),
        Panel(
            "Time to delivery",
            "s",
            "From the event to its delivery.",
            quantiles("webhook_delivery_seconds"),
        ),
        Panel(
            "Oldest event by deployment",
            "s",
            "Which receiver is down: the ten oldest.",
            {"{{name}}": named("topk(10, max by (deployment) (webhook_oldest_seconds))")},
        ),
    ),
)

_CAPACITY = Dashboard(
    "slipstream-capacity",
    "Slipstream: capacity and hosts",
    "What is left of processors, memory, places and connections.",
    (
        Panel(
            "Hosts",
            "short",
            "By state. The same in every gateway.",
            {"{{state}}": "max by (state) (hosts)"},
        ),
        Panel(
            "Gateways and workers",
            "short",
            "Processes of all machines by state.",
            {
                "{{kind}} {{state}}": "max by (kind, state) "
                "(sum by (instance, kind, state) (service_processes))"
            },
        ),
        Panel(
            "Inference servers",
            "short",
            "Models by the state of their inference server.",
            {
                "{{state}}": "sum by (state) (max by (model, version, state) "
                '(inference_server_state{job="slipstream"}))'
            },
        ),
        Panel(
            "Processor time",
            "short",
            "Cores that gateway processes use: 1 is the most that a process can.",
            {"{{instance}} {{process}}": rate("process_cpu_seconds_total", "instance, process")},
        ),
        Panel(
            "Memory",
            "bytes",
            "Resident memory of gateway processes.",
            {
                "{{instance}} {{process}}": "sum by (instance, process) "
                "(process_resident_memory_bytes)"
            },
        ),
        Panel(
            "File descriptors",
            "percentunit",
            "Share that is open; at 100 %, connections are refused.",
            {
                "{{instance}} {{process}}": "max by (instance, process) "
                "(process_open_fds / process_max_fds)"
            },
        ),
        Panel(
            "Child processes",
            "short",
            "Evaluators, parsers and functions that work, and requests that wait for one.",
            {
                "busy {{program}}": "sum by (program) (child_processes_busy)",
                "waiting {{program}}": "sum by (program) (child_requests_waiting)",
            },
        ),
        Panel(
            "Stored runs",
            "bytes",
            "What runs and events take, and the limit above which new ones are refused.",
            {"stored": "max(run_storage_bytes)", "limit": "max(run_storage_limit_bytes)"},
        ),
        Panel(
            "Queries of the database",
            "s",
            "Duration of the gateways' queries.",
            quantiles("database_query_seconds"),
        ),
        Panel(
            "Failed queries and messages",
            "ops",
            "Errors of the database and the broker a second.",
            {
                "database {{instance}}": rate("database_errors_total", "instance"),
                "broker {{instance}}": rate("broker_errors_total", "instance"),
            },
        ),
        Panel(
            "Connections to the database",
            "short",
            "Of the pools of all gateways, by state.",
            {"{{state}}": "sum by (state) (database_connections)"},
        ),
        Panel(
            "Versions",
            "short",
            "Gateways and hosts by version of Slipstream: two during an upgrade only.",
            {
                "gateways {{version}}": "count by (version) (slipstream_build_info)",
                "hosts {{version}}": "count by (version) (max by (host, version) (host_info))",
            },
        ),
    ),
)

DASHBOARDS = (_OVERVIEW, _FAST, _RUNS, _DEPLOYMENT, _MODEL, _WEBHOOKS, _CAPACITY)
