"""Replicas: what a second process of an inference server adds.

The bars: two replicas of a model of 20 ms, whose runs take one thread, answer at least 1.8 times as
many calls as one; and the choice of a replica takes a call at most 3 µs where there is one.

    python -m benchmarks.replicas
    python -m benchmarks.replicas --rounds 7 --output replicas.json

One inference server has one replica and two in turn; the gateway, wrk and the replicas share the
machine, so this needs two cores that are otherwise idle. The choice is timed in this process, with
the gateway's own objects and connections to the same replicas.
"""

from __future__ import annotations

import asyncio
import sys
import timeit
from collections.abc import Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any

from benchmarks.calls import FLOW, json_call
from benchmarks.installation import ONE_THREAD, Installation
from benchmarks.load import WrkResult, run_wrk
from benchmarks.models import slow_model
from benchmarks.scenario import (
    Context,
    Findings,
    at_least,
    at_most,
    positive,
    run_scenario,
)
from gateway.upstream.servers import InferenceServers, ReplicaStatus, ServerStatus

CONNECTIONS = 16
_CHOICES = 100_000
_CONNECT_SECONDS = 10.0
_MESSAGE_BYTES = 1 << 20
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
        context.say("choosing")
        installation.serve("slow", replicas=2)
        (server,) = installation.servers()
        addresses = [process["address"] for process in server["processes"]]
        choices = {
            "one": asyncio.run(_choice_seconds(addresses[:1], server)),
            "two": asyncio.run(_choice_seconds(addresses, server)),
            "two, by sequence": asyncio.run(_choice_seconds(addresses, server, "a sequence")),
        }
    return _findings(loads, choices)


async def _choice_seconds(
    addresses: Sequence[str], server: Mapping[str, Any], sequence: str | None = None
) -> float:
    """Return what one choice between the replicas at the addresses takes."""
    model, version = server["model"], server["version"]
    servers = InferenceServers(max_message_bytes=_MESSAGE_BYTES, drain_seconds=1.0)
    replicas = (ReplicaStatus(slot=slot, address=each) for slot, each in enumerate(addresses))
    status = ServerStatus(
        model=model, version=version, wanted=True, state="ready", replicas=tuple(replicas)
    )
    servers.apply([status])
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            while len(servers.streams(model, version)) < len(addresses):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        choose = partial(servers.stream, model, version, sequence)
        return min(timeit.repeat(choose, number=_CHOICES, repeat=5)) / _CHOICES
    finally:
        await servers.close()


def _findings(loads: Loads, choices: Mapping[str, float]) -> Findings:
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
        bars=[
            at_least("req/s of two replicas / one's", 1.8, median(gains)),
            at_most("choice where there is one replica, µs", 3.0, choices["one"] * 1e6),
        ],
        figures={
            "loads": {str(replicas): each for replicas, each in loads.items()},
            "choice_seconds": choices,
        },
        notes=(
            f"{CONNECTIONS} connections; medians of {len(gains)} rounds, ratios within each round; "
            "one thread a run; wrk on the same machine",
            f"a choice between two replicas: {choices['two'] * 1e6:.2f} µs; "
            f"for a call of a sequence: {choices['two, by sequence'] * 1e6:.2f} µs",
            f"errors: {errors}",
        ),
    )


if __name__ == "__main__":
    sys.exit(run_scenario(__doc__, measure, OPTIONS))
