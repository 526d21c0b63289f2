"""Runs the receiver until somebody has had enough."""

from __future__ import annotations

import signal
import socket

import uvicorn

from slipstream.failures import UnusableError
from slipstream.listener.receiver import Receiver

HOST = "127.0.0.1"
"""Nobody else's machine reaches it: it answers whoever asks."""


def listen(port: int) -> socket.socket:
    """Return a socket that listens on loopback; 0 is any free port.

    Raises:
        UnusableError: the port is taken, or may not be had.
    """
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        message = f"port {port} cannot be listened on: {reason}; give another one with --port"
        raise UnusableError(message) from None


def serve(receiver: Receiver, listening: socket.socket) -> None:
    """Take what comes until KeyboardInterrupt, which SIGTERM is from now on, too."""
    config = uvicorn.Config(
        receiver.application(),
        lifespan="on",
        ws="none",
        access_log=False,
        log_config=None,
        log_level="critical",
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    # uvicorn, once it is done, raises the signal that has ended it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    uvicorn.Server(config).run(sockets=[listening])
