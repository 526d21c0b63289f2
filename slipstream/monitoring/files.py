"""The files with which Prometheus, Alertmanager and Grafana watch an installation."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

_SOURCE = files("slipstream.monitoring")
WINDOWS = ("30m", "1h", "2h", "6h", "1d", "3d")
"""Of the burn rates that alerts compare, beside 5 minutes."""
_COUNTED = ("1h", "6h", "1d", "3d")
"""The longer ones of two: an alert is of so many missed calls at least."""
_TOKEN = "token"  # nosec B105 # the name of its file
_ALERTMANAGER = "alertmanager.yml"
_KINDS = (("calls_failed", "calls"), ("fast_calls_slow", "fast_calls"))
_RATIO = """\
      - record: slipstream:{missed}:ratio_rate{window}
        expr: >-
          sum_over_time(slipstream:{missed}:rate5m[{window}])
          / (sum_over_time(slipstream:{calls}:rate5m[{window}]) > 0)
"""
_INCREASE = """\
      - record: slipstream:{missed}:increase{window}
        expr: sum_over_time(slipstream:{missed}:rate5m[{window}:5m]) * 300
"""
_ACCESS = "authorization: {credentials_file: token}"


class _Template(Template):
    """A template with `@name`: `$` belongs to Prometheus and Grafana."""

    delimiter = "@"


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitored:
    """What is watched, and what it should hold."""

    url: str
    """Of a gateway, as Prometheus reaches it."""
    objective: float
    """Share of calls that should be answered without an error of the server, and of fast calls
    that should be answered within `latency`: 0.999."""
    latency: float
    """Seconds; an upper bound of the buckets of `gateway_request_seconds`."""
    token: str | None
    """What `/metrics` asks for."""
    runbook: str
    """URL of docs/runbook.md, or its path: alerts link to its sections."""
    alertmanager: str
    """Host and port to which Prometheus sends alerts."""
    notify: str | None
    """URL to which Alertmanager posts them. It may be a secret."""


def write_files(folder: Path, monitored: Monitored) -> list[Path]:
    """Write all files, over those of an earlier call; return their paths.

    Files that this has not written stay as they are, and so does `alertmanager.yml`, which people
    change, unless it is to notify an URL. It and the token can be read by their user only.
    """
    url = urlsplit(monitored.url)
    access = _ACCESS if monitored.token else ""
    values = {
        "objective": f"{monitored.objective:.10g}",
        "latency": repr(monitored.latency),  # as in the label `le`
        "ratios": "".join(
            form.format(missed=missed, calls=calls, window=window)
            for missed, calls in _KINDS
            for form, windows in ((_RATIO, WINDOWS), (_INCREASE, _COUNTED))
            for window in windows
        ),
        "alertmanager": monitored.alertmanager,
        "receiver": _receiver(monitored.notify),
        "runbook": monitored.runbook,
        "scheme": url.scheme,
        "address": url.netloc,
        "url": monitored.url.rstrip("/"),
        "access": access and f"    {access}\n",
        "sd_access": access and f"        {access}\n",
        "servers_access": access and f"    {access}\n",
        "user": f"{os.getuid()}:{os.getgid()}",
    }
    written = {
        name: _Template((_SOURCE / source).read_text()).substitute(values)
        for name, source in (
            ("prometheus.yml", "prometheus.yml"),
            ("rules.yml", "rules.yml"),
            ("objective.yml", "objective.yml"),
            ("compose.yml", "compose.yml"),
            ("grafana/datasources/slipstream.yml", "datasource.yml"),
            ("grafana/dashboards/slipstream.yml", "provider.yml"),
        )
    }
    for dashboard in (_SOURCE / "dashboards").iterdir():
        written[f"dashboards/{dashboard.name}"] = dashboard.read_text()
    for data in ("data", "alertmanager"):
        (folder / data).mkdir(parents=True, exist_ok=True)
    for name, text in written.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    private = {}
    if monitored.token:
        private[_TOKEN] = monitored.token
    if monitored.notify or not (folder / _ALERTMANAGER).exists():
        private[_ALERTMANAGER] = _Template((_SOURCE / _ALERTMANAGER).read_text()).substitute(values)
    for name, text in private.items():
        _write_private(folder / name, text)
    return sorted(folder / name for name in (*written, *private))


def _receiver(url: str | None) -> str:
    """Return what the receiver of alerts does; JSON's strings are YAML's."""
    if url is None:
        return "    # webhook_configs: [{url: https://example.com/alerts}]"
    return f"    webhook_configs: [{{url: {json.dumps(url)}}}]"


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
