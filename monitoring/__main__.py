"""Writes the dashboards (`make monitoring`): JSON, which is committed and belongs to the wheel."""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from monitoring.dashboards import DASHBOARDS
from monitoring.panels import built

FOLDER = Path(__file__).parents[1] / "slipstream" / "monitoring" / "dashboards"


def rendered() -> dict[str, str]:
    """Return the JSON of each dashboard by the name of its file."""
    return {
        f"{dashboard.uid}.json": json.dumps(built(dashboard), cls=JSONEncoder, indent=1) + "\n"
        for dashboard in DASHBOARDS
    }


def main() -> None:
    """Write the files, and remove those of dashboards that are gone."""
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for name, text in rendered().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
