"""A picture as input: what carrying 150,528 numbers costs beside running the model.

The bars: 1.6 MB of nested JSON cost at most 8 ms more than the model's own run, of a trigger and
of /v2; the same picture as 600 KB of raw FP32 over REST costs less than 1 ms.

    python -m benchmarks.large_input
    python -m benchmarks.large_input --rounds 7 --seconds 10 --output large_input.json

Two models, both over FP32 [1, 3, 224, 224]: the mean of each colour, which takes no time, so that
the overhead is all there is; and a network with ResNet-18's layers. Everybody runs them on one
thread and takes turns at one connection; an overhead is the p50 of calls less the p50 of ONNX
Runtime's own run in this process, both of the same round. FastAPI, tuned, stands for what people
have otherwise: its body is checked by pydantic; without the check it is `bare`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.apps.session import Session
from benchmarks.bars import most
from benchmarks.caller import Caller, timed
from benchmarks.forms import Call
from benchmarks.model import Model
from benchmarks.options import count
from benchmarks.picture_calls import flow_call, rows_call, v2_binary_call, v2_json_call
from benchmarks.pictures import mean, picture, resnet18
from benchmarks.processes import Started
from benchmarks.scenario import Stage, Verdict, play
from benchmarks.servers import BASELINES, TUNED
from benchmarks.sites import ONE_THREAD, Site
from benchmarks.wire import wire

TRIGGER = "slipstream, trigger JSON"
V2_JSON = "slipstream, /v2 JSON"
V2_BINARY = "slipstream, /v2 binary"
CHECKED = "fastapi-tuned, JSON"
UNCHECKED = "fastapi-tuned, JSON, bare"
BARE = "onnxruntime"

_MOST_MS = {TRIGGER: 8.0, V2_JSON: 8.0, V2_BINARY: 1.0}
_WARM_SECONDS = 0.5

Write = Callable[[Path], Path]
_MODELS: Mapping[str, Write] = {"mean": mean, "resnet18": resnet18}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One model's; microseconds, one number a round."""

    model: str
    bare_us: Sequence[float]
    """p50 of ONNX Runtime's own run."""
    p50_us: Mapping[str, Sequence[float]]
    body_bytes: Mapping[str, int]

    def overhead_ms(self, what: str) -> float:
        """Return the median over the rounds of what a call takes longer than the run."""
        pairs = zip(self.p50_us[what], self.bare_us, strict=True)
        return median(called - bare for called, bare in pairs) / 1e3


@dataclass(frozen=True, slots=True)
class _Target:
    call: Call
    port: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run."""
    return play("large_input", __doc__, _add_options, _measure, arguments)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=count, default=5, help="turns of each (%(default)s)")
    parser.add_argument("--seconds", type=count, default=4, help="of each turn (%(default)s)")


def _measure(options: argparse.Namespace, stage: Stage) -> Verdict:
    stage.expect(len(_MODELS) * options.rounds * 6)
    return _verdict([_one(name, write, options, stage) for name, write in _MODELS.items()], options)


def _one(name: str, write: Write, options: argparse.Namespace, stage: Stage) -> Figures:
    stage.say(f"{name}: starting the servers")
    folder = stage.folder / name
    folder.mkdir()
    path = write(folder / "model.onnx")
    session, numbers = Session(str(path)), picture()
    expected = session.run(numbers)
    model = Model(path=path, rows=[], expected=expected.tolist())
    with ExitStack() as stack:
        site = stack.enter_context(Site(folder, model, ONE_THREAD))
        targets = _ours(site, name, path, numbers, expected)
        server = next(server for server in BASELINES if server.name == TUNED)
        fastapi = Started(server, model, Path(sys.executable), folder / "fastapi")
        stack.callback(fastapi.stop)
        checked, unchecked = (rows_call(at, numbers, expected) for at in ("/pictures", "/bare"))
        fastapi.wait(checked)
        targets[CHECKED] = _Target(checked, fastapi.port)
        targets[UNCHECKED] = _Target(unchecked, fastapi.port)
        bare: list[float] = []
        p50: dict[str, list[float]] = {what: [] for what in targets}
        for _ in range(options.rounds):
            stage.say(f"{name}: {BARE}")
            bare.append(median(timed(lambda: session.run(numbers), options.seconds)))
            stage.step()
            for what, target in targets.items():
                stage.say(f"{name}: {what}")
                p50[what].append(_p50(target, options.seconds))
                stage.step()
    sizes = {what: len(target.call.body) for what, target in targets.items()}
    return Figures(model=name, bare_us=bare, p50_us=p50, body_bytes=sizes)


def _ours(
    site: Site, name: str, path: Path, numbers: np.ndarray, expected: np.ndarray
) -> dict[str, _Target]:
    trigger = site.offer_model(name, path)
    infer = f"/v2/models/{name}/infer"
    calls = {
        TRIGGER: flow_call(trigger, numbers, expected, site.headers),
        V2_JSON: v2_json_call(infer, numbers, expected, site.headers),
        V2_BINARY: v2_binary_call(infer, numbers, expected, site.headers),
    }
    return {what: _Target(one, site.port) for what, one in calls.items()}


def _p50(target: _Target, seconds: float) -> float:
    request = wire(target.call, target.port)
    with Caller(target.port) as caller:
        target.call.check(caller.ask(request).body)
        caller.time([request], _WARM_SECONDS)
        return median(caller.time([request], seconds))


def _verdict(found: Sequence[Figures], options: argparse.Namespace) -> Verdict:
    return Verdict(
        headings=("", "model", "body KB", "p50 ms", "over the run, ms"),
        rows=[row for figures in found for row in _rows(figures)],
        bars=[
            most(f"{what}: over {figures.model}'s run, ms", limit, figures.overhead_ms(what))
            for figures in found
            for what, limit in _MOST_MS.items()
        ],
        measured=found,
        notes=(
            f"medians of {options.rounds} rounds of {options.seconds} s; one connection, one "
            "thread a run for everybody",
        ),
    )


def _rows(figures: Figures) -> list[tuple[str, ...]]:
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
    sys.exit(main())
