"""Writes the OpenAPI document without a running gateway: `python tools/openapi_document.py FILE`.

The console's build makes its types from it.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import orjson

from gateway.app import build_fastapi
from gateway.container import Container
from gateway.settings import Settings


async def document() -> bytes:
    """Return the document as JSON, of a gateway that is built and not started."""
    with tempfile.TemporaryDirectory() as folder:
        container = Container(Settings(state=Path(folder)))
        described = build_fastapi(container).openapi()
        await container.services.flow_processes.close()
        await container.parser.close()
        await container.db.close()
    return orjson.dumps(described, option=orjson.OPT_INDENT_2)


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(asyncio.run(document()))
