"""The files with which Prometheus and Grafana show an installation."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

_SOURCE = files("slipstream.monitoring")
WINDOWS = ("5m", "30m", "1h", "6h")
"""Of the burn rates that alerts compare, two at a time."""
_TOKEN = "token"  # nosec B105 # the name of its file
_FAILED = """\
      - record: slipstream:calls_failed:ratio_rate{window}
        expr: >-
          (sum(rate(gateway_requests_total{{code=~"5.."}}[{window}])) or vector(0))
          / sum(rate(gateway_requests_total[{window}]))
"""
_SLOW = """\
      - record: slipstream:fast_calls_slow:ratio_rate{window}
        expr: >-
          1 - sum(rate(gateway_request_seconds_bucket{{mode="fast", le="{latency}"}}[{window}]))
          / sum(rate(gateway_request_seconds_count{{mode="fast"}}[{window}]))
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


def write_files(folder: Path, monitored: Monitored) -> list[Path]:
    """Write all files, over those of an earlier call; return their paths.

    Files that this has not written stay as they are. The token can be read by its user only.
    """
    url = urlsplit(monitored.url)
    access = _ACCESS if monitored.token else ""
    values = {
        "objective": f"{monitored.objective:.10g}",
        "latency": f"{monitored.latency:g}",
        "ratios": "".join(
            form.format(window=window, latency=monitored.latency)
            for form in (_FAILED, _SLOW)
            for window in WINDOWS
        ),
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
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for name, text in written.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if monitored.token:
        _write_private(folder / _TOKEN, monitored.token)
    return sorted(folder / name for name in (*written, *([_TOKEN] if monitored.token else [])))


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
