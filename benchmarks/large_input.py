"""A picture as input: what carrying 150,528 numbers costs beside running the model.

The bars: 1.6 MB of nested JSON cost at most 8 ms more than the model's own run, for a deployment
and under /v2; the same picture as 600 KB of raw FP32 over REST costs less than 1 ms more than a
model that takes no time.

    python -m benchmarks.large_input
    python -m benchmarks.large_input --rounds 7 --seconds 10 --output large_input.json

Two models over FP32 [1, 3, 224, 224]: the mean of each colour, which takes no time, so that only
the overhead is left; and a network with ResNet-18's layers. Every server runs them on one thread
and takes turns at one connection. An overhead is the p50 of calls less the p50 of ONNX Runtime's
own run in this process, in the same round. FastAPI, tuned, validates its body with pydantic; `bare`
does not. The ASGI application runs the model in its own process, on the bytes of the body.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.apps.session import OnnxSession
from benchmarks.calls import (
    FLOW,
    ROWS,
    V2_NESTED,
    HttpCall,
    bytes_call,
    json_call,
    v2_binary_call,
)
from benchmarks.installation import ONE_THREAD, Installation
from benchmarks.load import p50_us, timed
from benchmarks.models import OnnxModel, mean_model, resnet18
from benchmarks.processes import RunningServer
from benchmarks.scenario import Context, Findings, at_most, positive, run_scenario
from benchmarks.servers import IN_PROCESS, TUNED, baseline

TRIGGER = "slipstream, deployment, JSON"
V2_JSON = "slipstream, /v2 JSON"
V2_BINARY = "slipstream, /v2 binary"
VALIDATED = "fastapi-tuned, JSON"
UNVALIDATED = "fastapi-tuned, JSON, bare"
IN_PROCESS_BYTES = f"{IN_PROCESS}, bytes"
BARE = "onnxruntime"
MODELS: Mapping[str, Callable[[Path], OnnxModel]] = {"mean": mean_model, "resnet18": resnet18}
OPTIONS = {
    "--rounds": {"type": positive, "default": 5, "help": "turns of each (%(default)s)"},
    "--seconds": {"type": positive, "default": 4, "help": "of each turn (%(default)s)"},
}

_MAX_OVERHEAD_MS = {
    "mean": {TRIGGER: 8.0, V2_JSON: 8.0, V2_BINARY: 1.0},
    "resnet18": {TRIGGER: 8.0, V2_JSON: 8.0},
}
"""None for bytes and a model of 16 ms: waking three processes from 16 ms of sleep, with cold
caches, takes longer than what they do. That figure stands beside an ASGI application's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFigures:
    """Figures for one model in microseconds, one a round."""

    model: str
    bare_us: Sequence[float]
    """p50 of ONNX Runtime's own run."""
    p50_us: Mapping[str, Sequence[float]]
    body_bytes: Mapping[str, int]

    def overhead_ms(self, what: str) -> float:
        """Return what a call takes longer than the run, the median over the rounds."""
        pairs = zip(self.p50_us[what], self.bare_us, strict=True)
        return median(called - bare for called, bare in pairs) / 1e3


def measure(context: Context) -> Findings:
    """Measure each model."""
    figures = [
        _measure_model(name, create(context.folder), context) for name, create in MODELS.items()
    ]
    return Findings(
        headings=("", "model", "body KB", "p50 ms", "over the run, ms"),
        rows=[row for one in figures for row in _rows(one)],
        bars=[
            at_most(f"{what}: over {one.model}'s run, ms", limit, one.overhead_ms(what))
            for one in figures
            for what, limit in _MAX_OVERHEAD_MS[one.model].items()
        ],
        figures=figures,
        notes=(
            f"medians of {context.options.rounds} rounds of {context.options.seconds} s; one "
            "connection, one thread a run for every server",
        ),
    )


def _measure_model(name: str, model: OnnxModel, context: Context) -> ModelFigures:
    seconds = context.options.seconds
    context.say(f"{name}: starting the servers")
    session = OnnxSession(str(model.path))
    with ExitStack() as stack:
        installation = stack.enter_context(Installation(context.folder / name, model, ONE_THREAD))
        others = {
            program: RunningServer(
                baseline(program), model, Path(sys.executable), context.folder / name / program
            )
            for program in (TUNED, IN_PROCESS)
        }
        for server in others.values():
            stack.callback(server.stop)
        targets = _targets(name, model, installation, others)
        bare: list[float] = []
        p50: dict[str, list[float]] = {what: [] for what in targets}
        for _ in range(context.options.rounds):
            context.say(f"{name}: {BARE}")
            bare.append(median(timed(lambda: session.run(model.inputs), seconds)))
            for what, (call, port) in targets.items():
                context.say(f"{name}: {what}")
                p50[what].append(p50_us([call], port, seconds))
    sizes = {what: len(call.body) for what, (call, _) in targets.items()}
    return ModelFigures(model=name, bare_us=bare, p50_us=p50, body_bytes=sizes)


def _targets(
    name: str, model: OnnxModel, installation: Installation, others: Mapping[str, RunningServer]
) -> dict[str, tuple[HttpCall, int]]:
    """Return each call with its port; each is checked once."""
    path = installation.deploy_model(name, model.path)
    infer, headers = f"/v2/models/{name}/infer", installation.headers
    ours = {
        TRIGGER: json_call(FLOW, model, path, headers),
        V2_JSON: json_call(V2_NESTED, model, infer, headers),
        V2_BINARY: v2_binary_call(model, infer, headers),
    }
    theirs = {
        VALIDATED: (json_call(ROWS, model, "/pictures"), others[TUNED]),
        UNVALIDATED: (json_call(ROWS, model, "/bare"), others[TUNED]),
        IN_PROCESS_BYTES: (bytes_call(model, "/bytes"), others[IN_PROCESS]),
    }
    for call in ours.values():
        installation.server.check(call)
    for call, server in theirs.values():
        server.wait(call)
    return {
        **{what: (call, installation.port) for what, call in ours.items()},
        **{what: (call, server.port) for what, (call, server) in theirs.items()},
    }


def _rows(figures: ModelFigures) -> list[tuple[str, ...]]:
    bare = (BARE, figures.model, "", f"{median(figures.bare_us) / 1e3:,.2f}", "")
    return [
        bare,
        *(
            (
                what,
                figures.model,
                f"{figures.body_bytes[what] / 1e3:,.0f}",
                f"{median(values) / 1e3:,.2f}",
                f"{figures.overhead_ms(what):,.2f}",
            )
            for what, values in figures.p50_us.items()
        ),
    ]


if __name__ == "__main__":
    sys.exit(run_scenario(__doc__, measure, OPTIONS))
