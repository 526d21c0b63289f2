"""Many models and deployments: what one of them pays for the others, and what each costs.

The bars: with 100 models served, each in a process of its own, and 1,000 deployments, the p50 of
fast calls stays within 1.2 times that with one of each. A further inference server is ready within
0.2 s and takes at most 15 MiB (PSS: shared pages count in proportion).

    python -m benchmarks.many
    python -m benchmarks.many --models 10 --deployments 50 --rounds 1 --output many.json

A small and a large installation run side by side and take turns: one connection, one call at a
time, on one deployment; in the large one also on all deployments in turn, so that each call reaches
another process. The small one is also measured before the large one starts, since the idle
processes of the large one could slow both. Models are served one after the other.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from statistics import median

from benchmarks.calls import FLOW, HttpCall, json_call
from benchmarks.installation import ONE_THREAD, Installation, inference_flow
from benchmarks.load import p50_us
from benchmarks.models import OnnxModel, tiny_model
from benchmarks.processes import MIB
from benchmarks.scenario import Bar, Context, Findings, at_most, positive, run_scenario

ALONE = "one model, nothing else runs"
ONE = "one model, beside the many"
SAME = "many models, one deployment"
SPREAD = "many models, all in turn"
OPTIONS = {
    "--models": {"type": positive, "default": 100, "help": "(%(default)s)"},
    "--deployments": {"type": positive, "default": 1_000, "help": "(%(default)s)"},
    "--rounds": {"type": positive, "default": 5, "help": "turns of each (%(default)s)"},
    "--seconds": {"type": positive, "default": 3, "help": "of each turn (%(default)s)"},
}

_MAX_RATIO = 1.2
_MAX_BOOT_SECONDS = 0.2
_MAX_MIB = 15.0
_IDLE_SECONDS = 5.0
_MEMORY_UPDATE_SECONDS = 6.0
"""The supervisor records each server's memory every five."""


def measure(context: Context) -> Findings:
    """Measure both installations in turn."""
    options = context.options
    model = tiny_model(context.folder)
    p50: dict[str, list[float]] = {name: [] for name in (ALONE, ONE, SAME, SPREAD)}

    def turn(what: str, installation: Installation, calls: Sequence[HttpCall]) -> None:
        context.say(what)
        p50[what].append(p50_us(calls, installation.port, options.seconds))

    context.say("starting the small installation")
    with Installation(context.folder / "small", model, ONE_THREAD) as small:
        one = _calls(small, model, [small.deploy_model("m0", model.path)])
        for _ in range(options.rounds):
            turn(ALONE, small, one)
        context.say("starting the large installation")
        with Installation(context.folder / "large", model, ONE_THREAD) as large:
            serve_seconds = _serve(large, model, context)
            deploy_seconds, paths = _deploy(large, context)
            time.sleep(_MEMORY_UPDATE_SECONDS)
            servers = large.servers()
            total_mib = large.server.memory().pss / MIB
            every = _calls(large, model, paths)
            context.say("first calls")
            for call in every:  # the first call of a deployment reads the database
                large.server.check(call)
            for _ in range(options.rounds):
                turn(ONE, small, one)
                turn(SAME, large, every[:1])
                turn(SPREAD, large, every)
            idle_cores = _idle_cores(large)
    boots = sorted(server["boot_seconds"] for server in servers)
    memory = sorted((server["memory_bytes"] or 0) / MIB for server in servers)
    return Findings(
        headings=("", "p50 µs, 1 conn.", "fastest … slowest round"),
        rows=[
            (what, f"{median(values):,.0f}", f"{min(values):,.0f} … {max(values):,.0f}")
            for what, values in p50.items()
        ],
        bars=[
            _bar("p50 on one deployment / with one model", p50[SAME], p50[ONE]),
            _bar("p50 on all in turn / with one model", p50[SPREAD], p50[ONE]),
            _bar("p50 on one deployment / with nothing else", p50[SAME], p50[ALONE]),
            at_most("boot of a further inference server, s", _MAX_BOOT_SECONDS, median(boots)),
            at_most("memory of a further inference server, MiB", _MAX_MIB, median(memory)),
        ],
        figures={
            "p50_us": p50,
            "boot_seconds": boots,
            "memory_mib": memory,
            "total_mib": total_mib,
            "serve_seconds": serve_seconds,
            "deploy_seconds": deploy_seconds,
            "idle_cores": idle_cores,
        },
        notes=(
            f"{options.models} models, {options.deployments} deployments; medians of "
            f"{options.rounds} rounds",
            f"PSS of an inference server: {median(memory):.1f} MiB, {memory[0]:.1f} to "
            f"{memory[-1]:.1f}, {sum(memory):,.0f} in total; the whole installation: "
            f"{total_mib:,.0f}",
            f"boot of one: {median(boots):.2f} s, {boots[0]:.2f} to {boots[-1]:.2f}; publishing "
            f"and serving all: {serve_seconds:.0f} s, deploying: {deploy_seconds:.0f} s",
            f"the large installation uses {idle_cores:.2f} cores while idle",
        ),
    )


def _calls(installation: Installation, model: OnnxModel, paths: Sequence[str]) -> list[HttpCall]:
    calls = [json_call(FLOW, model, path, installation.headers) for path in paths]
    installation.server.check(calls[-1])
    return calls


def _serve(installation: Installation, model: OnnxModel, context: Context) -> float:
    """Publish and serve each model; return the seconds that took."""
    started = time.perf_counter()
    for number in range(context.options.models):
        context.status.update(f"serving model {number + 1} of {context.options.models}")
        installation.publish(f"m{number}", model.path)
        installation.serve(f"m{number}")
    return time.perf_counter() - started


def _deploy(installation: Installation, context: Context) -> tuple[float, list[str]]:
    """Deploy; return seconds and paths. Neighbouring deployments use different models."""
    context.say("deploying")
    started = time.perf_counter()
    models = range(context.options.models)
    flows = [installation.post("/node/flows/", inference_flow(f"m{n}"))["id"] for n in models]
    paths = [
        installation.deploy_saved(flows[number % len(flows)])
        for number in range(context.options.deployments)
    ]
    return time.perf_counter() - started, paths


def _idle_cores(installation: Installation) -> float:
    before = installation.server.cpu_seconds()
    time.sleep(_IDLE_SECONDS)
    return (installation.server.cpu_seconds() - before) / _IDLE_SECONDS


def _bar(what: str, ours: Sequence[float], theirs: Sequence[float]) -> Bar:
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return at_most(what, _MAX_RATIO, median(ratios))


if __name__ == "__main__":
    sys.exit(run_scenario(__doc__, measure, OPTIONS))
