"""The forms of PromQL that panels have in common."""

from __future__ import annotations

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


def mean(metric: str, by: str, selector: str = "") -> str:
    """Return the mean of what a histogram has observed."""
    observed, number = (rate(f"{metric}_{end}{selector}", by) for end in ("sum", "count"))
    return f"{observed} / {number}"


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


def counted(metric: str, by: str) -> str:
    """Return how often something happened within the last hour.

    `increase` alone takes the first value of a series for what was there before: a series that has
    begun within the hour, as with the first cold start of a deployment, counts as a whole.
    """
    return f"sum by ({by}) ((increase({metric}[1h]) and {metric} offset 1h) or {metric})"


_OF_INPUT = "invalid_input|invalid_tensor|input_rejected"
"""Codes of runs that fail by what their caller has sent: of a call, these are 4xx."""


def failed_share(window: str) -> str:
    """Return the share of failures by deployment: calls answered with 5xx, and async runs.

    An async call is answered before its run, so it counts if it was refused, and its run otherwise.
    `or` joins series, as no call has the labels of a run.
    """
    refused = f'rate(gateway_requests_total{{code=~"5.."}}[{window}])'
    of_runs = f'mode="async", status="failed", code!~"{_OF_INPUT}"'
    failed = f"rate(runs_total{{{of_runs}}}[{window}])"
    answered = f'rate(gateway_requests_total{{mode!="async"}}[{window}])'
    ended = f'rate(runs_total{{mode="async"}}[{window}])'
    failures = f"sum by (deployment) ({refused} or {failed})"
    everything = f"sum by (deployment) ({refused} or {answered} or {ended})"
    return f"({failures} or 0 * {everything}) / ({everything} > 0)"
