"""Reads the usage of a deployment."""

from __future__ import annotations

from typing import Any

from tests.system.installation import Installation, Json
from tests.timing import eventually

IRIS = {"x": [[5.1, 3.5, 1.4, 0.2]]}


def usage_of(installation: Installation, deployment: str, **query: str) -> list[Json]:
    """Return the usage items of a deployment."""
    answer = installation.http.get("/node/usage/", params={"deployment": deployment, **query})
    assert answer.status_code == 200, answer.text
    items: list[Json] = answer.json()["items"]
    return items


def until_counted(installation: Installation, deployment: str, **counts: int) -> Json:
    """Wait until the usage of a deployment has these counts, and never more; return its item."""

    def look() -> dict[str, Any]:  # Any: JSON
        found = usage_of(installation, deployment)
        item = found[0] if found else dict.fromkeys(counts, 0)
        assert all(item[name] <= count for name, count in counts.items()), item
        return item

    return eventually(look, lambda item: all(item[name] == n for name, n in counts.items()))
