"""How many streams of events of runs are open, by key and by user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from gateway.auth.identity import Identity
from gateway.errors import GatewayError
from protos.errors import ErrorCode

KEYS_PER_USER = 4
"""So many times a key's streams may those of all keys and sessions of a user be."""
_RETRY_SECONDS = 15


class StreamPlaces:
    """Gives streams their places. For one event loop.

    A stream holds a connection for as long as its run takes, and an address has a number of these
    for all keys that are used there.

    Args:
        per_key: streams of one key, or of all sessions of a user.
    """

    def __init__(self, per_key: int) -> None:
        self._per_key = per_key
        self._keys: Counter[str] = Counter()
        self._users: Counter[str] = Counter()

    def take(self, identity: Identity) -> Callable[[], None]:
        """Take a place; return what gives it up, to be called once.

        Raises:
            GatewayError: TOO_MANY_STREAMS.
        """
        key, user = identity.limit_key, identity.profile_id
        per_user = self._per_key * KEYS_PER_USER
        if self._keys[key] >= self._per_key:
            whose = "sessions have" if identity.key_id is None else "key has"
            raise _too_many(f"your {whose} {self._per_key}")
        if self._users[user] >= per_user:
            raise _too_many(f"your keys have {per_user}")
        self._keys[key] += 1
        self._users[user] += 1
        return partial(self._give_up, key, user)

    def _give_up(self, key: str, user: str) -> None:
        for counts, name in ((self._keys, key), (self._users, user)):
            counts[name] -= 1
            if not counts[name]:
                del counts[name]


def _too_many(whose: str) -> GatewayError:
    message = (
        f"{whose} streams of runs at this gateway, as many as they may have (setting "
        "SLIPSTREAM_KEY_EVENT_STREAMS): close some, or poll with ?wait="
    )
    return GatewayError(ErrorCode.TOO_MANY_STREAMS, message, retry_after=_RETRY_SECONDS)
