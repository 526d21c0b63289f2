"""Browsers that have a session from the start, and what is large in their installation."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, BrowserContext

from tests.console.conftest import stored_session
from tests.slipstream.running import Up

_ROW = 20


def context_of(browser: Browser, up: Up) -> BrowserContext:
    """Open a new context with a session of the installation's owner."""
    return browser.new_context(
        viewport={"width": 1280, "height": 800}, locale="en-GB", storage_state=stored_session(up)
    )


# Any: what a node has
def flow_of(number: int) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Return nodes and edges of a flow with so many nodes: rows of 20 between input and output."""
    nodes: list[dict[str, Any]] = [{"id": "input", "type": "api_input", "config": {}}]
    edges: list[dict[str, str]] = []
    ends = []
    for at in range(number - 2):
        before = "input" if at % _ROW == 0 else f"n{at - 1}"
        value = "1" if at % _ROW == 0 else f"n{at - 1}.y + 1"
        nodes.append({"id": f"n{at}", "type": "transform", "config": {"fields": {"y": value}}})
        edges.append({"source": before, "target": f"n{at}"})
        if at % _ROW == _ROW - 1 or at == number - 3:
            ends.append(f"n{at}")
    nodes.append({"id": "output", "type": "api_output", "config": {"fields": {"y": "n0.y"}}})
    edges += [{"source": end, "target": "output"} for end in ends]
    return nodes, edges
