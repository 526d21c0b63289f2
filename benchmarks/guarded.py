"""Limits: what calls pay for being counted and bounded.

The bar: fast mode with keys, limits, usage and audit on gives at least 0.95 times the throughput
of that without limits.

    python -m benchmarks.guarded
    python -m benchmarks.guarded --redis redis://127.0.0.1:6379/15 --output guarded.json

One installation, one model, two deployments: one has no limits, and its key has none; the other has
every limit that there is, and so has its key, all too high to be met. They take turns, every other
round backwards. Usage is counted and acts are told in both cases: neither can be switched off.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.bars import least
from benchmarks.caller import Caller
from benchmarks.forms import FLOW, Call, call
from benchmarks.load import drive
from benchmarks.model import Model, tiny_model
from benchmarks.options import count
from benchmarks.scenario import Stage, Verdict, play
from benchmarks.sites import ONE_THREAD, Json, Site
from benchmarks.wire import wire

OPEN, GUARDED = "no limits", "every limit"

_LEAST = 0.95
_PLENTY = 10**9
_OF_CALLS: Json = dict.fromkeys(("calls_per_minute", "calls_per_day", "concurrent_runs"), _PLENTY)
_WARM_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """By case, one value a round."""

    good_per_second: Mapping[str, Sequence[float]]
    p50_us: Mapping[str, Sequence[float]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run."""
    return play("guarded", __doc__, _add_options, _measure, arguments)


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--rounds", type=count, default=24, help="turns of each (%(default)s)")
    add("--seconds", type=count, default=1, help="of each turn (%(default)s)")
    add("--connections", type=count, default=64, help="for the throughput (%(default)s)")
    add("--redis", metavar="URL", help="count there, as several gateways would (in memory)")


def _measure(options: argparse.Namespace, stage: Stage) -> Verdict:
    stage.expect(2 * options.rounds)
    stage.say("starting")
    model = tiny_model(stage.folder)
    counting = {"SLIPSTREAM_RATE_LIMIT_URL": options.redis} if options.redis else {}
    with Site(stage.folder, model, {**ONE_THREAD, **counting}) as site:
        cases = _cases(site, model)
        rates: dict[str, list[float]] = {name: [] for name in cases}
        p50: dict[str, list[float]] = {name: [] for name in cases}
        for number in range(options.rounds):
            for name in list(cases)[:: -1 if number % 2 else 1]:
                stage.say(name)
                load = drive(
                    cases[name],
                    site.port,
                    connections=options.connections,
                    seconds=options.seconds,
                )
                rates[name].append(load.good_per_second)
                p50[name].append(_p50_us(site, cases[name]))
                stage.step()
    return _verdict(Figures(good_per_second=rates, p50_us=p50), options)


def _cases(site: Site, model: Model) -> dict[str, Call]:
    """Return the call of each deployment, with a key of its own."""
    limits: dict[str, Json | None] = {OPEN: None, GUARDED: _OF_CALLS}
    open_path = site.offer_model("m0", model.path)
    paths = {OPEN: open_path, GUARDED: site.deploy(site.save_flow("m0"), limits=_OF_CALLS)}
    cases = {}
    for name, path in paths.items():
        key = site.make_key(name=name, limits=limits[name])
        cases[name] = call(FLOW, model, path, {"X-API-Key": key})
        site.started.ask(cases[name])
    return cases


def _p50_us(site: Site, asked: Call) -> float:
    with Caller(site.port) as caller:
        request = [wire(asked, site.port)]
        caller.time(request, _WARM_SECONDS)
        return median(caller.time(request, 1.0))


def _verdict(figures: Figures, options: argparse.Namespace) -> Verdict:
    rates, p50 = figures.good_per_second, figures.p50_us
    pairs = zip(rates[GUARDED], rates[OPEN], strict=True)
    ratio = median(guarded / free for guarded, free in pairs)
    return Verdict(
        headings=("", "req/s", "slowest … fastest round", "p50 µs, 1 conn."),
        rows=[
            (
                name,
                f"{median(rates[name]):,.0f}",
                f"{min(rates[name]):,.0f} … {max(rates[name]):,.0f}",
                f"{median(p50[name]):,.0f}",
            )
            for name in rates
        ],
        bars=[least("req/s with every limit / without limits", _LEAST, ratio)],
        measured=figures,
        notes=(
            f"{options.connections} connections; medians of {options.rounds} rounds; counted "
            f"{'in Redis' if options.redis else 'in memory'}",
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
