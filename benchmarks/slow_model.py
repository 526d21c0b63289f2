"""A slow model: what Slipstream adds to ONNX Runtime where the model takes most of the time.

The bar: a model of 10 ms or more pays at most 5 % over ONNX Runtime in process at 1 connection,
and loses no throughput at 16.

    python -m benchmarks.slow_model
    python -m benchmarks.slow_model --milliseconds 15 --rounds 7 --output slow_model.json

Slipstream (REST, fast mode) and an ASGI application with the model in its own process take turns;
both give a run one thread. ONNX Runtime itself, called from Python without a server, is measured in
every round too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.apps.session import OnnxSession
from benchmarks.calls import FLOW, json_call
from benchmarks.installation import ONE_THREAD, Installation
from benchmarks.load import WrkResult, run_wrk, timed
from benchmarks.models import slow_model
from benchmarks.processes import RunningServer
from benchmarks.scenario import Context, Findings, at_least, at_most, positive, run_scenario
from benchmarks.servers import IN_PROCESS, SLIPSTREAM, baseline

FEW, SOME = 1, 16
BARE = "onnxruntime"
OPTIONS = {
    "--milliseconds": {"type": float, "default": 12.0, "help": "of a run (%(default)s)"},
    "--rounds": {"type": positive, "default": 5, "help": "turns of each (%(default)s)"},
    "--seconds": {"type": positive, "default": 5, "help": "of each load (%(default)s)"},
}

Loads = dict[tuple[str, int], list[WrkResult]]
"""By server and connections, one a round."""


def measure(context: Context) -> Findings:
    """Measure both servers in turn."""
    options = context.options
    context.say("creating the model")
    model = slow_model(context.folder, options.milliseconds)
    session = OnnxSession(str(model.path))
    program = baseline(IN_PROCESS)
    other = RunningServer(program, model, Path(sys.executable), context.folder / "other")
    loads: Loads = {(s, n): [] for s in (SLIPSTREAM, IN_PROCESS) for n in (FEW, SOME)}
    bare_us = []
    try:
        other.wait(program.call(model))
        with Installation(context.folder, model, ONE_THREAD) as installation:
            path = installation.deploy_model("slow", model.path)
            ours = json_call(FLOW, model, path, installation.headers)
            installation.server.check(ours)
            targets = {
                SLIPSTREAM: (ours, installation.port),
                IN_PROCESS: (program.call(model), other.port),
            }
            for number in range(options.rounds):
                for connections in (FEW, SOME):
                    for name in list(targets)[:: 1 if number % 2 else -1]:
                        context.say(f"{number + 1}: {name}, {connections} connections")
                        call, port = targets[name]
                        run_wrk(call, port, connections=connections, seconds=1)
                        loads[name, connections].append(
                            run_wrk(call, port, connections=connections, seconds=options.seconds)
                        )
                context.say(f"{number + 1}: {BARE}")
                bare_us.append(median(timed(lambda: session.run(model.inputs), options.seconds)))
            installation.server.check(ours)
    finally:
        other.stop()
    return _findings(loads, bare_us)


def _findings(loads: Loads, bare_us: Sequence[float]) -> Findings:
    few, some = loads[SLIPSTREAM, FEW], loads[SLIPSTREAM, SOME]
    over_server = [a.at(50) / b.at(50) for a, b in zip(few, loads[IN_PROCESS, FEW], strict=True)]
    over_bare = [load.at(50) / bare for load, bare in zip(few, bare_us, strict=True)]
    faster = [
        a.good_per_second / b.good_per_second
        for a, b in zip(some, loads[IN_PROCESS, SOME], strict=True)
    ]
    errors = sum(load.errors for each in loads.values() for load in each)
    return Findings(
        headings=("", "p50 µs, 1 conn.", "p99 µs", "req/s, 16 conn.", "p50 ms", "p99 ms"),
        rows=[
            *(_cells(name, loads) for name in (SLIPSTREAM, IN_PROCESS)),
            (BARE, f"{median(bare_us):,.0f}", "", "", "", ""),
        ],
        bars=[
            at_most(f"p50 at 1 connection / {IN_PROCESS}'s", 1.05, median(over_server)),
            at_most(f"p50 at 1 connection / {BARE}'s run", 1.05, median(over_bare)),
            at_least(f"req/s at 16 connections / {IN_PROCESS}'s", 1, median(faster)),
        ],
        figures={
            "loads": {f"{name}, {n}": each for (name, n), each in loads.items()},
            "onnxruntime_us": bare_us,
        },
        notes=(
            f"medians of {len(bare_us)} rounds, ratios within each round; one thread a run for "
            "both; wrk on the same machine",
            f"errors: {errors}",
        ),
    )


def _cells(server: str, loads: Loads) -> tuple[str, ...]:
    few, some = loads[server, FEW], loads[server, SOME]
    return (
        server,
        f"{median(load.at(50) for load in few):,.0f}",
        f"{median(load.at(99) for load in few):,.0f}",
        f"{median(load.good_per_second for load in some):,.1f}",
        f"{median(load.at(50) for load in some) / 1e3:,.1f}",
        f"{median(load.at(99) for load in some) / 1e3:,.1f}",
    )


if __name__ == "__main__":
    sys.exit(run_scenario(__doc__, measure, OPTIONS))
