"""The lease of this machine: what entitles its supervisor to run inference servers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic

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
    """The lease of this process.

    Attributes:
        held: the lease of the row of its host.
        on_change: called when a renewal has found that more or fewer other hosts live.
    """

    def __init__(self, store: HostStore, lease: HostLease) -> None:
        """Use `claim`."""
        self._store = store
        self.held = lease
        self._others = 0
        self._ends = False
        self._writing = asyncio.Lock()
        self._renewed_at = monotonic()
        self._steady_since = self._renewed_at
        self.on_change: Callable[[], None] = lambda: None

    @property
    def has_others(self) -> bool:
        """Whether other hosts live."""
        return self._others > 0

    @property
    def is_steady(self) -> bool:
        """Whether it was renewed all the time: a lease of another host that has ended is its fault.

        After the database was away, the leases of all hosts have ended.
        """
        now = monotonic()
        return self._is_in_time(now) and now - self._steady_since > LEASE_SECONDS

    @classmethod
    async def claim(
        cls,
        store: HostStore,
        printer: StatusPrinter,
        *,
        joined: bool,
        labels: Mapping[str, str],
        memory_bytes: int,
    ) -> SupervisorLease:
        """Take the lease; wait for the end of that of a host that no longer renews it.

        Raises:
            UnusableError: another supervisor holds and renews it, and this machine has not joined.
        """
        seen: Host | None = None
        while True:
            found = await store.claim(
                name=socket.gethostname(),
                owner=lease_owner_name(_KIND),
                has_ended=has_ended,
                joined=joined,
                labels=labels,
                memory_bytes=memory_bytes,
            )
            if isinstance(found, HostLease):
                return cls(store, found)
            if seen is None:
                text = f"host {found.name} runs on this database: waiting for its lease to end"
                printer.step("slipstream", text, "dim")
            elif found.id == seen.id and found.lease_until != seen.lease_until:
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
                async with self._writing:
                    if self._ends:
                        continue
                    others = await self._store.renew(self.held)
                if others is None:
                    raise UnusableError(
                        "another `slipstream up` runs the inference servers of this database now, "
                        f"because this one did not renew its lease for {LEASE_SECONDS:.0f} s"
                    )
                now = monotonic()
                if not self._is_in_time(now):
                    self._steady_since = now
                self._renewed_at = now
                if others != self._others:
                    self._others = others
                    self.on_change()
                    await self._store.forget()

    def _is_in_time(self, now: float) -> bool:
        return now - self._renewed_at < _LOOK_SECONDS

    async def release(self) -> None:
        """Let the next supervisor begin, and other hosts take over; `run` renews no more."""
        self._ends = True
        with suppress(SQLAlchemyError, OSError):  # then it waits for the end of the lease
            async with self._writing:
                await self._store.release(self.held)

    async def keep_for_successor(self) -> None:
        """Keep the lease while another program takes the place of this one; `run` renews no more.

        That program renews it when it has started, which may take longer than a lease.
        """
        self._ends = True
        with suppress(SQLAlchemyError, OSError, TimeoutError):  # then it has what is left of it
            async with asyncio.timeout(LEASE_SECONDS), self._writing:
                await self._store.prolong(self.held)


def _refusal(host: Host) -> str:
    return (
        f"another `slipstream up`, on host {host.name}, runs the inference servers of this "
        "database: let this machine join with `slipstream join` (`slipstream hosts token` there "
        "prints how), stop the other one first, give this one a database of its own, or add "
        "gateways and workers here with `slipstream gateway` and `slipstream worker`"
    )
