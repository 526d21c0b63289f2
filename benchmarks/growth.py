"""How an installation grows with its models: start-up, memory, and what a call pays for the others.

The bar: 1,000 models in shared processes are all callable within 60 s of being wanted, both after a
restart, where all are wanted at once, and from the first of 1,000 requests on.

    python -m benchmarks.growth
    python -m benchmarks.growth --models 100,300 --output growth.json

For each number of models, a new installation publishes as many copies of a tiny model, 100 of them
to a process. Then it is measured how long it takes from the first request for an inference server
until all models answer; how long everything takes to stop, and to answer again after a restart;
what all processes use while nothing calls; and the p50 of calls of one model, one connection.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.calls import FLOW, json_call
from benchmarks.installation import (
    ONE_THREAD,
    Installation,
    SetupError,
    inference_flow,
    run_command,
)
from benchmarks.load import p50_us
from benchmarks.models import OnnxModel, tiny_model
from benchmarks.plots import draw_growth
from benchmarks.processes import MIB
from benchmarks.scenario import Context, Findings, at_most, positive, run_scenario

OPTIONS = {
    "--models": {"default": "1,100,300,1000", "help": "numbers of models (%(default)s)"},
    "--per-process": {"type": positive, "default": 100, "help": "models in one (%(default)s)"},
    "--seconds": {"type": positive, "default": 3, "help": "of calls (%(default)s)"},
}
_MAX_SECONDS = 60.0
_MODELS = 1_000
_IDLE_SECONDS = 5.0
_POLL_SECONDS = 0.05
_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What an installation of one size takes."""

    models: int
    publish_seconds: float
    callable_seconds: float
    """From the first request for a server until every model answers."""
    stop_seconds: float
    """From the signal until every process has ended."""
    restart_seconds: float
    """From the start of `up` until every model answers."""
    memory_mib: float
    idle_cores: float
    p50_us: float


def measure(context: Context) -> Findings:
    """Measure one installation after the other."""
    model = tiny_model(context.folder)
    sizes = [_measure(int(models), model, context) for models in context.options.models.split(",")]
    largest = max(sizes, key=lambda size: size.models)
    bars = []
    if largest.models == _MODELS:
        bars = [
            at_most("1,000 models are callable, s", _MAX_SECONDS, largest.callable_seconds),
            at_most("… after a restart, s", _MAX_SECONDS, largest.restart_seconds),
        ]
    return Findings(
        headings=(
            "models",
            "callable s",
            "stop s",
            "restart s",
            "MiB (PSS)",
            "idle cores",
            "p50 µs",
        ),
        rows=[
            (
                f"{size.models:,}",
                f"{size.callable_seconds:.1f}",
                f"{size.stop_seconds:.1f}",
                f"{size.restart_seconds:.1f}",
                f"{size.memory_mib:,.0f}",
                f"{size.idle_cores:.2f}",
                f"{size.p50_us:,.0f}",
            )
            for size in sizes
        ],
        bars=bars,
        figures=sizes,
        notes=(
            f"{context.options.per_process} models in a process; publishing {largest.models:,}: "
            f"{largest.publish_seconds:.0f} s",
        ),
        draw=partial(
            draw_growth,
            models=[size.models for size in sizes],
            seconds={
                "until all are callable": [size.callable_seconds for size in sizes],
                "restart": [size.restart_seconds for size in sizes],
            },
            memory_mib=[size.memory_mib for size in sizes],
        ),
    )


def _measure(models: int, model: OnnxModel, context: Context) -> Size:
    folder = context.folder / str(models)
    names = [f"m{number}" for number in range(models)]
    settings = {
        **ONE_THREAD,
        "SLIPSTREAM_MODELS_PER_PROCESS": str(context.options.per_process),
        "SLIPSTREAM_NO_DEMO": "1",
    }
    context.say(f"{models} models: publishing")
    began = time.perf_counter()
    _publish(names, model, folder, settings)
    published = time.perf_counter()
    with Installation(folder, model, settings) as installation:
        context.say(f"{models} models: starting servers")
        wanted = time.perf_counter()
        for name in names:
            installation.post("/node/inference-servers/", {"model": name})
        _until_callable(installation, names, context)
        callable_at = time.perf_counter()
    began_again = time.perf_counter()
    with Installation(folder, model, settings) as installation:
        context.say(f"{models} models: restart")
        _until_callable(installation, names, context)
        restarted = time.perf_counter()
        path = installation.deploy(inference_flow(names[-1]))
        call = json_call(FLOW, model, path, installation.headers)
        installation.server.check(call)
        p50 = p50_us([call], installation.port, context.options.seconds)
        before = installation.server.cpu_seconds()
        time.sleep(_IDLE_SECONDS)
        idle = (installation.server.cpu_seconds() - before) / _IDLE_SECONDS
        memory = installation.server.memory().pss / MIB
    return Size(
        models=models,
        publish_seconds=published - began,
        callable_seconds=callable_at - wanted,
        stop_seconds=began_again - callable_at,
        restart_seconds=restarted - began_again,
        memory_mib=memory,
        idle_cores=idle,
        p50_us=p50,
    )


def _publish(names: list[str], model: OnnxModel, folder: Path, settings: dict[str, str]) -> None:
    sources = folder / "sources"
    sources.mkdir(parents=True)
    files = [sources / f"{name}.onnx" for name in names]
    for file in files:
        file.hardlink_to(model.path)
    state = ("--state", str(folder / "state"), "--json")
    run_command("models", "add", *map(str, files), *state, settings=settings)


def _until_callable(installation: Installation, names: list[str], context: Context) -> None:
    waiting = names
    until = time.monotonic() + _TIMEOUT_SECONDS
    while waiting:
        if time.monotonic() > until:
            raise SetupError(f"{len(waiting)} models are not ready, such as {waiting[0]}")
        waiting = [name for name in waiting if not installation.is_ready(name)]
        context.status.update(f"{len(waiting)} of {len(names)} models are not ready yet")
        time.sleep(_POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(run_scenario(__doc__, measure, OPTIONS))
