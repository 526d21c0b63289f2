"""What TLS's handshake costs a listener, in µs of its processor: `python -m benchmarks.handshakes`.

New connections one after the other, without resumption, by a certificate of each kind of key; a
connection without TLS is taken off.
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


class Goodbye(asyncio.Protocol):
    """Ends each connection as soon as it is there."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """End it."""
        transport.close()


def certificate(folder: Path, *key: str) -> KeyPair:
    """Return a new certificate that vouches for itself."""
    pair = KeyPair(certificate=folder / "certificate.pem", key=folder / "key.pem")
    names = ("-subj", "/CN=localhost", "-addext", f"subjectAltName=IP:{HOST}")
    files = ("-keyout", str(pair.key), "-out", str(pair.certificate))
    command = ["openssl", "req", "-x509", "-nodes", "-days", "1", *key, *names, *files]
    subprocess.run(command, check=True, capture_output=True)
    return pair


def connect(port: int, context: ssl.SSLContext | None) -> None:
    """Make one connection after the other, and see each end."""
    for _ in range(CONNECTIONS):
        with socket.create_connection((HOST, port)) as plain:
            if context is None:
                plain.recv(1)
                continue
            with context.wrap_socket(plain, server_hostname=HOST) as shaken:
                shaken.recv(1)


async def cost(port: int, context: ssl.SSLContext | None) -> float:
    """Return the µs of this thread that a connection took."""
    took = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        await asyncio.to_thread(connect, port, context)
        took.append((time.thread_time() - began) / CONNECTIONS * 1e6)
    return statistics.median(took)


async def main() -> None:
    """Measure each kind of key, and print what it costs."""
    sock = socket.create_server((HOST, 0))
    server = await asyncio.get_running_loop().create_server(Goodbye, sock=sock)
    plain = await cost(sock.getsockname()[1], None)
    server.close()
    print(f"{'a connection without TLS':26} {plain:6.0f} µs")
    for name, key in KEYS.items():
        with tempfile.TemporaryDirectory() as folder:
            pair = certificate(Path(folder), *key)
            sock = socket.create_server((HOST, 0))
            listener = TlsListener(
                sock,
                ServerTls(pair).context,
                Goodbye,
                handshake_seconds=lambda: 10.0,
                max_connections=lambda: CONNECTIONS,
            )
            client = ssl.create_default_context(cafile=str(pair.certificate))
            took = await cost(sock.getsockname()[1], client)
            listener.close()
        print(f"{'its handshake, ' + name:26} {took - plain:6.0f} µs")


if __name__ == "__main__":
    uvloop.run(main())
