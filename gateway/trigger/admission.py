"""Who may call what: the key, the deployment, and the limits of both."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.auth.authenticator import Authenticator
from gateway.auth.entrance import Entrance
from gateway.auth.identity import Identity, check_covers
from gateway.deployments.directory import Directory
from gateway.deployments.live import LiveDeployment
from gateway.deployments.modes import ExecutionMode
from gateway.limits.cap import Cap
from gateway.limits.gate import Gate
from gateway.limits.gates import Gates
from gateway.limits.room import LimitRoom
from gateway.trigger.address import Address


class Admission:
    """Knows callers and deployments of the last time, and asks the database for others."""

    def __init__(
        self,
        authenticator: Authenticator,
        entrance: Entrance,
        directory: Directory,
        limits: LimitRoom,
    ) -> None:
        self._entrance = entrance
        self._authenticator = authenticator
        self._failures = limits.failures
        self.directory = directory
        self.gates: Gates = limits.gates

    def known(self, key: str | None) -> Identity | None:
        """Return who calls, if that is known here: then the use of the key is counted."""
        return self._authenticator.identify(key) if key else None

    def covered(self, identity: Identity | None, deployment_id: str) -> LiveDeployment | None:
        """Return what is called, if that is known here and the call is allowed."""
        found = self.directory.get(deployment_id)
        if (
            identity is not None
            and found is not None
            and found.profile_id == identity.profile_id
            and identity.may_trigger(found.id)
        ):
            return found
        return None

    async def identify(
        self, key: str | None, headers: Mapping[bytes, bytes], peer: str
    ) -> Identity:
        """Return who calls from the address `peer`, with a key or from a console session.

        Raises:
            GatewayError: as `Entrance.admit`; TOO_MANY_FAILURES.
        """
        return await self._failures.watch(peer, self._entrance.admit("POST", headers, key))

    async def find(self, identity: Identity, address: Address) -> LiveDeployment:
        """Return what is called.

        Raises:
            GatewayError: as `Directory.find`; API_KEY_FORBIDDEN.
        """
        found = await self.directory.find(
            address.deployment_id, identity.profile_id, address.version
        )
        check_covers(identity, found.id)
        return found

    def gate(
        self, identity: Identity, found: LiveDeployment
    ) -> tuple[Gate | None, tuple[Cap, ...]]:
        """Return what limits the call, and how many runs may go on at once."""
        place = identity.key_id or identity.profile_id, identity.limits, found.id, found.limits
        if found.mode is ExecutionMode.FAST:
            return self.gates.of_call(*place), ()
        return self.gates.of_run(*place)
