"""A private Azure Blob server (Azurite), installed from its lock file."""

from __future__ import annotations

import base64
import hashlib
import hmac
from email.utils import formatdate
from pathlib import Path

import httpx

from tests.services import npm
from tests.services.process import Service
from tests.slipstream.running import free_port

_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's own, the same everywhere (learn.microsoft.com, "Use the Azurite emulator")."""
_API_VERSION = "2021-08-06"


class AzureServer(Service):
    """Azurite on a free port, with the container `models`."""

    def __init__(self, folder: Path) -> None:
        """Install it into `folder`, which must exist."""
        package = folder / "azurite"
        npm.install(Path(__file__).parent / "azurite", package)
        port = free_port()
        self._endpoint = f"http://127.0.0.1:{port}/{_ACCOUNT}"
        command = [str(package / "node_modules" / ".bin" / "azurite-blob"), "--inMemoryPersistence"]
        command += ["--blobPort", str(port), "--skipApiVersionCheck", "--disableTelemetry"]
        super().__init__("azure", command, self._makes_container, folder=folder)

    @property
    def options(self) -> dict[str, str]:
        """Options of the container."""
        return {"endpoint": self._endpoint, "account_name": _ACCOUNT, "account_key": _KEY}

    def _makes_container(self) -> bool:
        date = formatdate(usegmt=True)
        # learn.microsoft.com, "Authorize with Shared Key": twelve standard headers, all empty here
        signed = (
            "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{_API_VERSION}\n"
            f"/{_ACCOUNT}/{_ACCOUNT}/models\nrestype:container"
        )
        digest = hmac.digest(base64.b64decode(_KEY), signed.encode(), hashlib.sha256)
        headers = {
            "x-ms-date": date,
            "x-ms-version": _API_VERSION,
            "Authorization": f"SharedKey {_ACCOUNT}:{base64.b64encode(digest).decode()}",
        }
        try:
            return httpx.put(
                f"{self._endpoint}/models?restype=container", headers=headers
            ).is_success
        except httpx.HTTPError:
            return False
