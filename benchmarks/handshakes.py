"""CPU time of a TLS handshake for the server, in µs: `python -m benchmarks.handshakes`.

New connections one after another, without resumption, with a certificate of each kind of key; the
time of a connection without TLS is subtracted.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import uvloop

from transport import KeyPair, ServerTls
from transport.tls_listener import TlsListener

CONNECTIONS, ROUNDS = 400, 7
KEYS = {
    "EC P-256": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "RSA 2048": ("-newkey", "rsa:2048"),
    "RSA 4096": ("-newkey", "rsa:4096"),
}
HOST = "127.0.0.1"


class ClosingProtocol(asyncio.Protocol):
    """Closes each connection as soon as it is established."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        transport.close()


def certificate(folder: Path, *key: str) -> KeyPair:
    """Return a new self-signed certificate."""
    pair = KeyPair(certificate=folder / "certificate.pem", key=folder / "key.pem")
    names = ("-subj", "/CN=localhost", "-addext", f"subjectAltName=IP:{HOST}")
    files = ("-keyout", str(pair.key), "-out", str(pair.certificate))
    command = ["openssl", "req", "-x509", "-nodes", "-days", "1", *key, *names, *files]
    subprocess.run(command, check=True, capture_output=True)
    return pair


def connect(port: int, context: ssl.SSLContext | None) -> None:
    """Open connections one after another, and wait until each is closed."""
    for _ in range(CONNECTIONS):
        with socket.create_connection((HOST, port)) as plain:
            if context is None:
                plain.recv(1)
                continue
            with context.wrap_socket(plain, server_hostname=HOST) as encrypted:
                encrypted.recv(1)


async def cost(port: int, context: ssl.SSLContext | None) -> float:
    """Return the CPU time of this thread for a connection, in µs."""
    took = []
    for _ in range(ROUNDS):
        started = time.thread_time()
        await asyncio.to_thread(connect, port, context)
        took.append((time.thread_time() - started) / CONNECTIONS * 1e6)
    return statistics.median(took)


async def main() -> None:
    """Measure each kind of key."""
    sock = socket.create_server((HOST, 0))
    server = await asyncio.get_running_loop().create_server(ClosingProtocol, sock=sock)
    plain = await cost(sock.getsockname()[1], None)
    server.close()
    print(f"{'connection without TLS':26} {plain:6.0f} µs")
    for name, key in KEYS.items():
        with tempfile.TemporaryDirectory() as folder:
            pair = certificate(Path(folder), *key)
            sock = socket.create_server((HOST, 0))
            listener = TlsListener(
                sock,
                ServerTls(pair).context,
                ClosingProtocol,
                handshake_seconds=lambda: 10.0,
                max_connections=lambda: CONNECTIONS,
            )
            client = ssl.create_default_context(cafile=str(pair.certificate))
            took = await cost(sock.getsockname()[1], client)
            listener.close()
        print(f"{'handshake, ' + name:26} {took - plain:6.0f} µs")


if __name__ == "__main__":
    uvloop.run(main())
