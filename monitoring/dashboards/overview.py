"""Whether the objective is met, and what spends the error budget."""

from __future__ import annotations

from monitoring.panels import Dashboard, Panel
from monitoring.queries import failed_share, named, quantiles, rate

_BUDGET = "(1 - scalar(slipstream:objective:ratio))"
_PAGES = (6.0, 14.4)
"""Burn rates at which alerts page."""

OVERVIEW = Dashboard(
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
            _PAGES,
        ),
        Panel(
            "Burn rate: slow fast calls",
            "short",
            "The same of fast calls that took longer than promised.",
            {
                window: f"slipstream:fast_calls_slow:ratio_rate{window} / {_BUDGET}"
                for window in ("5m", "1h", "30m", "6h")
            },
            _PAGES,
        ),
        Panel(
            "Burn rate by deployment",
            "short",
            "How many times faster than allowed a deployment spends an error budget of its own, "
            "over 1 hour: calls answered with 5xx, and async runs that failed, but not by their "
            "input. The ten highest.",
            {"{{name}}": named(f"topk(10, ({failed_share('1h')}) / {_BUDGET})")},
            _PAGES,
        ),
        Panel(
            "Error ratio by deployment",
            "percentunit",
            "Share of calls answered with 5xx, and of async runs that failed, but not by their "
            "input. The ten highest.",
            {"{{name}}": named(f"topk(10, {failed_share('$__rate_interval')})")},
        ),
        Panel(
            "Calls by key",
            "reqps",
            "Which API keys cause the load: calls a second by the id of the key, the ten with "
            "the most. `slipstream keys show ID` says whose it is.",
            {"{{key}}": f"topk(10, {rate('gateway_key_calls_total', 'key')})"},
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
            "Processes that answer",
            "short",
            "1 for gateways, inference servers and workers that Prometheus reaches, 0 for others.",
            {"{{job}} {{instance}}": 'up{job=~"slipstream.*"}'},
        ),
    ),
)
