"""The OpenAPI document of a gateway that is built but not started."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from gateway.app import build_fastapi
from gateway.container import Container
from gateway.settings import Settings


# Any: a document
async def openapi() -> dict[str, Any]:
    """Return the document."""
    with tempfile.TemporaryDirectory() as folder:
        container = Container(Settings(state=Path(folder) / "state"))
        document = build_fastapi(container).openapi()
        container.services.passwords.close()
        await container.db.close()
    return document
