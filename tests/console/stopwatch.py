"""Measures how fast a page is, and says how much slower than usual the machine is meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

from playwright.sync_api import CDPSession, Page

P = ParamSpec("P")

SCRIPT = Path(__file__).with_name("stopwatch.js").read_text()
_WORK_MILLISECONDS = 7.5
"""What the fixed work takes in a browser that has one of two cores for itself."""
_SAMPLES = 9
MAX_TRIES = 20
"""Then a budget is missed, and no other load of the machine explains it."""
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Budget:
    """What something may take at most; `throttle` is how much slower the page's thread is made."""

    what: str
    milliseconds: float
    throttle: float = 1

    def is_held_by(self, one: tuple[float, float]) -> bool:
        """Whether a try is within the budget.

        A try is the milliseconds measured, and the slowness of the machine meanwhile.
        """
        took, slowness = one
        return took <= self.milliseconds * slowness

    def check(
        self, tries: Sequence[tuple[float, float]], record: Callable[[str, object], None]
    ) -> None:
        """Fail if the best try is above the budget; record what was measured.

        The best: what else the machine does can only add to a time.
        """
        best = min(tries, key=lambda one: one[0] / one[1])
        said = ", ".join(f"{took:.0f} ms at {slowness:.2f}" for took, slowness in tries)
        line = (
            f"{self.what}: {best[0]:.0f} ms while the machine was {best[1]:.2f} times as slow as "
            f"usual, at most {self.milliseconds:.0f} ms times that (all tries: {said})"
        )
        record("figure", line)
        assert self.is_held_by(best), line


class Stopwatch:
    """A page with the measuring script in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._cdp: CDPSession = page.context.new_cdp_session(page)
        self._rate = 1.0
        page.add_init_script(SCRIPT)

    def throttle(self, rate: float) -> None:
        """Make the page's thread slower by a factor."""
        self._rate = rate
        self._cdp.send("Emulation.setCPUThrottlingRate", {"rate": rate})

    def slowness(self) -> float:
        """Return how much slower than usual a fixed work is now, beside the throttling; at least 1.

        A machine that does other things, or has slower cores, gets so much more time. No machine
        gets less than the budget.
        """
        took = sum(self.read("work()") for _ in range(_SAMPLES)) / _SAMPLES
        return max(1.0, float(took) / (_WORK_MILLISECONDS * self._rate))

    def beside(
        self, measure: Callable[P, float], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[float, float]:
        """Return what a measurement returns, and how slow the machine is before and after it."""
        before = self.slowness()
        return measure(*args, **kwargs), (before + self.slowness()) / 2

    def tries(
        self, budget: Budget, measure: Callable[P, float], *args: P.args, **kwargs: P.kwargs
    ) -> list[tuple[float, float]]:
        """Measure until the budget is held once, or it was missed too often; return all tries."""
        made: list[tuple[float, float]] = []
        while len(made) < MAX_TRIES and not (made and budget.is_held_by(made[-1])):
            made.append(self.beside(measure, *args, **kwargs))
        return made

    def timed(self, act: Callable[[], object], selector: str, text: str | None = None) -> float:
        """Return the milliseconds from the press that `act` makes until the page shows something.

        That is the frame in which `selector` finds an element, with the text if one is given.
        """
        self.page.evaluate(
            "([selector, text]) => stopwatch.await(selector, text)", [selector, text]
        )
        act()
        return float(self.until("answer"))

    def read(self, what: str) -> Any:
        """Return what the script in the page has measured."""
        return self.page.evaluate(f"stopwatch.{what}")

    def until(self, what: str) -> Any:
        """Wait until the script has measured something, and return it."""
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while (found := self.read(what)) is None:
            assert time.monotonic() < deadline, f"{what} was not measured"
            self.page.wait_for_timeout(20)
        return found
