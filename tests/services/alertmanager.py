"""An Alertmanager with the file of `slipstream monitoring`."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.services.process import Service


class Alertmanager(Service):
    """Alertmanager at an address, which sends the first alert of a group at once."""

    def __init__(self, folder: Path, address: str) -> None:
        """Prepare the command; `folder` has what `slipstream monitoring` wrote."""
        configuration = folder / "alertmanager.yml"
        text = configuration.read_text()
        assert "group_wait: 30s" in text
        configuration.write_text(text.replace("group_wait: 30s", "group_wait: 0s"))
        self._url = f"http://{address}/-/ready"
        command = ["prometheus-alertmanager", "--config.file=alertmanager.yml"]
        command += [f"--web.listen-address={address}", "--cluster.listen-address="]
        command += ["--storage.path=alertmanager"]
        super().__init__("alertmanager", command, self._is_ready, folder=folder)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(self._url).status_code == 200
        except httpx.TransportError:
            return False
