"""How many calls may go on at once, counted in this process."""

from __future__ import annotations

from gateway.limits.policy import Policy


class Slots:
    """How many more calls of a subject may begin here, of the `share` that this process has."""

    __slots__ = ("_share", "policy", "room")

    def __init__(self, policy: Policy, *, share: int) -> None:
        self.policy = policy
        self.room = share
        """Less than 0 where fewer may go on than do, since a change."""
        self._share = share

    @property
    def busy(self) -> bool:
        """Whether any call goes on."""
        return self.room != self._share

    def change(self, policy: Policy, *, share: int) -> None:
        """Have another share from now on."""
        self.policy = policy
        self.room += share - self._share
        self._share = share
