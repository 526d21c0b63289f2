"""Where the server is in its life, and the legal moves. Who wants to know listens here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from inference_server.errors import InferenceError
from protos.errors import ErrorCode


class LifecycleState(StrEnum):
    """The states that the process itself can be in; `stopped` is for its parent to see."""

    BOOTING = "booting"
    """It listens, and the model is not in memory yet."""
    READY = "ready"
    """It takes inference calls."""
    FAILED = "failed"
    """The model cannot be served. Every call is answered with the reason."""
    DRAINING = "draining"
    """It finishes the calls in flight, takes no new ones, and ends."""


class BootPhase(StrEnum):
    """What a booting server is busy with."""

    SPAWNING = "spawning"
    """Importing, and opening its sockets."""
    LOADING = "loading"
    """Reading and optimising the model."""
    WARMING = "warming"
    """Running it on made-up inputs."""


_MOVES: Mapping[LifecycleState, frozenset[LifecycleState]] = {
    LifecycleState.BOOTING: frozenset(
        {
            LifecycleState.BOOTING,
            LifecycleState.READY,
            LifecycleState.FAILED,
            LifecycleState.DRAINING,
        }
    ),
    LifecycleState.READY: frozenset({LifecycleState.DRAINING}),
    LifecycleState.FAILED: frozenset({LifecycleState.DRAINING}),
    LifecycleState.DRAINING: frozenset(),
}


class Lifecycle:
    """The state of the one model version `title`, such as "model 'iris' version 3".

    Not thread-safe: all moves are made, and all listeners called, on the event loop.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.state = LifecycleState.BOOTING
        self.phase = BootPhase.SPAWNING
        self.failure: InferenceError | None = None
        self._listeners: list[Callable[[], None]] = []

    def on_move(self, listener: Callable[[], None]) -> None:
        """Have `listener` called after each move."""
        self._listeners.append(listener)

    def boot(self, phase: BootPhase) -> None:
        """Go on to the next phase of booting."""
        self.phase = phase
        self._move(LifecycleState.BOOTING)

    def become_ready(self) -> None:
        """Take inference calls from now on."""
        self._move(LifecycleState.READY)

    def fail(self, reason: InferenceError) -> None:
        """Answer every call with `reason` from now on."""
        self.failure = reason
        self._move(LifecycleState.FAILED)

    def drain(self) -> None:
        """Take no new calls from now on."""
        self._move(LifecycleState.DRAINING)

    def check_ready(self) -> None:
        """Raise what a call is to be answered with, unless the server is ready."""
        match self.state:
            case LifecycleState.READY:
                return
            case LifecycleState.FAILED if self.failure:
                raise self.failure
            case LifecycleState.DRAINING:
                raise InferenceError(ErrorCode.SHUTTING_DOWN, f"{self.title} is shutting down")
            case _:
                message = f"{self.title} is booting ({self.phase})"
                raise InferenceError(ErrorCode.INFERENCE_SERVER_BOOTING, message)

    def _move(self, state: LifecycleState) -> None:
        if state not in _MOVES[self.state]:
            raise ValueError(f"{self.title} cannot become {state} while {self.state}")
        self.state = state
        for listener in self._listeners:
            listener()
