"""What a change or a setting costs: this working tree beside another commit, in turns.

The bar: a fast call and a sync run cost at most 1.02 times what they did, in time and in processor
time of all processes.

    python -m benchmarks.gate main
    python -m benchmarks.gate HEAD~3 --rounds 40 --seconds 1
    python -m benchmarks.gate HEAD --env SLIPSTREAM_CALL_LOG=all --kind fast

`--env` sets a variable of this working tree's side only: compared with the commit that is checked
out, it shows what the setting costs. Traces need a collector: see `benchmarks.collector`.

Both installations run all the time. In each round one and then the other is called,
in an order that changes from round to round; a machine that becomes slower does so for both. The
ratio is the median of those of all rounds, beside the interval in which it is with a probability of
95 % (bootstrap). A bar is missed if the whole interval is above it.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.calls import FLOW, HttpCall, json_call
from benchmarks.installation import ONE_THREAD, Installation, SetupError, inference_flow
from benchmarks.load import LoadError, run_load
from benchmarks.models import OnnxModel, tiny_model
from benchmarks.processes import ROOT
from benchmarks.scenario import Context, Findings, at_most, positive, run_scenario

_KINDS: Mapping[str, Mapping[str, str]] = {
    "fast": {"execution_mode": "fast"},
    "sync, server": {"execution_mode": "sync", "deployment_type": "server"},
    "sync, api": {"execution_mode": "sync", "deployment_type": "api"},
}
OPTIONS: dict[str, dict[str, Any]] = {  # as argparse takes them
    "commit": {"help": "what to compare with, such as main"},
    "--env": {
        "action": "append",
        "default": [],
        "metavar": "NAME=VALUE",
        "help": "variable of this working tree's side",
    },
    "--kind": {"choices": _KINDS, "help": "of calls (all)"},
    "--callers": {"type": positive, "default": 1, "help": "at once (%(default)s)"},
    "--rounds": {"type": positive, "default": 30, "help": "(%(default)s)"},
    "--seconds": {"type": positive, "default": 2, "help": "of calls in a round (%(default)s)"},
}
_MAX_RATIO = 1.02
_SAMPLES = 2_000
_NAME = "tiny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a call costs, in microseconds."""

    p50: float
    cpu: float
    """Processor time of all processes."""
    call: float
    """The time in which one call is answered, of all callers together: 1 / throughput."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """After over before, and the interval that has it with a probability of 95 %."""

    what: str
    before_us: float
    after_us: float
    ratio: float
    low: float
    high: float


class Side:
    """One of the two installations, with a deployment of each kind."""

    def __init__(self, installation: Installation, model: OnnxModel) -> None:
        self._installation = installation
        installation.publish(_NAME, model.path)
        installation.serve(_NAME)
        flow_id = installation.post("/node/flows/", inference_flow(_NAME))["id"]
        self._calls: dict[str, HttpCall] = {}
        for kind, settings in _KINDS.items():
            path = installation.deploy_saved(flow_id, **settings)
            self._calls[kind] = json_call(FLOW, model, path, installation.headers)
            installation.server.check(self._calls[kind])

    def measure(self, kind: str, seconds: float, callers: int) -> Cost:
        """Have callers repeat a call. Raises LoadError if one fails."""
        server = self._installation.server
        before = server.cpu_seconds()
        result = run_load(
            [self._calls[kind]],
            self._installation.port,
            seconds=seconds,
            warmup=0,
            connections=callers,
        )
        used = server.cpu_seconds() - before
        if result.failed or result.latency_seconds is None:
            raise LoadError(f"calls failed: {result.failures or 'none was answered'}")
        return Cost(
            p50=result.latency_seconds.p50 * 1e6,
            cpu=used / result.answered * 1e6,
            call=seconds / result.answered * 1e6,
        )


def measure(context: Context) -> Findings:
    """Run both, call them in turns, and compare."""
    options = context.options
    model = tiny_model(context.folder)
    settings = {**ONE_THREAD, "SLIPSTREAM_NO_DEMO": "1"}
    more = dict(_variable(text) for text in options.env)
    with ExitStack() as stack:
        before_code = stack.enter_context(_checkout(options.commit, context.folder / "code"))
        sides = []
        for name, code, own in (("before", before_code, {}), ("after", ROOT, more)):
            context.say(f"{name}: starting")
            # the program's folder, not the current one, is where Python looks for packages
            environment = {**settings, **own, "PYTHONPATH": str(code), "PYTHONSAFEPATH": "1"}
            installation = Installation(context.folder / name, model, environment)
            sides.append(Side(stack.enter_context(installation), model))
        rounds = _in_turns(sides, context)
    ratios = [ratio for kind, costs in rounds.items() for ratio in _compare(kind, costs)]
    return Findings(
        headings=("call", "before µs", "after µs", "ratio", "from", "to"),
        rows=[
            (
                each.what,
                *(f"{value:,.0f}" for value in (each.before_us, each.after_us)),
                *(f"{value:.3f}" for value in (each.ratio, each.low, each.high)),
            )
            for each in ratios
        ],
        bars=[at_most(f"{each.what}, at least", _MAX_RATIO, each.low) for each in ratios],
        figures=ratios,
        notes=(f"{options.rounds} rounds of {options.seconds} s, {options.callers} at once",),
    )


@contextmanager
def _checkout(commit: str, folder: Path) -> Iterator[Path]:
    """Yield a folder with the files of a commit. Raises SetupError if there is no such commit."""
    git = ("git", "-C", str(ROOT), "worktree")
    add = [*git, "add", "--detach", str(folder), commit]
    done = subprocess.run(add, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(f"commit: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=False)


def _variable(text: str) -> tuple[str, str]:
    """Return the name and the value. Raises SetupError if there is no name."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise SetupError(f"--env: expected NAME=VALUE, got '{text}'")
    return name, value


