"""A certificate authority, and what it issues, as files."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from transport import KeyPair


class Authority:
    """Vouches for what it issues into its folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._ca = trustme.CA()
        self.ca = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca))

    def issue(self, name: str, *hosts: str, days: int = 30) -> KeyPair:
        """Write a certificate for `hosts` that ends in so many days, and its key, or replace them.

        Each file is there whole or not at all, as certbot and Kubernetes do it.
        """
        end = datetime.now(UTC) + timedelta(days=days)
        leaf = self._ca.issue_cert(
            *(hosts or ("localhost", "127.0.0.1", "127.0.0.2", "::1")),
            not_before=end - timedelta(days=90),
            not_after=end,
        )
        pair = KeyPair(certificate=self._folder / f"{name}.pem", key=self._folder / f"{name}.key")
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        put(pair.certificate, chain)
        put(pair.key, leaf.private_key_pem.bytes())
        return pair


def put(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(content)
    fresh.replace(path)


async def hung_up() -> None:
    """Return when every connection of asyncio's loop is gone: TLS takes a few turns to say goodbye.

    Where the loop ended before that, their sockets would be left open.
    """
    transports = getattr(asyncio.get_running_loop(), "_transports", {})
    for _ in range(1000):
        if all(transport._sock is None for transport in list(transports.values())):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"still there: {list(transports.values())}")
