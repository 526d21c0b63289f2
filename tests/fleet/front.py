"""A load balancer as an HTTP transport: what callers outside see of several hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx

_CONNECT_SECONDS = 0.5
_PROBE_SECONDS = 1.0
"""How long a probe may take."""
_PAUSE_SECONDS = 0.5
"""Between two probes."""
_MISSED = 2
"""Connections that fail one after the other until a host counts as gone."""
_PASSED_ON = ("gateway_starting", "shutting_down")
"""Codes of answers to calls that a gateway has not begun."""


class Front(httpx.AsyncBaseTransport):
    """Sends each request to the next host that is up, as `/readyz` says twice a second.

    It is strict: a host that is not ready gets none, and if none is ready, the call fails. A
    request that a host has not begun goes to the next one, and is counted. One that was sent to a
    host which is gone, as nothing answers there, fails: there is no answer to be expected.

    Attributes:
        up: whether a host is, by its name.
        in_flight: calls of each host.
        passed_on: how often a host that was up did not begin a call.
    """

    def __init__(self, urls: Mapping[str, str]) -> None:
        """`urls` are those of the hosts, by name."""
        self.up: dict[str, bool] = dict.fromkeys(urls, True)
        self.in_flight: dict[str, int] = dict.fromkeys(urls, 0)
        self.passed_on = 0
        self._urls = {name: httpx.URL(url) for name, url in urls.items()}
        self._transports = {name: httpx.AsyncHTTPTransport() for name in urls}
        self._down = {name: asyncio.Event() for name in urls}
        self._turn = 0
        self._probing = [asyncio.create_task(self._probe(name)) for name in urls]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See httpx."""
        content = await request.aread()
        answer: httpx.Response | None = None
        for name in self._order():
            try:
                answer = await self._send(name, request, content)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                self.up[name] = False
                self.passed_on += 1
                continue
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return answer
            body = await answer.aread()
            if not any(code.encode() in body for code in _PASSED_ON):
                return answer
            self.passed_on += 1
        if answer is None:
            raise httpx.ConnectError("no host is ready")
        return answer

    async def aclose(self) -> None:
        """Close the connections."""
        for task in self._probing:
            task.cancel()
        await asyncio.gather(*self._probing, return_exceptions=True)
        for transport in self._transports.values():
            await transport.aclose()

    def _order(self) -> list[str]:
        """Return the hosts that are up, each first in turn."""
        names = [name for name, up in self.up.items() if up]
        if not names:
            return []
        self._turn += 1
        at = self._turn % len(names)
        return names[at:] + names[:at]

    async def _send(self, name: str, request: httpx.Request, content: bytes) -> httpx.Response:
        url = self._urls[name]
        timeout = {**request.extensions.get("timeout", {}), "connect": _CONNECT_SECONDS}
        sent = httpx.Request(
            request.method,
            request.url.copy_with(scheme=url.scheme, host=url.host, port=url.port),
            headers=request.headers,
            content=content,
            extensions={**request.extensions, "timeout": timeout},
        )
        self.in_flight[name] += 1
        sending = asyncio.create_task(self._transports[name].handle_async_request(sent))
        down = asyncio.create_task(self._down[name].wait())
        try:
            await asyncio.wait({sending, down}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                raise httpx.ReadError("the host is gone")
            return await sending
        finally:
            self.in_flight[name] -= 1
            for task in (sending, down):
                task.cancel()
            await asyncio.gather(sending, down, return_exceptions=True)

    async def _probe(self, name: str) -> None:
        """Ask a host, over a new connection each time: it shows whether the host is there."""
        url, missed = self._urls[name].join("/readyz"), 0
        limits = httpx.Limits(max_keepalive_connections=0)
        timeout = httpx.Timeout(_PROBE_SECONDS, connect=_CONNECT_SECONDS)
        async with httpx.AsyncClient(timeout=timeout, limits=limits) as http:
            while True:
                try:
                    self.up[name] = (await http.get(url)).is_success
                    missed = 0
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    self.up[name] = False
                    # A gateway that stops refuses connections and finishes its calls; where it has
                    # died, the host's kernel has closed them.
                    missed = 0 if _refused(error) else missed + 1
                except httpx.TransportError:
                    # Its kernel answers: what waits there is answered by the next gateway.
                    self.up[name] = False
                if missed < _MISSED:
                    self._down[name].clear()
                else:
                    self._down[name].set()
                await asyncio.sleep(_PAUSE_SECONDS)


def _refused(error: BaseException | None) -> bool:
    """Return whether a host's kernel refused a connection."""
    while error is not None and not isinstance(error, ConnectionRefusedError):
        error = error.__cause__ or error.__context__
    return error is not None
