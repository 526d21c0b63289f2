"""Every scenario in turn (`make bench-scenarios`), each for a bar of its own.

    python -m benchmarks.scenarios                         an hour
    python -m benchmarks.scenarios slow_model overload     only these

Writes what each finds into docs/benchmarks, NAME.json and where there is one the picture NAME.svg.
Each can be run by itself, with options of its own: `python -m benchmarks.NAME --help`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ROOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A module of this package that can be run."""

    name: str
    bar: str
    minutes: int
    """That it takes, about."""


SCENARIOS = (
    Scenario(
        name="slow_model",
        bar="a model of 10 ms or more pays at most 5 % over ONNX Runtime in process at 1 "
        "connection, and loses no throughput at 16",
        minutes=3,
    ),
    Scenario(
        name="overload",
        bar="at 3 times the capacity, goodput of 90 % of it or more, and the p99 of accepted "
        "calls within the timeout",
        minutes=2,
    ),
    Scenario(
        name="many",
        bar="100 models served and 1,000 deployments: p50 within 1.2 times that with one of each",
        minutes=6,
    ),
    Scenario(
        name="large_input",
        bar="150,528 numbers cost at most 8 ms as JSON, less than 1 ms as bytes, beside the "
        "model's own run",
        minutes=5,
    ),
    Scenario(
        name="guarded",
        bar="fast mode with every limit on keys and deployments has at least 0.95 times the "
        "throughput of that without",
        minutes=2,
    ),
    Scenario(
        name="runs",
        bar="sync p50 of 5 ms in the gateway, 12 ms on Redis, 25 ms embedded; 300 async "
        "runs a second accepted and 100 finished; 100,000 rows cost a factor of 1.3 at most",
        minutes=6,
    ),
    Scenario(
        name="soak",
        bar="30 minutes at 70 % of the capacity: no error, no growth of the memory, p99 of the "
        "last minute within 1.5 times the first's",
        minutes=31,
    ),
)


def section() -> Iterator[str]:
    """Yield the lines about scenarios of the page for people."""
    yield "## Scenarios"
    yield ""
    yield (
        "Each holds Slipstream to a bar of its own, says whether it was held, and writes "
        "everything to the file that `--output` names. `make bench-scenarios` runs all of them."
    )
    yield ""
    yield "| command | bar | minutes |"
    yield "|---|---|---:|"
    for scenario in SCENARIOS:
        command = f"`python -m benchmarks.{scenario.name}`"
        yield f"| {command} | {scenario.bar} | {scenario.minutes} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return 0 if every bar was held, else the highest exit status of a scenario."""
    options = _options(arguments)
    statuses = []
    for scenario in SCENARIOS:
        if options.names and scenario.name not in options.names:
            continue
        print(f"\n{scenario.name}: {scenario.bar}\n", flush=True)
        output = options.output / f"{scenario.name}.json"
        command = [sys.executable, "-m", f"benchmarks.{scenario.name}", "--output", str(output)]
        try:
            statuses.append(subprocess.run(command, cwd=ROOT, check=False).returncode)
        except KeyboardInterrupt:  # which the scenario has had as well, and has said so
            return 130
    return max(statuses)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [scenario.name for scenario in SCENARIOS]
    description, _, examples = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        "python -m benchmarks.scenarios",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(names)}")
    folder = ROOT / "docs" / "benchmarks"
    parser.add_argument("--output", type=Path, default=folder, help="folder (docs/benchmarks)")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(names):
        parser.error(f"{', '.join(sorted(unknown))} is none of {', '.join(names)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
