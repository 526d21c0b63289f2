"""One supervisor at a time runs the inference servers of a database."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from gateway.execution.lease_owner import has_ended, lease_owner_name
from gateway.fleet.hosts import LEASE_SECONDS, HostLease, HostStore
from gateway.storage.tables import Host
from slipstream.failures import UnusableError
from slipstream.status_printer import StatusPrinter

_RENEW_SECONDS = LEASE_SECONDS / 5
_LOOK_SECONDS = 2 * _RENEW_SECONDS
"""Between two looks at another host's lease: one that is renewed meanwhile is alive."""
_KIND = "supervisor"


class SupervisorLease:
    """The lease of this process."""

    def __init__(self, store: HostStore, lease: HostLease) -> None:
        """Use `claim`."""
        self._store = store
        self._lease = lease

    @classmethod
    async def claim(cls, store: HostStore, printer: StatusPrinter) -> SupervisorLease:
        """Take the lease; wait for the end of that of a host that no longer renews it.

        Raises:
            UnusableError: another supervisor holds and renews it.
        """
        seen: Host | None = None
        while True:
            found = await store.claim(
                name=socket.gethostname(), owner=lease_owner_name(_KIND), has_ended=has_ended
            )
            if isinstance(found, HostLease):
                return cls(store, found)
            if seen is None:
                text = f"the database belongs to host {found.name}: waiting for its lease to end"
                printer.step("slipstream", text, "dim")
            elif (found.token, found.lease_until) != (seen.token, seen.lease_until):
                raise UnusableError(_refusal(found))
            seen = found
            await asyncio.sleep(_LOOK_SECONDS)

    async def run(self) -> None:
        """Renew the lease, until cancelled. A database that is away gives it to no other.

        Raises:
            UnusableError: another supervisor has it.
        """
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            with suppress(SQLAlchemyError, OSError):  # the change feed logs it
                if not await self._store.renew(self._lease):
                    raise UnusableError(
                        "another `slipstream up` runs the inference servers of this database now, "
                        f"because this one did not renew its lease for {LEASE_SECONDS:.0f} s"
                    )

    async def release(self) -> None:
        """Let the next supervisor begin at once."""
        with suppress(SQLAlchemyError, OSError):  # then it waits for the end of the lease
            await self._store.release(self._lease)


def _refusal(host: Host) -> str:
    return (
        f"another `slipstream up`, on host {host.name}, runs the inference servers of this "
        "database: stop it first, give this one a database of its own, or add gateways and "
        "workers on this machine with `slipstream gateway` and `slipstream worker`"
    )
