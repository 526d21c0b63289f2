"""Every scenario in turn (`make bench-scenarios`).

    python -m benchmarks.scenarios                         an hour
    python -m benchmarks.scenarios slow_model overload     only these

Writes the figures of each to docs/benchmarks: NAME.json and, for some, the picture NAME.svg. Each
can be run alone, with its own options: `python -m benchmarks.NAME --help`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.processes import ROOT

# Module → its bar, and about how many minutes it takes.
SCENARIOS = {
    "slow_model": (
        "a model of 10 ms or more pays at most 5 % over ONNX Runtime in process at 1 connection, "
        "and loses no throughput at 16",
        3,
    ),
    "replicas": (
        "two replicas of a model of 20 ms answer at least 1.8 times as many calls as one",
        2,
    ),
    "overload": (
        "at 3 times the capacity, goodput of 90 % of it or more, and the p99 of accepted calls "
        "within the timeout",
        2,
    ),
    "many": (
        "100 models served and 1,000 deployments: p50 within 1.2 times that with one of each; a "
        "further inference server boots in 0.2 s and takes 15 MiB at most",
        6,
    ),
    "growth": (
        "1,000 models in shared processes are callable within 60 s of being wanted",
        6,
    ),
    "stored": (
        "100,000 deployments and 10,000 models in the database: p50 of fast calls and sync runs "
        "within 1.2 times that with one of each",
        3,
    ),
    "large_input": (
        "150,528 numbers cost at most 8 ms as JSON, less than 1 ms as bytes, beside the model's "
        "own run",
        5,
    ),
    "guarded": (
        "fast mode with every limit on keys and deployments has at least 0.95 times the "
        "throughput of that without",
        2,
    ),
    "consoles": (
        "fast mode with five consoles open has at least 0.97 times the throughput of that without",
        2,
    ),
    "runs": (
        "sync p50 of 5 ms in the gateway, 12 ms on Redis, 25 ms embedded; 300 async runs a second "
        "accepted and 100 finished; 100,000 rows cost a factor of 1.3 at most",
        6,
    ),
    "hosts": (
        "none: what up to 4 hosts without calls ask of the database, and how soon a dead one is "
        "replaced",
        3,
    ),
    "soak": (
        "30 minutes at 70 % of the capacity: no error, no growth of the memory, p99 of the last "
        "minute within 1.5 times the first's",
        31,
    ),
}


def markdown_section() -> Iterator[str]:
    """Yield the lines about scenarios of docs/benchmarks/README.md."""
    yield "## Scenarios"
    yield ""
    yield (
        "Each but `hosts` holds Slipstream to a bar of its own, and says whether it was held. All "
        "write their figures to the file\ngiven with `--output`. `make bench-scenarios` runs them."
    )
    yield ""
    yield "| command | bar | minutes |"
    yield "|---|---|---:|"
    for name, (bar, minutes) in SCENARIOS.items():
        yield f"| `python -m benchmarks.{name}` | {bar} | {minutes} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return 0 if every bar was held, else the highest exit status of a scenario."""
    options = _options(arguments)
    statuses = []
    for name in options.names or SCENARIOS:
        print(f"\n{name}: {SCENARIOS[name][0]}\n", flush=True)
        output = options.output / f"{name}.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", "--output", str(output)]
        try:
            statuses.append(subprocess.run(command, cwd=ROOT, check=False).returncode)
        except KeyboardInterrupt:  # the scenario received it too, and has reported it
            return 130
    return max(statuses)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = ", ".join(SCENARIOS)
    description, _, examples = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        "python -m benchmarks.scenarios",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {names}")
    folder = ROOT / "docs" / "benchmarks"
    parser.add_argument("--output", type=Path, default=folder, help="folder (docs/benchmarks)")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(SCENARIOS):
        parser.error(f"{', '.join(sorted(unknown))}: expected some of {names}")
    return options


if __name__ == "__main__":
    sys.exit(main())
