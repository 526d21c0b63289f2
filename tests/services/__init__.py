"""Servers that tests start or talk to, and what the running test has declared that it uses."""

from __future__ import annotations

from dataclasses import dataclass

import pytest


@dataclass
class Declared:
    """What the markers of the running test allow; between tests, everything."""

    services: bool = True
    processes: bool = True


declared = Declared()


def require_services() -> None:
    """Fail a test that talks to a service and would do so in `make test`."""
    if not declared.services:
        pytest.fail("the test needs an external service and is not marked `services`")