def _in_turns(sides: Sequence[Side], context: Context) -> dict[str, list[tuple[Cost, Cost]]]:
    """Return what each round cost on both sides, by kind of call."""
    options = context.options
    kinds = _KINDS if options.kind is None else (options.kind,)
    found: dict[str, list[tuple[Cost, Cost]]] = {kind: [] for kind in kinds}
    for number in range(options.rounds):
        context.status.update(f"round {number + 1} of {options.rounds}")
        for kind, costs in found.items():
            order = sides if number % 2 else sides[::-1]
            measured = [side.measure(kind, options.seconds, options.callers) for side in order]
            before, after = measured if number % 2 else measured[::-1]
            costs.append((before, after))
            time.sleep(0.05)  # what a run leaves behind is not counted with the next
    return found


def _compare(kind: str, rounds: Sequence[tuple[Cost, Cost]]) -> Iterator[Ratio]:
    yield _ratio(f"{kind}, p50", [(before.p50, after.p50) for before, after in rounds])
    yield _ratio(f"{kind}, CPU", [(before.cpu, after.cpu) for before, after in rounds])
    yield _ratio(f"{kind}, time of a call", [(before.call, after.call) for before, after in rounds])


def _ratio(what: str, pairs: Sequence[tuple[float, float]]) -> Ratio:
    ratios = [after / before for before, after in pairs]
    chance = random.Random(1)  # nosec B311 # no secret
    drawn = sorted(median(chance.choices(ratios, k=len(ratios))) for _ in range(_SAMPLES))
    return Ratio(
        what=what,
        before_us=median(before for before, _ in pairs),
        after_us=median(after for _, after in pairs),
        ratio=median(ratios),
        low=drawn[int(_SAMPLES * 0.025)],
        high=drawn[int(_SAMPLES * 0.975)],
    )


if __name__ == "__main__":
    sys.exit(run_scenario(__doc__, measure, OPTIONS))
