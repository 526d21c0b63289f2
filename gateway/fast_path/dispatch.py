"""The one place that knows that execution modes exist."""

from __future__ import annotations

from gateway.deployments.settings import ExecutionMode
from gateway.fast_path.call import CallHandler, Done, Pending, Trigger
from gateway.fast_path.fast_calls import FastCalls


class Dispatcher:
    """Answers triggers in their deployment's mode."""

    def __init__(self, fast: FastCalls, runs: CallHandler) -> None:
        self._fast = fast
        self._runs = runs

    def start(self, trigger: Trigger, done: Done) -> Pending:
        """Have `trigger` answered; `done` gets the result, or why there is none.

        Raises:
            GatewayError: what is wrong with the call already; `done` is not called then.
        """
        if trigger.deployment.mode is ExecutionMode.FAST:
            return self._fast.start(trigger, done)
        return self._runs.start(trigger, done)
