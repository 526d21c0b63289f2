"""The two ports. The supervisor binds them, so that an error is reported once, in one line."""

from __future__ import annotations

import errno
import socket
import time

from slipstream.failures import UnusableError
from slipstream.settings import ServeOptions

_BACKLOG = 2048
_RETRY_SECONDS = 0.05
_RETRY_FOR_SECONDS = 1.0
"""How long to retry a busy port: children of a killed supervisor need a moment to exit."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket: connections queue from now on.

    Raises:
        UnusableError: the port is in use, or this machine does not have the address.
    """
    deadline = time.monotonic() + _RETRY_FOR_SECONDS
    while True:
        try:
            return _listen(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise UnusableError(_explain(error, host, port)) from None
            time.sleep(_RETRY_SECONDS)


def open_grpc_port(options: ServeOptions) -> socket.socket:
    """Return the listening socket of gRPC; for stock grpcio see `reserve`.

    Raises:
        UnusableError: as `listen`.
    """
    open_port = listen if options.grpc_server == "native" else reserve
    return open_port(options.host, options.grpc_port)


def listen_options(options: ServeOptions, rest: socket.socket, grpc: socket.socket) -> list[str]:
    """Return the options by which a gateway finds the sockets that it inherits."""
    found = ["--listen-fd", str(rest.fileno())]
    if options.grpc_server == "native":
        found += ["--grpc-listen-fd", str(grpc.fileno())]
    return found


def reserve(host: str, port: int) -> socket.socket:
    """Return a bound socket, not listening, that reserves the port for stock grpcio servers.

    They cannot take over a socket, and share the port by SO_REUSEPORT; without the reservation any
    process could join them.

    Raises:
        UnusableError: the port is in use, or this machine does not have the address.
    """
    listen(host, port).close()
    held = _socket(host, port)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(_address(host, port)[1])
    except OSError as error:
        held.close()
        raise UnusableError(_explain(error, host, port)) from None
    return held


def why_unavailable(host: str, port: int) -> str | None:
    """Return why the port cannot be listened on, or None."""
    try:
        _listen(host, port).close()
    except OSError as error:
        return _explain(error, host, port)
    except UnusableError as error:
        return str(error)
    return None


Address = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]


def _address(host: str, port: int) -> tuple[int, Address]:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError):
        message = f"cannot listen on '{host}': no address of that name; see --host"
        raise UnusableError(message) from None
    return family, address


def _listen(host: str, port: int) -> socket.socket:
    bound = _socket(host, port)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(_address(host, port)[1])
        bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


def _socket(host: str, port: int) -> socket.socket:
    return socket.socket(_address(host, port)[0], socket.SOCK_STREAM)


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is in use: stop what listens there, or choose another with "
            "--port (REST) and --grpc-port (gRPC)"
        )
    if error.errno == errno.EACCES:
        return f"port {port} on {host} is not allowed to this user: choose one above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"cannot listen on '{host}': this machine does not have that address; see --host"
    return f"cannot listen on {host}:{port}: {error.strerror}"
