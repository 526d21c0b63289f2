"""A call of a deployment: as a curl line to copy, and made before the demo's line is shown."""

from __future__ import annotations

import asyncio
import http.client
import json
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slipstream.readiness import gateway_connection
from slipstream.settings import address_for_others, reachable
from transport.certificates import CertificateInfo, KeyPair

_TIMEOUT_SECONDS = 60.0
_POLL_SECONDS = 0.05
_STABLE_SECONDS = 0.75
"""Three times the delay of the change feed: every gateway is asked several times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerCall:
    """One trigger call."""

    host: str
    """What the gateway listens on."""
    port: int
    path: str
    """Of the deployment: the one with its id, or the readable one."""
    key: str
    input_data: Mapping[str, Any]
    """Any: the test data of a flow is any JSON object."""
    tls: KeyPair | None = None
    """The gateway's certificate; None without TLS."""
    public_url: str | None = None
    """Where clients reach the gateway, if the operator has said so."""

    @property
    def _address(self) -> str:
        return address_for_others(self.host)

    def curl(self, file: str | None = None) -> str:
        """Return the call as one line for a shell, with the body in it or in a file."""
        words = ["curl", "-sS", "-X", "POST"]
        if self.public_url is not None:
            words.append(f"{self.public_url}{self.path}")
        elif self.tls is None:
            words.append(f"http://{_in_url(self._address)}:{self.port}{self.path}")
        else:
            words += self._with_tls(self.tls)
        for name, value in self._headers().items():
            words += ["-H", f"{name}: {value}"]
        return shlex.join([*words, "-d", self._body() if file is None else f"@{file}"])

    def python(self, url: str) -> str:
        """Return the call of `url` as a program that uses `requests`."""
        body = {"input_data": self.input_data}
        return (
            "import requests\n\n"
            "response = requests.post(\n"
            f'    "{url}",\n'
            f'    headers={{"X-API-Key": "{self.key}"}},\n'
            f"    json={body!r},\n"
            ")\n"
            "print(response.json())"
        )

    def javascript(self, url: str) -> str:
        """Return the call of `url` as a module for Node."""
        headers = ",\n".join(f'    "{name}": "{it}"' for name, it in self._headers().items())
        return (
            f'const response = await fetch("{url}", {{\n'
            '  method: "POST",\n'
            f"  headers: {{\n{headers},\n  }},\n"
            f"  body: JSON.stringify({self._body()}),\n"
            "});\n"
            "console.dir(await response.json(), { depth: null });"
        )

    async def wait_until_answered(self) -> bool:
        """Call until the answers stay 200; return False after a minute.

        Each answer comes from one gateway; others may learn of the server a little later.
        """
        now = good_since = time.monotonic()
        deadline = now + _TIMEOUT_SECONDS
        while now < deadline:
            good = await asyncio.to_thread(self._status) == http.HTTPStatus.OK
            now = time.monotonic()
            if not good:
                good_since = now
            elif now - good_since > _STABLE_SECONDS:
                return True
            await asyncio.sleep(_POLL_SECONDS)
        return False

    def _status(self) -> int | None:
        shown = self.tls.certificate if self.tls else None
        connection = gateway_connection(reachable(self.host), self.port, shown, timeout=5)
        try:
            connection.request("POST", self.path, self._body(), self._headers())
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def _with_tls(self, pair: KeyPair) -> list[str]:
        """Return what curl needs to reach the gateway by a name in its certificate."""
        facts = CertificateInfo.from_files(pair)
        words = ["--cacert", str(pair.certificate)] if facts.self_signed else []
        names = [name for name in facts.names if not name.startswith("*.")]
        name = self._address if self._address in names or not names else names[0]
        if name != self._address:
            words += ["--resolve", f"{name}:{self.port}:{_in_url(self._address)}"]
        return [*words, f"https://{_in_url(name)}:{self.port}{self.path}"]

    def _headers(self) -> dict[str, str]:
        return {"X-API-Key": self.key, "Content-Type": "application/json"}

    def _body(self) -> str:
        return json.dumps({"input_data": self.input_data})


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
