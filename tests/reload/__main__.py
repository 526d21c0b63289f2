"""Reload again and again while clients call, and count every answer that is not a good one.

python -m tests.reload
python -m tests.reload --calls 100000 --from HEAD~1     # the first reload is an upgrade
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.reload.load import Load, target_of
from tests.slipstream.running import Up, environment
from tests.system.installation import Installation


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every call had a good answer."""
    parser = argparse.ArgumentParser("python -m tests.reload", description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=4, help="of each kind")
    parser.add_argument("--gateways", type=int, default=2)
    parser.add_argument("--from", dest="before", help="commit to start with; HEAD is the upgrade")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="slipstream-reload-") as folder:
        code = Path(folder) / "code"
        _git("clone", "--quiet", "--shared", str(Path.cwd()), str(code))
        to = _git("rev-parse", "HEAD", code=code)
        if options.before:
            _git("checkout", "--quiet", _git("rev-parse", options.before), code=code)
        up = Up(
            Path(folder) / "state",
            *("--workers", str(options.gateways)),
            code=code,
            SLIPSTREAM_DRAIN_DELAY_SECONDS="5",
        )
        up.until("ready for")
        installation = Installation(up)
        load = Load(target_of(installation), clients=options.clients)
        reloads: list[float] = []
        began = time.monotonic()
        with load.running() as outcome:
            load.until(options.calls // 20)
            _git("checkout", "--quiet", to, code=code)
            while outcome.calls < options.calls:
                reloads.append(_reload(up.state, code))
                load.until(outcome.calls + options.calls // 20)
        seconds = time.monotonic() - began
        installation.stop()
    report = {
        "calls": outcome.calls,
        "bad": dict(outcome.bad),
        "good": dict(outcome.good),
        "reloads": len(reloads),
        "slowest_reload_seconds": round(max(reloads), 1),
        "slowest_call_seconds": round(outcome.slowest_seconds, 3),
        "calls_per_second": round(outcome.calls / seconds),
        "upgraded": [options.before, to] if options.before else None,
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return 1 if outcome.bad else 0


def _reload(state: Path, code: Path) -> float:
    began = time.monotonic()
    command = [sys.executable, "-m", "slipstream", "reload", "--state", str(state)]
    subprocess.run(command, cwd=code, env=environment(), check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def _git(*words: str, code: Path | None = None) -> str:
    done = subprocess.run(["git", *words], cwd=code, check=True, capture_output=True, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
