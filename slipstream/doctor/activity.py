"""Checks of what deployments do: runs that wait for long, and webhooks that do not deliver."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.system.activity import WebhookProblem
from gateway.system.state import QueueState
from slipstream.doctor.finding import Finding, good, warning

_LONG_SECONDS = 60.0
"""That a run waits before it is a finding."""


def check_backlog(queues: Sequence[QueueState]) -> Iterator[Finding]:
    """Check for how long the oldest run of each queue waits."""
    late = [it for it in queues if (it.oldest_seconds or 0.0) >= _LONG_SECONDS]
    for it in late:
        yield warning(
            "backlog",
            f"{it.depth} runs of the queue {it.name} wait, the oldest for "
            f"{it.oldest_seconds:.0f} s",
            "start `slipstream up` or a worker, or raise --worker-concurrency: see "
            "`slipstream status`",
        )
    if not late:
        yield good("backlog", f"runs that wait: {sum(it.depth for it in queues)}, none for long")


def check_webhooks(problems: Sequence[WebhookProblem]) -> Iterator[Finding]:
    """Check that webhooks deliver."""
    for it in problems:
        yield warning(
            "webhook",
            f"that of the deployment {it.deployment} is {it.trouble}, after {it.failures} attempts "
            "that failed",
            f"see `slipstream webhooks deliveries {it.deployment_id}`, then correct its URL or its "
            "receiver",
        )
