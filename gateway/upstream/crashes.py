"""Keys whose calls have ended the process of a model, and are refused for it for a while.

Some inputs make ONNX Runtime end its process, and all calls of the model with it. The supervisor
writes which call ran then (`Replica.crashed_call`), and the gateway that sent it knows whose it
was. Nothing follows from merely having been in flight: others were, too.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from time import monotonic

from gateway.errors import GatewayError
from protos.errors import ErrorCode
from telemetry.logs import logger

_CRASHES = 2
_WITHIN_SECONDS = 60.0
_REFUSED_SECONDS = 300.0
_KEPT_SECONDS = 30.0
"""Of calls that a lost connection has left without an answer: by then the row has followed."""
_MAX_CALLS, _MAX_KEYS = 10_000, 1_000

log = logger("gateway.upstream")


class CrashWatch:
    """What one process knows of crashes; other processes count for themselves."""

    def __init__(
        self,
        on_refusal: Callable[[str], None] | None = None,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Call `on_refusal` with the model when a key begins to be refused for it."""
        self._on_refusal = on_refusal
        self._clock = clock
        self.refused: dict[tuple[str, str], float] = {}
        """Caller and model → until when; empty unless something has happened."""
        self._lost: OrderedDict[str, tuple[str, float]] = OrderedDict()
        """Calls of connections that broke → whose they were, and when."""
        self._crashes: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def lost(self, calls: Iterable[tuple[bytes, str | None]]) -> None:
        """Keep the numbers of calls that ran or waited when a connection broke, with the callers.

        A caller is the id of a key, or of a user without one; None is anonymous.
        """
        now = self._clock()
        for number, caller in calls:
            if caller is not None:
                self._lost[number.decode()] = caller, now
        while self._lost:
            number_text, (_, at) = next(iter(self._lost.items()))
            if now - at < _KEPT_SECONDS and len(self._lost) <= _MAX_CALLS:
                break
            del self._lost[number_text]

    def crashed(self, model: str, number: str) -> None:
        """Note that this call has ended a process of the model, if it was sent from here."""
        caller, _ = self._lost.pop(number, (None, 0.0))
        if caller is None:
            return
        now = self._clock()
        crashes = self._crashes.setdefault((caller, model), deque(maxlen=_CRASHES))
        self._crashes.move_to_end((caller, model))
        if len(self._crashes) > _MAX_KEYS:
            self._crashes.popitem(last=False)
        crashes.append(now)
        log.warning("call_ended_process", model=model, caller=caller)
        if len(crashes) == _CRASHES and now - crashes[0] <= _WITHIN_SECONDS:
            self._refuse(caller, model, now)

    def check(self, caller: str | None, model: str) -> None:
        """Raise KEY_SUSPENDED if calls of `caller` to the model are refused now."""
        until = None if caller is None else self.refused.get((caller, model))
        if caller is None or until is None:
            return
        left = until - self._clock()
        if left <= 0:
            del self.refused[caller, model]
            return
        message = (
            f"calls of this key have ended the process of model {model} {_CRASHES} times within "
            f"{_WITHIN_SECONDS:g} s: it is refused for this model for {left:.0f} s. Do not send "
            "the input that does it again"
        )
        raise GatewayError(ErrorCode.KEY_SUSPENDED, message, retry_after=left)

    def _refuse(self, caller: str, model: str, now: float) -> None:
        self.refused = {key: until for key, until in self.refused.items() if until > now}
        if len(self.refused) < _MAX_KEYS:
            self.refused[caller, model] = now + _REFUSED_SECONDS
        log.warning("key_suspended", model=model, caller=caller, seconds=_REFUSED_SECONDS)
        if self._on_refusal is not None:
            self._on_refusal(model)
