"""A private S3 server (moto): its buckets are lost when it is killed."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx

from tests.services.machine import LOCAL, Machine
from tests.services.process import Service
from tests.slipstream.running import free_port


class S3Server(Service):
    """moto on a free port, with the bucket `models`."""

    def __init__(self, folder: Path, machine: Machine = LOCAL) -> None:
        """Prepare the command; `folder` must exist."""
        self.endpoint = f"http://{machine.address}:{free_port()}"
        port = self.endpoint.rpartition(":")[2]
        command = [*machine.prefix, sys.executable, "-m", "moto.server"]
        command += ["-H", machine.address, "-p", port]
        super().__init__("s3", command, self._makes_bucket, folder=folder)

    @property
    def options(self) -> dict[str, str]:
        """Options of the bucket."""
        return {
            "endpoint": self.endpoint,
            "access_key_id": "one",
            "secret_access_key": "the-secret-of-the-bucket",
            "region": "us-east-1",
        }

    def empty(self) -> None:
        """Delete all objects."""
        httpx.post(f"{self.endpoint}/moto-api/reset").raise_for_status()
        httpx.put(f"{self.endpoint}/models").raise_for_status()

    def _makes_bucket(self) -> bool:
        try:
            return httpx.put(f"{self.endpoint}/models").is_success
        except httpx.HTTPError:
            return False
