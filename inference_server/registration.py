"""Registers a server that no supervisor has started at a gateway, again and again.

The gateway's routes are those of `/node/inference-servers/registered/`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections import deque
from pathlib import Path
from uuid import uuid4

import aiohttp
import orjson

from inference_server.lifecycle import Lifecycle, LifecycleState
from inference_server.settings import Settings
from telemetry.logs import logger, reason_of

_INTERVAL_SECONDS = 1.0
"""Between two registrations. A lease lasts several of them, as the gateway says."""
_TIMEOUT_SECONDS = 1.0
"""Of one request: where it is exceeded, the next gateway is asked at once."""
_ROUTE = "node/inference-servers/registered"
_MAX_REASON = 2_000
_FAILURES = (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError)
"""Of a request, its answer, or the file with the key."""


class RegistrationError(Exception):
    """The settings of the registration cannot be used; the message says why."""


class Registration:
    """Tells gateways where the server is, and how it is, from `start` until `leave`.

    A gateway that cannot be reached changes nothing for the server: it goes on, and asks the next.
    """

    def __init__(self, settings: Settings, lifecycle: Lifecycle) -> None:
        """Prepare it; `settings` have URLs of gateways, and a file with the key.

        Raises:
            RegistrationError: the certificates of the CA cannot be read.
        """
        assert settings.register_key_file is not None
        self._settings = settings
        self._lifecycle = lifecycle
        self._gateways = deque(settings.register or ())
        self._key_file = settings.register_key_file
        self._changed = asyncio.Event()
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=_tls(settings.register_ca)),
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS),
        )
        self._path = f"{_ROUTE}/{uuid4()}/"
        self._failures: dict[str, str] = {}
        """Gateway → why it was of no use the last time; logged once."""
        self._desired: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._leaving = False
        self.boot_seconds: float | None = None
        """How long the boot took, when it is over."""
        self._log = logger(__name__)
        if plain := [url for url in self._gateways if url.startswith("http://")]:
            self._log.warning("key_sent_in_the_clear", gateways=plain)
        lifecycle.on_change(self._changed.set)

    @property
    def is_known(self) -> bool:
        """Whether a gateway has taken the registration."""
        return self._desired is not None

    def start(self, tcp_address: str, metrics_address: str) -> None:
        """Register now, at each change, and each second."""
        addresses = {"tcp_address": tcp_address, "metrics_address": metrics_address}
        self._task = asyncio.create_task(self._run(addresses), name="registration")

    async def leave(self) -> None:
        """Say that the server has ended, if a gateway can be told, and close the connections."""
        self._leaving = True
        self._changed.set()
        if self._task is not None:  # not cancelled: the gateway might write its row afterwards
            await self._task
        with contextlib.suppress(*_FAILURES):
            async with self._client.delete(self._url(), headers=self._headers()):
                pass
        await self._client.close()

    async def _run(self, addresses: dict[str, str]) -> None:
        while not self._leaving:
            self._changed.clear()
            for _ in range(len(self._gateways)):
                if await self._register(addresses):
                    break
                self._gateways.rotate(-1)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL_SECONDS):
                    await self._changed.wait()

    async def _register(self, addresses: dict[str, str]) -> bool:
        """Register at the first gateway; return whether it has done that."""
        lifecycle, settings = self._lifecycle, self._settings
        booting = lifecycle.state is LifecycleState.BOOTING
        reason = lifecycle.failure.message[:_MAX_REASON] if lifecycle.failure else None
        body = {
            "model": settings.model,
            "version": settings.version,
            "state": lifecycle.state,
            "phase": lifecycle.phase if booting else None,
            "pid": os.getpid(),
            "reason": reason,
            "boot_seconds": self.boot_seconds,
            **addresses,
        }
        try:
            async with self._client.put(
                self._url(), headers=self._headers(), data=orjson.dumps(body)
            ) as answer:
                content = await answer.read()
            if answer.ok:
                self._succeed(orjson.loads(content)["desired"])
                return True
            self._fail(_problem(answer.status, content))
        except _FAILURES as error:
            self._fail(reason_of(error))
        return False

    def _url(self) -> str:
        return f"{self._gateways[0].rstrip('/')}/{self._path}"

    def _headers(self) -> dict[str, str]:
        """Return the key of the file, which is read each time, so that it can be replaced."""
        key = self._key_file.read_text().strip()
        return {"X-API-Key": key, "Content-Type": "application/json"}

    def _fail(self, reason: str) -> None:
        url, retry = self._gateways[0], _INTERVAL_SECONDS
        if self._failures.get(url) != reason:
            self._log.error("not_registered", gateway=url, reason=reason, retry_seconds=retry)
        self._failures[url] = reason

    def _succeed(self, desired: str) -> None:
        url = self._gateways[0]
        if self._failures.pop(url, None) is not None or self._desired is None:
            self._log.info("registered", gateway=url)
        if desired not in {self._desired, "running"}:
            name, version = self._settings.model, self._settings.version
            advice = f"slipstream models serve {name} --version {version}"
            self._log.warning("gets_no_calls", desired=desired, advice=advice)
        self._desired = desired


def _tls(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        message = f"--register-ca {ca}: expected a PEM file with certificates: {reason_of(error)}"
        raise RegistrationError(message) from None


def _problem(status: int, content: bytes) -> str:
    """Return why a gateway has refused, as it says."""
    try:
        problem = orjson.loads(content)
        return f"{status} {problem['code']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"status {status}: is this the URL of a gateway?"
