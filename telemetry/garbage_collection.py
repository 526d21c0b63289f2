"""When Python's garbage collector runs in a long-lived process."""

from __future__ import annotations

import atexit
import gc


def pause() -> None:
    """Collect nothing until `resume`, and nothing at exit. Call it before the slow imports.

    Imports create objects that stay, and the collector would visit them again and again: a quarter
    of a gateway's start. At exit it would visit all of them once more, for memory that the kernel
    takes back anyway.
    """
    gc.disable()
    atexit.register(gc.freeze)


def resume(*thresholds: int) -> None:
    """Collect again, but never visit what exists now. `thresholds` are those of `gc.set_threshold`.

    A process forked later shares the memory of frozen objects: a visit would write to it.
    """
    gc.freeze()
    if thresholds:
        gc.set_threshold(*thresholds)
    gc.enable()
