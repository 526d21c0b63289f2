"""The HTTP server of a gateway process: when it accepts connections, and how it stops.

It stops in this order. It is not ready, and everything goes on until load balancers know. Then no
new connection is accepted; idle ones get `Connection: close` with the next response, or are closed
after a moment. Calls in flight go on for the drain time. The runs that outlast it are handed back,
and every caller that still waits is answered.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, cast

import uvicorn

from gateway.boot import BootApp
from gateway.errors import GatewayError
from gateway.fast_path.connection import HttpConnection
from protos.errors import ErrorCode
from telemetry.parent_process import STOP_ANNOUNCED, StatusPipe
from transport.accept_queue import accept_waiting

if TYPE_CHECKING:
    from gateway.certificate import Certificate
    from transport.tls_listener import TlsListener

_POLL_SECONDS = 0.02
_LAST_REQUEST_SECONDS = 1.0
"""That clients have for a request which they send when they learn that connections close."""
_ANSWER_SECONDS = 0.5
"""For the last answers to be sent, when no call may go on any longer."""
_HANDSHAKE_SECONDS = 1.0
"""That TLS handshakes which have begun may take from then on."""


class GatewayServer(uvicorn.Server):
    """uvicorn's server: the first signal drains, the second stops at once.

    A supervisor announces the stop, and sends the signal when load balancers know. Without one, the
    server waits for that itself; the second signal ends the wait, and the third stops at once.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        boot_app: BootApp,
        report: StatusPipe,
        *,
        supervised: bool = False,
        listens_first: bool = True,
    ) -> None:
        """Serve `boot_app`.

        Args:
            config: uvicorn's.
            boot_app: the application.
            report: is told when it listens.
            supervised: a supervisor handles Ctrl-C, announces a stop and sends SIGTERM.
            listens_first: accept connections at once; else `listen` has to be called.
        """
        super().__init__(config)
        self.servers = []
        self._tls_listeners: list[TlsListener] = []
        self._boot_app = boot_app
        self._report = report
        self._supervised = supervised
        self._listens_first = listens_first
        self._sockets: Sequence[socket.socket] = ()
        self._announced_at = 0.0
        self._is_known = asyncio.Event()
        """Set when load balancers know, or are not to be waited for."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and listen if that comes first."""
        if self._supervised:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(STOP_ANNOUNCED, self._on_stop_announced)
        await super().startup([])
        self._sockets = sockets or ()
        if self._listens_first:
            await self.listen()

    async def listen(self) -> None:
        """Accept connections from now on, and report it."""
        if self.should_exit:
            return
        certificate = self._boot_app.certificate
        if certificate is None:
            loop = asyncio.get_running_loop()
            self.servers = [
                await loop.create_server(self._connection, sock=sock, backlog=self.config.backlog)
                for sock in self._sockets
            ]
        else:
            self._tls_listeners = [
                self._listen_with_tls(sock, certificate) for sock in self._sockets
            ]
        self._report.send("listening")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what was begun, answer everyone who waits, and close."""
        app = self._boot_app
        if not self._supervised:
            await self._known()
        app.draining = True
        # So those are closed that had no request since the stop was announced, or for longer than
        # clients use idle ones again.
        known = monotonic() - self._announced_at
        app.idle_seconds = _LAST_REQUEST_SECONDS
        app.idle_seconds += known if app.stopping else app.replaced_idle_seconds
        loop = asyncio.get_running_loop()
        until = loop.time() + app.drain_seconds
        listened_on = self._sockets if self.servers else ()  # with TLS, the listeners do it
        waiting = [client for sock in listened_on for client in accept_waiting(sock)]
        for listening in (*self.servers, *self._tls_listeners, *(sockets or ())):
            listening.close()
        for client in waiting:
            with suppress(OSError):  # the client has left
                await loop.connect_accepted_socket(self._connection, client)
        if app.on_drain is not None:
            app.on_drain()
        for connection in self._connections():
            connection.shutdown()
        await self._accepted()
        await self._closed(until)
        if app.end_calls is not None and not self.force_exit:
            await app.end_calls()
        await self._end_connections()
        if not self.force_exit:
            await self.lifespan.shutdown()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self._supervised and sig == signal.SIGINT:
            return
        if not self._supervised:
            self._on_stop_announced()
        if self.should_exit and (self._is_known.is_set() or self._supervised):
            self.force_exit = True
        elif self.should_exit:
            self._is_known.set()
            return  # uvicorn takes a second SIGINT for the last
        super().handle_exit(sig, frame)

    def _on_stop_announced(self) -> None:
        app = self._boot_app
        if not app.stopping:
            app.stopping, self._announced_at = True, monotonic()
        if app.draining:
            app.idle_seconds = _LAST_REQUEST_SECONDS

    async def _known(self) -> None:
        """Return when load balancers have had the time to learn that this gateway stops."""
        seconds = self._boot_app.drain_delay_seconds
        if seconds and self._boot_app.stopping:
            from telemetry.logs import logger  # noqa: PLC0415 - after the start: takes long

            logger("gateway").info("draining", ports_close_in_seconds=seconds)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._is_known.wait()
        self._is_known.set()

    def _listen_with_tls(self, sock: socket.socket, certificate: Certificate) -> TlsListener:
        from transport.tls_listener import TlsListener  # noqa: PLC0415 - only with TLS

        sock.listen(self.config.backlog)
        return TlsListener(
            sock,
            certificate.rest.context,
            self._connection,
            handshake_seconds=lambda: self._boot_app.limits.header_seconds,
            max_connections=lambda: self._boot_app.limits.max_connections,
        )

    def _connection(self) -> HttpConnection:
        state = self.lifespan.state
        return HttpConnection(config=self.config, server_state=self.server_state, app_state=state)

    def _connections(self) -> list[HttpConnection]:
        return cast("list[HttpConnection]", list(self.server_state.connections))

    async def _accepted(self) -> None:
        """Return when everything that was accepted is a connection."""
        await asyncio.sleep(_POLL_SECONDS)
        for listener in self._tls_listeners:
            await listener.finish_handshakes(_HANDSHAKE_SECONDS)

    async def _end_connections(self) -> None:
        """Let the last answers be sent; answer those that still have none, and close."""
        loop = asyncio.get_running_loop()
        await self._closed(loop.time() + _ANSWER_SECONDS)
        message = "the gateway shuts down before the call has ended"
        for connection in self._connections():
            connection.interrupt(GatewayError(ErrorCode.SHUTTING_DOWN, message, retry_after=1))
        await self._closed(loop.time() + _ANSWER_SECONDS)
        for connection in self._connections():
            connection.transport.abort()

    async def _closed(self, deadline: float) -> None:
        """Return when all connections are closed, or at the deadline, or at once on force."""
        loop = asyncio.get_running_loop()
        while self.server_state.connections and not self.force_exit:
            if loop.time() >= deadline:
                return
            await asyncio.sleep(_POLL_SECONDS)
