"""Panels of the dashboards, as the JSON for Grafana has them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tests.architecture.repository import ROOT
from tests.services.prometheus import Series

_FOLDER = ROOT / "slipstream" / "monitoring" / "dashboards"


@dataclass(frozen=True)
class Panel:
    """One graph."""

    title: str
    unit: str
    queries: dict[str, str]
    """PromQL by legend, whose `$__rate_interval` and variables are given by `query`."""
    thresholds: tuple[float, ...]

    def query(self, legend: str = "", **chosen: str) -> str:
        """Return a query, by default the only one; `chosen` are values of variables (RE2).

        Rates are those of 10 seconds: the Prometheus of the tests reads every second.
        """
        expression = self.queries[legend or next(iter(self.queries))]
        expression = expression.replace("$__rate_interval", "10s")
        for name, value in chosen.items():
            expression = expression.replace(f'="${name}"', f'=~"{value}"')
        return expression


@dataclass(frozen=True)
class Dashboard:
    """One dashboard, by the title of its panels."""

    name: str
    title: str
    panels: dict[str, Panel]


def dashboards() -> dict[str, Dashboard]:
    """Return all of them by the name of their file."""
    read = {path.stem: json.loads(path.read_text()) for path in sorted(_FOLDER.iterdir())}
    return {
        name: Dashboard(
            name,
            document["title"],
            {panel["title"]: _panel(panel) for panel in document["panels"]},
        )
        for name, document in read.items()
    }


def _panel(panel: dict[str, Any]) -> Panel:  # Any: JSON
    defaults = panel["fieldConfig"]["defaults"]
    steps = defaults.get("thresholds", {}).get("steps", ())
    return Panel(
        panel["title"],
        defaults["unit"],
        {target["legendFormat"]: target["expr"] for target in panel["targets"]},
        tuple(step["value"] for step in steps if step["value"] is not None),
    )


def legend(words: str, series: Series) -> str:
    """Return what Grafana writes in the legend."""
    return re.sub(r"{{(\w+)}}", lambda found: series.labels.get(found[1], ""), words)
