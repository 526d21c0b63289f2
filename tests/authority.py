"""A certificate authority whose certificates and keys are files."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from transport import KeyPair


class Authority:
    """Issues certificates into its folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._ca = trustme.CA()
        self.ca = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca))

    def issue(self, name: str, *hosts: str, days: int = 30) -> KeyPair:
        """Write, or replace, a certificate for `hosts` that expires in `days`, and its key.

        Each file is replaced atomically, as certbot and Kubernetes do it.
        """
        end = datetime.now(UTC) + timedelta(days=days)
        leaf = self._ca.issue_cert(
            *(hosts or ("localhost", "127.0.0.1", "127.0.0.2", "::1")),
            not_before=end - timedelta(days=90),
            not_after=end,
        )
        pair = KeyPair(certificate=self._folder / f"{name}.pem", key=self._folder / f"{name}.key")
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        replace_file(pair.certificate, chain)
        replace_file(pair.key, leaf.private_key_pem.bytes())
        return pair


def replace_file(path: Path, content: bytes) -> None:
    """Write a file atomically, readable only by its owner."""
    temporary = path.with_suffix(".new")
    temporary.touch(mode=0o600)
    temporary.write_bytes(content)
    temporary.replace(path)


async def wait_until_closed() -> None:
    """Wait until every transport of the event loop is closed: TLS needs a few turns to shut down.

    If the loop ended before that, their sockets would stay open.
    """
    transports = getattr(asyncio.get_running_loop(), "_transports", {})
    for _ in range(1000):
        if all(transport._sock is None for transport in list(transports.values())):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"still open: {list(transports.values())}")
