"""What our dashboards have in common: what a panel must say of itself, and how it looks."""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.models.common import (
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
)
from grafana_foundation_sdk.models.dashboard import Dashboard as GrafanaDashboard
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)

_SOURCE = DataSourceRef(type_val="prometheus", uid="slipstream-prometheus")
_HEIGHT, _COLUMNS = 8, 2
_WIDTH = 24 // _COLUMNS


@dataclass(frozen=True, slots=True)
class Panel:
    """A graph. Nothing has a default: each needs its unit and its description."""

    title: str
    unit: str
    """Grafana's name of it: `s`, `percentunit`, `reqps`, `short`, `bytes`."""
    description: str
    queries: dict[str, str]
    """PromQL by legend."""
    thresholds: tuple[float, ...] = ()
    """Where an alert fires, or what can be used up: dashed lines."""


@dataclass(frozen=True, slots=True)
class Variable:
    """What a person chooses at the top of a dashboard."""

    name: str
    label: str
    query: str
    """Of Grafana's Prometheus variables: `label_values(…)` or `query_result(…)`."""
    regex: str = ""
    """Takes `text` and `value` out of a result."""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Graphs that belong together."""

    uid: str
    title: str
    description: str
    panels: tuple[Panel, ...]
    variables: tuple[Variable, ...] = ()


def built(described: Dashboard) -> GrafanaDashboard:
    """Return Grafana's dashboard."""
    builder = (
        dashboard.Dashboard(described.title)
        .uid(described.uid)
        .description(described.description)
        .tags(["slipstream"])
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .link(
            dashboard.DashboardLink("Slipstream")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["slipstream"])
            .as_dropdown(True)
            .keep_time(True)
        )
    )
    for variable in described.variables:
        builder = builder.with_variable(
            dashboard.QueryVariable(variable.name)
            .label(variable.label)
            .datasource(_SOURCE)
            .query(variable.query)
            .regex(variable.regex)
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        )
    for number, panel in enumerate(described.panels, start=1):
        builder = builder.with_panel(_graph(panel).id(number))
    made = builder.build()
    # The builder writes what only variables of intervals have in Grafana's schema.
    for written in made.templating.list_val or ():
        written.auto = written.auto_min = written.auto_count = None
    return made


def _graph(panel: Panel) -> timeseries.Panel:
    graph = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .unit(panel.unit)
        .datasource(_SOURCE)
        .height(_HEIGHT)
        .span(_WIDTH)
        .min(0)
        .line_width(1)
        .fill_opacity(8)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "max"])
        )
    )
    for letter, (legend, query) in zip("ABCDEFGH", panel.queries.items(), strict=False):
        graph = graph.with_target(
            prometheus.Dataquery().expr(query).legend_format(legend).ref_id(letter).range()
        )
    if panel.thresholds:
        steps = [Threshold(None, "transparent"), *(Threshold(at, "red") for at in panel.thresholds)]
        graph = graph.thresholds(
            dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
        ).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        )
    return graph
