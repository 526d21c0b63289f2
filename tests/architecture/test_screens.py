"""Each page of the console is among the screens that are pictured and checked by axe."""

from __future__ import annotations

import re

from tests.architecture.repository import ROOT
from tests.screenshots.screens import SCREENS

_ROUTE = re.compile(
    r"const (\w+) = createRoute\(\{\s*"
    r"getParentRoute: \(\) => (\w+),\s*"
    r"(id|path): \"([^\"]*)\","
)
_REDIRECTS = {"/", "/flows/$flowId", "/deployments/$deploymentId"}
"""Addresses that lead to another one."""


def test_each_route_has_a_screen() -> None:
    routes = _routes((ROOT / "console" / "src" / "router.tsx").read_text())
    assert len(routes) > 40, "the routes are written in another way"
    addresses = [re.split("[?#]", screen.path)[0] for screen in SCREENS]
    missing = [
        route
        for route in routes - _REDIRECTS
        if not any(_leads_to(address, route) for address in addresses)
    ]
    assert missing == []


def _routes(source: str) -> set[str]:
    """Return the addresses that the router knows."""
    found = {name: (parent, kind, path) for name, parent, kind, path in _ROUTE.findall(source)}

    def address(name: str) -> str:
        if name not in found:
            return ""
        parent, kind, path = found[name]
        own = path.strip("/") if kind == "path" else ""
        return f"{address(parent)}/{own}" if own else address(parent)

    return {address(name) or "/" for name in found}


def _leads_to(address: str, route: str) -> bool:
    parts, expected = address.split("/"), route.split("/")
    return len(parts) == len(expected) and all(
        part == wanted or wanted.startswith("$")
        for part, wanted in zip(parts, expected, strict=True)
    )
