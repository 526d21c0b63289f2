"""Many models and deployments: what one of them pays for the others.

The bar: with 100 models served, each in a process of its own, and 1,000 deployments, the p50 of
fast calls stays within 1.2 times that with one model and one deployment.

    python -m benchmarks.many
    python -m benchmarks.many --models 10 --deployments 50 --rounds 1 --output many.json

Two installations run side by side, a small and a large one, and take turns: one connection, one
call at a time, on one deployment; in the large one also on all deployments in turn, so that each
call meets another process. The small one is also measured before the large one starts, as the idle
processes of the large one could slow both. Models are served one after the other, so a boot has the
machine for itself.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.bars import Bar, most
from benchmarks.caller import Caller
from benchmarks.forms import FLOW, call
from benchmarks.memory import weigh
from benchmarks.model import Model, tiny_model
from benchmarks.options import count
from benchmarks.scenario import Stage, Verdict, play
from benchmarks.sites import ONE_THREAD, Site
from benchmarks.wire import wire

ALONE = "one model, nothing else runs"
ONE = "one model, beside the many"
SAME = "many models, one deployment"
SPREAD = "many models, all in turn"

_MOST_SLOWER = 1.2
_WARM_SECONDS = 0.5
_IDLE_SECONDS = 5.0
_WEIGHED_SECONDS = 6.0
"""The fleet weighs its processes every five."""
_MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Boots:
    """The inference servers as the fleet shows them."""

    seconds: Sequence[float]
    pss_mib: Sequence[float]
    total_seconds: float
    """To publish and serve all models, one after the other."""
    tree_mib: float
    """PSS of the whole installation: gateway, supervisor and what the servers share with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Everything that was measured."""

    p50_us: Mapping[str, Sequence[float]]
    """By what was called; one a round."""
    boots: Boots
    idle_cores: float
    """That the large installation keeps busy while nobody calls it."""
    deploy_seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run."""
    return play("many", __doc__, _add_options, _measure, arguments)


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--models", type=count, default=100, help="(%(default)s)")
    add("--deployments", type=count, default=1_000, help="(%(default)s)")
    add("--rounds", type=count, default=5, help="turns of each (%(default)s)")
    add("--seconds", type=count, default=3, help="of each turn (%(default)s)")


def _measure(options: argparse.Namespace, stage: Stage) -> Verdict:
    stage.expect(options.models + options.deployments + 4 * options.rounds)
    stage.say("starting the small installation")
    model = tiny_model(stage.folder)
    with Site(_folder(stage, "small"), model, ONE_THREAD) as small:
        path = small.offer_model("m0", model.path)
        turns = _Turns(options.seconds, stage)
        one = _requests(small, model, [path])
        for _ in range(options.rounds):
            turns.take(ALONE, small, one)
        stage.say("starting the large installation")
        with Site(_folder(stage, "large"), model, ONE_THREAD) as large:
            names = [f"m{number}" for number in range(options.models)]
            serve_seconds = _serve(large, names, model, stage)
            began = time.perf_counter()
            paths = _deploy(large, names, options.deployments, stage)
            deploy_seconds = time.perf_counter() - began
            boots = _boots(large, serve_seconds)
            many = _requests(large, model, paths)
            turns.warm(large, many)
            for _ in range(options.rounds):
                turns.take(ONE, small, one)
                turns.take(SAME, large, many[:1])
                turns.take(SPREAD, large, many)
            idle = _idle_cores(large)
    figures = Figures(
        p50_us=turns.p50_us, boots=boots, idle_cores=idle, deploy_seconds=deploy_seconds
    )
    return _verdict(figures, options)


class _Turns:
    """Measures who is called, in turns."""

    def __init__(self, seconds: float, stage: Stage) -> None:
        self.p50_us: dict[str, list[float]] = {}
        self._seconds = seconds
        self._stage = stage

    def warm(self, site: Site, requests: Sequence[bytes]) -> None:
        """Call each once: the first call of a deployment reads the database."""
        self._stage.say("first calls")
        with Caller(site.port) as caller:
            for request in requests:
                caller.ask(request)

    def take(self, what: str, site: Site, requests: Sequence[bytes]) -> None:
        """Call in turns for a while."""
        self._stage.say(what)
        with Caller(site.port) as caller:
            caller.time(requests, _WARM_SECONDS)
            self.p50_us.setdefault(what, []).append(median(caller.time(requests, self._seconds)))
        self._stage.step()


