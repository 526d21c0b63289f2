"""How long a run may go on, whatever the deadline of its call is.

The values of some inputs decide how long a run takes: the trips of a Loop, or the length of a
generated text. Without a limit one caller with a late deadline keeps all others of the model out.
"""

from __future__ import annotations

from inference_server.data_plane.batching import input_bytes
from inference_server.runtime.warmup import WarmupResult

LEAST_SECONDS = 30.0
"""On a machine with far more to do than it has cores, 800 MB of output took more than 10."""
_UNMEASURED_SECONDS = 100.0
"""For a model that rejects synthetic inputs."""
_FACTOR = 100
"""The machine may be busier than at the warm-up, and larger inputs take more than in proportion."""
_MAX_GROWTH = 1000
"""A small model's first run is mostly overhead, and says little about what a byte of input takes:
100 MB of it must not allow an hour."""


class RunLimit:
    """The limit of one model: as set, or derived from what its first runs took."""

    def __init__(self, max_run_seconds: float | None, warmup: WarmupResult) -> None:
        """Use `max_run_seconds` for all runs; None: see `seconds`."""
        self._fixed = max_run_seconds
        self._measured = warmup.samples[0][1] if warmup.samples else None
        self._measured_bytes = max(1, sum([input_bytes(it) for it in warmup.feeds.values()]))

    def seconds(self, size: int) -> float:
        """Return the limit of a run on `size` bytes of input.

        Unless it is set: a hundred times what the first run took, in proportion to the input's
        size, and at least LEAST_SECONDS.
        """
        if self._fixed is not None:
            return self._fixed
        if self._measured is None:
            return _UNMEASURED_SECONDS
        growth = min(max(1.0, size / self._measured_bytes), _MAX_GROWTH)
        return max(LEAST_SECONDS, _FACTOR * growth * self._measured)
