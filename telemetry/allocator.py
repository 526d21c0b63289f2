"""What the C library does with memory, above all with what is freed."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

ALLOCATION = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=2"}
"""Environment of processes that copy large bodies. For other C libraries it has no effect.

With glibc 2.35 and later, the kernel gives large blocks memory in pages of 2 MiB: a copy of 36 MiB
stops an event loop for 6 to 12 ms, and else for 16 to 150. Threads share two arenas: each arena
keeps what was freed in it, and there would be 8 for each processor.
"""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""Parameters of glibc's mallopt."""
_LARGE_BLOCK, _MAX_SPARE = 32 * 2**20, 64 * 2**20


def keep_freed_memory() -> None:
    """Keep freed memory of large bodies, up to 64 MiB, if the C library can (glibc).

    Getting it from the kernel again, page by page, can take longer than reading the body.
    """
    _set({_M_MMAP_THRESHOLD: _LARGE_BLOCK, _M_TRIM_THRESHOLD: _MAX_SPARE})


def use_one_arena() -> None:
    """Have all threads share the main arena; call it before there are threads.

    Of other arenas, `return_freed_memory` leaves up to 64 MiB each. Threads that allocate at the
    same time wait for each other, for less than a microsecond.
    """
    _set({_M_ARENA_MAX: 1})


def return_freed_memory() -> None:
    """Give freed memory back to the kernel, if the C library can (glibc).

    It keeps what lies between blocks in use, which after a model can be many times the model. Takes
    milliseconds, in which other threads that allocate may wait.
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


def memory_in_use() -> int | None:
    """Return the bytes that callers of the C library hold, or None if it does not say (glibc 2.33).

    Looks at every free block: up to milliseconds, in which other threads that allocate may wait.
    """
    mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo2 is None:
        return None
    mallinfo2.restype = _Mallinfo2
    found = mallinfo2()
    return int(found.uordblks + found.hblkhd)


class _Mallinfo2(ctypes.Structure):
    """Mallinfo(3)."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def _set(parameters: Mapping[int, int]) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in parameters.items():
            mallopt(parameter, value)
