"""A Prometheus with the files of `slipstream monitoring`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.services.process import Service
from tests.slipstream.running import free_port


@dataclass(frozen=True)
class Series:
    """One series of an answer."""

    labels: dict[str, str]
    points: list[tuple[float, float]]
    """Times and values; one of a query of one moment."""

    @property
    def value(self) -> float:
        """The last value."""
        return self.points[-1][1]


class Prometheus(Service):
    """Prometheus on a free port, which reads and evaluates every second in place of 15."""

    def __init__(self, folder: Path) -> None:
        """Prepare the command; `folder` has what `slipstream monitoring` wrote."""
        configuration = folder / "prometheus.yml"
        text = configuration.read_text().replace("_interval: 15s", "_interval: 1s")
        discovery = "http_sd_configs:\n      - "
        configuration.write_text(
            text.replace(discovery, f"{discovery}refresh_interval: 1s\n        ")
        )
        address = f"127.0.0.1:{free_port()}"
        self._url = f"http://{address}"
        command = ["prometheus", f"--config.file={configuration}"]
        command += [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"]
        super().__init__("prometheus", command, self._is_ready, folder=folder)

    def query(self, expression: str) -> list[Series]:
        """Return the series of this moment; those without a number are left out."""
        answer = self._get("query", query=expression)
        found = [Series(each["metric"], [_point(each["value"])]) for each in answer]
        return [series for series in found if series.value == series.value]

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """Return the series of a time, with a value each `step` seconds."""
        answer = self._get("query_range", query=expression, start=start, end=end, step=step)
        return [Series(each["metric"], [*map(_point, each["values"])]) for each in answer]

    def _get(self, what: str, **parameters: object) -> list[Any]:  # Any: JSON
        answer = httpx.post(f"{self._url}/api/v1/{what}", data=parameters)
        assert answer.status_code == 200, f"{parameters['query']}: {answer.text}"
        found: list[Any] = answer.json()["data"]["result"]
        return found

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self._url}/-/ready").status_code == 200
        except httpx.TransportError:
            return False


def _point(pair: tuple[float, str]) -> tuple[float, float]:
    return pair[0], float(pair[1])
