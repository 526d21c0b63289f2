"""Recorded runs: what fast calls pay for a run that is written before they are answered.

    python -m benchmarks.recorded_runs
    python -m benchmarks.recorded_runs --database postgresql://postgres@127.0.0.1:5432/empty

One installation, one model, and a deployment for each way to record. They take turns, every other
round in reverse. Calls with an Idempotency-Key have one of their own each.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any
from uuid import uuid4

from benchmarks.calls import FLOW, HttpCall, json_call
from benchmarks.installation import ONE_THREAD, Installation, Json, inference_flow
from benchmarks.load import p50_us, run_load, run_wrk
from benchmarks.models import OnnxModel, tiny_model
from benchmarks.scenario import Context, Findings, positive, run_scenario

_KEYS = 20_000
"""Distinct Idempotency-Keys of a load: more than it can use."""
_SAMPLE, _ALL, _WEBHOOK, _KEYED = "sample", "all", "webhook", "Idempotency-Key"
_SETTINGS: dict[str, Json] = {
    _SAMPLE: {},
    _ALL: {"record_runs": "all"},
    _WEBHOOK: {
        "notification_method": "webhook",
        "callback_url": "http://127.0.0.1:9/",  # refuses connections
        "webhook_events": ["run.failed"],
    },
    _KEYED: {},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "--rounds": {"type": positive, "default": 4, "help": "turns of each (%(default)s)"},
    "--seconds": {"type": positive, "default": 3, "help": "of each load (%(default)s)"},
    "--connections": {"type": positive, "default": 64, "help": "for throughput (%(default)s)"},
    "--database": {"metavar": "URL", "help": "an empty PostgreSQL database (SQLite)"},
}


def measure(context: Context) -> Findings:
    """Measure all ways in turn."""
    options = context.options
    context.say("starting")
    model = tiny_model(context.folder)
    settings = {
        **ONE_THREAD,
        "SLIPSTREAM_WORKER_CONCURRENCY": "0",
        "SLIPSTREAM_WEBHOOK_ALLOW": "127.0.0.0/8",
        "SLIPSTREAM_WEBHOOK_ALLOW_HTTP": "1",
    }
    if options.database:
        settings["SLIPSTREAM_DATABASE_URL"] = options.database
    rates: dict[str, list[float]] = {way: [] for way in _SETTINGS}
    cpu: dict[str, list[float]] = {way: [] for way in _SETTINGS}
    latencies: dict[str, list[float]] = {way: [] for way in _SETTINGS}
    with Installation(context.folder, model, settings) as installation:
        calls = _calls(installation, model)
        for number in range(options.rounds):
            for way in list(calls)[:: -1 if number % 2 else 1]:
                context.say(f"{number + 1}: {way}")
                used = _cpu_seconds(installation)
                rate = _rate(way, calls[way], installation.port, options)
                cpu[way].append(
                    (_cpu_seconds(installation) - used) / (rate * options.seconds) * 1e6
                )
                rates[way].append(rate)
                alone = _with_keys(calls[way]) if way == _KEYED else [calls[way]]
                latencies[way].append(p50_us(alone, installation.port, options.seconds))
    return Findings(
        headings=(
            "recorded",
            "req/s",
            "times sample",
            "gateway's CPU µs a call",
            "p50 µs, 1 conn.",
        ),
        rows=[
            (
                way,
                f"{median(rates[way]):,.0f}",
                f"{median(rates[way]) / median(rates[_SAMPLE]):.2f}",
                f"{median(cpu[way]):,.0f}",
                f"{median(latencies[way]):,.0f}",
            )
            for way in _SETTINGS
        ],
        bars=[],
        figures={"per_second": rates, "cpu_us": cpu, "p50_us": latencies},
        notes=(
            f"{options.connections} connections; medians of {options.rounds} rounds; on "
            f"{'PostgreSQL' if options.database else 'SQLite'}",
            "calls with keys are made by Slipstream's own generator, as wrk repeats one request",
        ),
    )


def _cpu_seconds(installation: Installation) -> float:
    """Return the CPU time that the gateway has used."""
    (gateway,) = (one for one in installation.server.processes() if "gateway" in one.cmdline())
    times = gateway.cpu_times()
    return times.user + times.system


def _rate(way: str, call: HttpCall, port: int, options: argparse.Namespace) -> float:
    """Return the good answers per second of a closed loop."""
    connections, seconds = options.connections, options.seconds
    if way != _KEYED:
        return run_wrk(call, port, connections=connections, seconds=seconds).good_per_second
    calls = _with_keys(call)
    result = run_load(calls, port, connections=connections, seconds=seconds, warmup=0)
    return result.answered / result.seconds


def _calls(installation: Installation, model: OnnxModel) -> dict[str, HttpCall]:
    """Return the call of each deployment."""
    installation.publish("tiny", model.path)
    installation.serve("tiny")
    calls = {}
    for way, settings in _SETTINGS.items():
        path = installation.deploy(inference_flow("tiny"), **settings)
        calls[way] = json_call(FLOW, model, path, installation.headers)
        installation.server.check(calls[way])
    return calls


def _with_keys(call: HttpCall) -> Sequence[HttpCall]:
    return [
        replace(call, headers={**call.headers, "Idempotency-Key": str(uuid4())})
        for _ in range(_KEYS)
    ]


if __name__ == "__main__":
    sys.exit(run_scenario(__doc__, measure, OPTIONS))
