"""The state of a server, its legal transitions, and what is notified of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from inference_server.errors import InferenceError
from protos.errors import ErrorCode


class LifecycleState(StrEnum):
    """The states that the process knows of itself; `stopped` is for its parent to see."""

    BOOTING = "booting"
    """It listens, and the model is not loaded yet."""
    READY = "ready"
    """It accepts inference calls."""
    FAILED = "failed"
    """The model cannot be served. Every call is answered with the reason."""
    DRAINING = "draining"
    """It finishes the calls in flight, refuses new ones, and ends."""


class BootPhase(StrEnum):
    """What a booting server is doing."""

    SPAWNING = "spawning"
    """Importing modules and opening sockets."""
    FETCHING = "fetching"
    """Transferring the model from its store, if that is a bucket."""
    LOADING = "loading"
    """Reading and optimising the model."""
    WARMING = "warming"
    """Running it on synthetic inputs."""


_TRANSITIONS: Mapping[LifecycleState, frozenset[LifecycleState]] = {
    LifecycleState.BOOTING: frozenset(LifecycleState),
    LifecycleState.READY: frozenset({LifecycleState.DRAINING}),
    LifecycleState.FAILED: frozenset({LifecycleState.DRAINING}),
    LifecycleState.DRAINING: frozenset(),
}


class Lifecycle:
    """The state of the one model version `title`, such as "model 'iris' version 3".

    Not thread-safe: transitions and listeners run on the event loop.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.state = LifecycleState.BOOTING
        self.phase = BootPhase.SPAWNING
        self.failure: InferenceError | None = None
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each transition."""
        self._listeners.append(listener)

    def enter_phase(self, phase: BootPhase) -> None:
        """Begin the next phase of booting."""
        self.phase = phase
        self._change_to(LifecycleState.BOOTING)

    def become_ready(self) -> None:
        """Accept inference calls from now on."""
        self._change_to(LifecycleState.READY)

    def fail(self, reason: InferenceError) -> None:
        """Answer every call with `reason` from now on."""
        self.failure = reason
        self._change_to(LifecycleState.FAILED)

    def drain(self) -> None:
        """Refuse new calls from now on."""
        self._change_to(LifecycleState.DRAINING)

    def check_ready(self) -> None:
        """Raise the error that a call is answered with, unless the server is ready."""
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

    def _change_to(self, state: LifecycleState) -> None:
        if state not in _TRANSITIONS[self.state]:
            raise ValueError(f"{self.title} cannot become {state} while {self.state}")
        self.state = state
        for listener in self._listeners:
            listener()
