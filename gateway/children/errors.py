"""Why a request to a child process has no reply."""

from __future__ import annotations

from enum import StrEnum


class ChildFailure(StrEnum):
    """What ended a request."""

    DEADLINE = "deadline"
    """The deadline of the call passed."""
    CPU = "cpu"
    """It used the CPU time that one request has."""
    MEMORY = "memory"
    """It needs more memory than a process may use."""
    SIZE = "size"
    """Its reply is too large."""
    CRASH = "crash"
    """The processes that worked on it ended."""
    OVERLOADED = "overloaded"
    """Too many bytes wait already."""
    UNAVAILABLE = "unavailable"
    """No process can be started."""
    CLOSED = "closed"
    """This process shuts down."""


class ChildError(Exception):
    """A request has no reply.

    Attributes:
        failure: why.
        message: the same in words, with the limit.
    """

    def __init__(self, failure: ChildFailure, message: str) -> None:
        super().__init__(message)
        self.failure = failure
        self.message = message


class ChildDiedError(Exception):
    """The process ended before it had replied.

    Attributes:
        signal: the number of the signal that ended it; 0 if it exited.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(f"ended by signal {signal}" if signal else "exited")
        self.signal = signal
