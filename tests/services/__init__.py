"""External services that tests start or use, and the markers of the running test."""

from __future__ import annotations

from dataclasses import dataclass

import pytest


@dataclass
class DeclaredMarkers:
    """Resources that the markers of the running test allow; between tests, all."""

    services: bool = True
    processes: bool = True


declared = DeclaredMarkers()


def require_services() -> None:
    """Fail a test that uses an external service without the marker `services`."""
    if not declared.services:
        pytest.fail("the test needs an external service and is not marked `services`")
