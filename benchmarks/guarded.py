"""Limits: what calls pay for being counted and bounded.

The bar: fast mode with keys, limits, usage and audit on gives at least 0.95 times the throughput
of that without limits.

    python -m benchmarks.guarded
    python -m benchmarks.guarded --redis redis://127.0.0.1:6379/15 --output guarded.json

One installation, one model, two deployments: one without limits, whose key has none; the other with
every limit, as its key, all too high to be reached. They take turns, every other round in reverse.
Usage and the audit log cannot be switched off, so both have them.
"""

from __future__ import annotations

import sys
from statistics import median

from benchmarks.calls import FLOW, HttpCall, json_call
from benchmarks.installation import ONE_THREAD, Installation, Json, inference_flow
from benchmarks.load import p50_us, run_wrk
from benchmarks.models import OnnxModel, tiny_model
from benchmarks.scenario import Context, Findings, at_least, positive, run_scenario

OPEN, LIMITED = "no limits", "every limit"
OPTIONS = {
    "--rounds": {"type": positive, "default": 24, "help": "turns of each (%(default)s)"},
    "--seconds": {"type": positive, "default": 1, "help": "of each turn (%(default)s)"},
    "--connections": {"type": positive, "default": 64, "help": "for throughput (%(default)s)"},
    "--redis": {"metavar": "URL", "help": "count there, as several gateways would (in memory)"},
}

_LIMITS: Json = dict.fromkeys(("calls_per_minute", "calls_per_day", "concurrent_runs"), 10**9)


def measure(context: Context) -> Findings:
    """Measure both deployments in turn."""
    options = context.options
    context.say("starting")
    model = tiny_model(context.folder)
    settings = dict(ONE_THREAD)
    if options.redis:
        settings["SLIPSTREAM_RATE_LIMIT_URL"] = options.redis
    with Installation(context.folder, model, settings) as installation:
        calls = _calls(installation, model)
        rates: dict[str, list[float]] = {name: [] for name in calls}
        p50: dict[str, list[float]] = {name: [] for name in calls}
        for number in range(options.rounds):
            for name in list(calls)[:: -1 if number % 2 else 1]:
                context.say(f"{number + 1}: {name}")
                load = run_wrk(
                    calls[name],
                    installation.port,
                    connections=options.connections,
                    seconds=options.seconds,
                )
                rates[name].append(load.good_per_second)
                p50[name].append(p50_us([calls[name]], installation.port, 1.0))
    pairs = zip(rates[LIMITED], rates[OPEN], strict=True)
    ratio = median(limited / unlimited for limited, unlimited in pairs)
    return Findings(
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
        bars=[at_least("req/s with every limit / without limits", 0.95, ratio)],
        figures={"good_per_second": rates, "p50_us": p50},
        notes=(
            f"{options.connections} connections; medians of {options.rounds} rounds; counted "
            f"{'in Redis' if options.redis else 'in memory'}",
        ),
    )


def _calls(installation: Installation, model: OnnxModel) -> dict[str, HttpCall]:
    """Return the call of each deployment, with a key of its own."""
    installation.publish("tiny", model.path)
    installation.serve("tiny")
    calls = {}
    for name, limits in ((OPEN, None), (LIMITED, _LIMITS)):
        path = installation.deploy(inference_flow("tiny"), limits=limits)
        key = installation.post("/node/api-keys/", {"name": name, "limits": limits})["key"]
        calls[name] = json_call(FLOW, model, path, {"X-API-Key": key})
        installation.server.check(calls[name])
    return calls


if __name__ == "__main__":
    sys.exit(run_scenario(__doc__, measure, OPTIONS))
