"""Webhooks."""

from __future__ import annotations

from monitoring.panels import Dashboard, Panel
from monitoring.queries import named, quantiles, rate

WEBHOOKS = Dashboard(
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
            (3600,),
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
