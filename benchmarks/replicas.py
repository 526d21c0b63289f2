"""Replicas: what a second process of an inference server adds.

The bar: two replicas of a model of 20 ms, whose runs take one thread, answer at least 1.8 times as
many calls as one.

    python -m benchmarks.replicas
    python -m benchmarks.replicas --rounds 7 --output replicas.json

One inference server has one replica and two in turn; the gateway, wrk and the replicas share the
machine, so this needs two cores that are otherwise idle.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from statistics import median

from benchmarks.calls import FLOW, json_call
from benchmarks.installation import ONE_THREAD, Installation
from benchmarks.load import WrkResult, run_wrk
from benchmarks.models import slow_model
from benchmarks.scenario import Context, Findings, at_least, positive, run_scenario

CONNECTIONS = 16
OPTIONS = {
    "--milliseconds": {"type": float, "default": 20.0, "help": "of a run (%(default)s)"},
    "--rounds": {"type": positive, "default": 5, "help": "turns of each (%(default)s)"},
    "--seconds": {"type": positive, "default": 5, "help": "of each load (%(default)s)"},
}

Loads = Mapping[int, list[WrkResult]]
"""By the number of replicas, one a round."""


def measure(context: Context) -> Findings:
    """Measure one and two replicas in turn."""
    options = context.options
    context.say("creating the model")
    model = slow_model(context.folder, options.milliseconds)
    loads: Loads = {1: [], 2: []}
    with Installation(context.folder, model, ONE_THREAD) as installation:
        path = installation.deploy_model("slow", model.path)
        call = json_call(FLOW, model, path, installation.headers)
        installation.server.check(call)
        for number in range(options.rounds):
            for replicas in sorted(loads, reverse=bool(number % 2)):
                context.say(f"{number + 1}: {replicas} replicas")
                installation.serve("slow", replicas=replicas)
                run_wrk(call, installation.port, connections=CONNECTIONS, seconds=1)
                loads[replicas].append(
                    run_wrk(
                        call, installation.port, connections=CONNECTIONS, seconds=options.seconds
                    )
                )
        installation.server.check(call)
    return _findings(loads)


def _findings(loads: Loads) -> Findings:
    gains = [
        two.good_per_second / one.good_per_second
        for one, two in zip(loads[1], loads[2], strict=True)
    ]
    errors = sum(load.errors for each in loads.values() for load in each)
    return Findings(
        headings=("replicas", "req/s", "p50 ms", "p99 ms"),
        rows=[
            (
                str(replicas),
                f"{median(load.good_per_second for load in each):,.1f}",
                f"{median(load.at(50) for load in each) / 1e3:,.1f}",
                f"{median(load.at(99) for load in each) / 1e3:,.1f}",
            )
            for replicas, each in loads.items()
        ],
        bars=[at_least("req/s of two replicas / one's", 1.8, median(gains))],
        figures={"loads": {str(replicas): each for replicas, each in loads.items()}},
        notes=(
            f"{CONNECTIONS} connections; medians of {len(gains)} rounds, ratios within each round; "
            "one thread a run; wrk on the same machine",
            f"errors: {errors}",
        ),
    )


if __name__ == "__main__":
    sys.exit(run_scenario(__doc__, measure, OPTIONS))
