"""A key is refused for a model whose process its calls have ended twice within a minute."""

from __future__ import annotations

import pytest

from gateway.errors import GatewayError
from gateway.upstream.crashes import CrashWatch
from protos.errors import ErrorCode


class Watched:
    """A CrashWatch, its clock, and the models that a key was refused for."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.models: list[str] = []
        self.crashes = CrashWatch(self.models.append, clock=lambda: self.now)
        self._number = 0

    def crash(self, caller: str | None, model: str = "iris") -> None:
        """Lose a connection with calls of `caller` and of another key; that of `caller` ran."""
        self._number += 1
        ran = b"%08x" % self._number
        waited = b"%08x" % (self._number + 0x1000)
        self.crashes.lost([(ran, caller), (waited, "another")])
        self.crashes.crashed(model, ran.decode())

    def refused(self, caller: str | None, model: str = "iris") -> bool:
        """Whether a call would be refused."""
        try:
            self.crashes.check(caller, model)
        except GatewayError as error:
            return error.code is ErrorCode.KEY_SUSPENDED and error.retry_after is not None
        return False


def test_two_crashes_within_a_minute_refuse_the_key_that_sent_them_for_that_model() -> None:
    watched = Watched()
    watched.crash("key")
    assert not watched.refused("key")
    watched.now += 59
    watched.crash("key")
    assert watched.refused("key")
    assert not watched.refused("key", "other model")
    assert not watched.refused("another")
    assert watched.models == ["iris"]
    watched.now += 299
    assert watched.refused("key")
    watched.now += 2
    assert not watched.refused("key")
    assert not watched.crashes.refused


def test_two_crashes_in_more_than_a_minute_refuse_nothing() -> None:
    watched = Watched()
    watched.crash("key")
    watched.now += 61
    watched.crash("key")
    assert not watched.refused("key")
    watched.now += 1
    watched.crash("key")
    assert watched.refused("key")


def test_crashes_of_two_models_refuse_nothing() -> None:
    watched = Watched()
    watched.crash("key", "iris")
    watched.crash("key", "churn")
    assert not watched.refused("key", "iris")
    assert not watched.refused("key", "churn")


def test_anonymous_calls_and_calls_of_other_gateways_refuse_nothing() -> None:
    watched = Watched()
    for _ in range(3):
        watched.crash(None)
        watched.crashes.crashed("iris", "ffffffff")
    assert not watched.refused(None)
    assert not watched.crashes.refused


def test_what_is_kept_is_bounded() -> None:
    watched = Watched()
    for start in range(0, 50_000, 1_000):
        watched.crashes.lost((b"%08x" % number, "key") for number in range(start, start + 1_000))
    for number in range(1_100):
        for _ in range(2):
            watched.crash(f"key {number}")
    assert len(watched.crashes.refused) <= 1_000
    watched.now += 31
    watched.crashes.lost([])
    sizes = [len(each) for each in vars(watched.crashes).values() if hasattr(each, "__len__")]
    assert max(sizes) <= 1_000


@pytest.mark.parametrize("late", [31, 3600])
def test_a_crash_that_is_reported_late_is_not_attributed(late: float) -> None:
    watched = Watched()
    for number in (b"00000001", b"00000002"):
        watched.crashes.lost([(number, "key")])
        watched.now += late
        watched.crashes.lost([])
        watched.crashes.crashed("iris", number.decode())
    assert not watched.refused("key")
