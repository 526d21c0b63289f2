"""Why an evaluation has no result."""

from __future__ import annotations

from enum import StrEnum


class EvaluatorFailure(StrEnum):
    """What ended an evaluation."""

    DEADLINE = "deadline"
    """The deadline of the call passed."""
    CPU = "cpu"
    """It used the CPU time that one evaluation has."""
    MEMORY = "memory"
    """It needs more memory than an evaluator may use."""
    SIZE = "size"
    """Its values or its result are too large."""
    CRASH = "crash"
    """Two evaluators ended while they worked on it."""
    UNAVAILABLE = "unavailable"
    """No process can be started."""
    CLOSED = "closed"
    """This process shuts down."""


class EvaluatorError(Exception):
    """An evaluation has no result.

    Attributes:
        failure: why.
        message: the same in words, with the limit.
    """

    def __init__(self, failure: EvaluatorFailure, message: str) -> None:
        super().__init__(message)
        self.failure = failure
        self.message = message


class EvaluatorDiedError(Exception):
    """The process ended before it had replied.

    Attributes:
        signal: the number of the signal that ended it; 0 if it exited.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(f"ended by signal {signal}" if signal else "exited")
        self.signal = signal
