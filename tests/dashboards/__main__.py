"""Draw every dashboard, filled by a busy installation that a real Prometheus reads.

make dashboards
make dashboards ARGS="--seconds 60 --into /tmp"
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.architecture.repository import ROOT
from tests.dashboards.drawing import draw
from tests.dashboards.panels import dashboards
from tests.dashboards.traffic import Traffic
from tests.gateway.webhooks.receiver import Receiver
from tests.services.prometheus import Prometheus, Series
from tests.slipstream.running import LOOPBACK, Up
from tests.system.installation import Installation

_STEP_SECONDS = 1
_MAY_BE_EMPTY = {"Slipstream: overview | Alerts"}
"""Panels that may have nothing to show."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pictures; return 0, or 1 if a panel has no data."""
    options = _options(arguments)
    options.into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="slipstream-dashboards-") as name:
        folder = Path(name)
        up = Up(folder / "state", "--workers", "2", **LOOPBACK)
        up.until("documentation")
        installation, receiver = Installation(up), Receiver(folder)
        installation.command("monitoring", str(folder / "watch"))
        prometheus = Prometheus(folder / "watch")
        prometheus.start()
        traffic = Traffic(installation, receiver, folder)
        try:
            traffic.start()
            began = time.time()
            print(f"filling the dashboards for {options.seconds} s")  # noqa: T201
            time.sleep(options.seconds)
            return _draw_all(prometheus, began, traffic, options.into)
        finally:
            traffic.stop()
            prometheus.stop(signal.SIGTERM)
            receiver.close()
            up.stop()


def _draw_all(prometheus: Prometheus, began: float, traffic: Traffic, into: Path) -> int:
    until = time.time()

    def answer(query: str) -> Sequence[Series]:
        return prometheus.query_range(query, began, until, _STEP_SECONDS)

    # Grafana shows one deployment: a fast one has no nodes, and another one no phases.
    chosen = {"deployment": f"{traffic.fraud}|{traffic.address}", "model": "fraud"}
    about = {
        "slipstream-deployment": "Fraud score (fast) and Address lookup (sync)",
        "slipstream-model": "fraud",
    }
    empty = []
    for name, dashboard in dashboards().items():
        path = into / f"monitoring-{name.removeprefix('slipstream-')}.png"
        empty += draw(dashboard, answer, path, about.get(name, ""), **chosen)
        print(f"{path}: {path.stat().st_size // 1024} KiB")  # noqa: T201
    for panel in empty:
        print(f"no data: {panel}")  # noqa: T201
    return 1 if set(empty) - _MAY_BE_EMPTY else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make dashboards",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=int, default=120, help="of traffic")
    parser.add_argument("--into", type=Path, default=ROOT / "docs" / "screenshots")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