def _folder(stage: Stage, name: str) -> Path:
    folder = stage.folder / name
    folder.mkdir()
    return folder


def _requests(site: Site, model: Model, paths: Sequence[str]) -> list[bytes]:
    site.started.ask(call(FLOW, model, paths[-1], site.headers))
    return [wire(call(FLOW, model, path, site.headers), site.port) for path in paths]


def _serve(site: Site, names: Sequence[str], model: Model, stage: Stage) -> float:
    """Publish and serve each; return how many seconds all took."""
    began = time.perf_counter()
    for number, name in enumerate(names, 1):
        stage.say(f"serving model {number} of {len(names)}")
        site.publish(name, model.path)
        site.serve(name)
        stage.step()
    return time.perf_counter() - began


def _deploy(site: Site, names: Sequence[str], deployments: int, stage: Stage) -> list[str]:
    """Return the paths of the deployments, neighbours on different models."""
    stage.say("deploying")
    flows = [site.save_flow(name) for name in names]
    paths = []
    for number in range(deployments):
        paths.append(site.deploy(flows[number % len(flows)]))
        stage.step()
    return paths


def _boots(site: Site, serve_seconds: float) -> Boots:
    time.sleep(_WEIGHED_SECONDS)
    servers = site.servers()
    return Boots(
        seconds=[server["boot_seconds"] for server in servers],
        pss_mib=[(server["memory_bytes"] or 0) / _MIB for server in servers],
        total_seconds=serve_seconds,
        tree_mib=weigh(site.started.root, at=0.0).pss / _MIB,
    )


def _idle_cores(site: Site) -> float:
    before = site.started.cpu_seconds()
    time.sleep(_IDLE_SECONDS)
    return (site.started.cpu_seconds() - before) / _IDLE_SECONDS


def _verdict(figures: Figures, options: argparse.Namespace) -> Verdict:
    boots = figures.boots
    p50 = {what: median(values) for what, values in figures.p50_us.items()}
    pss, seconds = sorted(boots.pss_mib), sorted(boots.seconds)
    return Verdict(
        headings=("", "p50 µs, 1 conn.", "fastest … slowest round"),
        rows=[
            (what, f"{p50[what]:,.0f}", f"{min(values):,.0f} … {max(values):,.0f}")
            for what, values in figures.p50_us.items()
        ],
        bars=[
            _bar("p50 on one deployment / with one model", figures, SAME, ONE),
            _bar("p50 on all in turn / with one model", figures, SPREAD, ONE),
            most("p50 on one deployment / with nothing else", _MOST_SLOWER, p50[SAME] / p50[ALONE]),
        ],
        measured=figures,
        notes=(
            f"{options.models} models, {options.deployments} deployments; medians of "
            f"{options.rounds} rounds",
            f"PSS of an inference server: {median(pss):.1f} MiB, {pss[0]:.1f} to {pss[-1]:.1f}, "
            f"{sum(pss):,.0f} all together; the whole installation: {boots.tree_mib:,.0f}",
            f"boot of one: {median(seconds):.2f} s, {seconds[0]:.2f} to {seconds[-1]:.2f}; "
            f"publishing and serving all: {boots.total_seconds:.0f} s, "
            f"deploying: {figures.deploy_seconds:.0f} s",
            f"the large installation keeps {figures.idle_cores:.2f} cores busy while idle",
        ),
    )


def _bar(what: str, figures: Figures, ours: str, theirs: str) -> Bar:
    pairs = zip(figures.p50_us[ours], figures.p50_us[theirs], strict=True)
    return most(what, _MOST_SLOWER, median(one / other for one, other in pairs))


if __name__ == "__main__":
    sys.exit(main())
