"""Where callers reach the gateway: the address that answers and code name to them."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Request

from gateway.dependencies import service_of
from gateway.settings import Settings

_HOST = re.compile(r"([A-Za-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]+)?")
"""What may stand in code of every language without quotes."""


async def public_url(request: Request) -> str:
    """Return the operator's public URL, else the address by which this request has come.

    Without a slash at its end.
    """
    settings = service_of(request, Settings)
    host = request.url.netloc
    if settings.public_base_url or not _HOST.fullmatch(host):
        return settings.public_url
    scheme = "https" if settings.secure_cookies else request.url.scheme
    return f"{scheme}://{host}"


PublicUrl = Annotated[str, Depends(public_url)]
