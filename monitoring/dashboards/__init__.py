"""Our dashboards: which question each graph answers, and with which query."""

from __future__ import annotations

from monitoring.dashboards.capacity import CAPACITY
from monitoring.dashboards.deployment import DEPLOYMENT
from monitoring.dashboards.fast_path import FAST_PATH
from monitoring.dashboards.model import MODEL
from monitoring.dashboards.overview import OVERVIEW
from monitoring.dashboards.runs import RUNS
from monitoring.dashboards.webhooks import WEBHOOKS

DASHBOARDS = (OVERVIEW, FAST_PATH, RUNS, DEPLOYMENT, MODEL, WEBHOOKS, CAPACITY)
