"""What one fast call passes through: project files and Python function calls, by process.

    python -m benchmarks.call_profile [--calls 25] [--list]

Starts `slipstream up` with a tiny model, warms it up, and then counts, for one call at a time on a
keep-alive connection, the Python calls on the event-loop threads of the gateway and of the
inference server, from the request to 50 ms after the answer, so that what is counted and recorded
afterwards is included. Background work falls into some of these windows, so a function counts as
often as in the window where it was called least. A resumed coroutine counts as a call.
"""

from __future__ import annotations

import argparse
import http.client
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import psutil
from rich.console import Console

from benchmarks.calls import FLOW, HttpCall, json_call
from benchmarks.installation import ONE_THREAD, Installation
from benchmarks.models import tiny_model
from benchmarks.processes import ROOT
from benchmarks.scenario import positive, print_table

_WARMUP_CALLS = 200
_BEFORE_SECONDS = 0.01
_AFTER_SECONDS = 0.05
_TIMEOUT_SECONDS = 10.0
GATEWAY, SERVER = "gateway", "inference server"


def main() -> None:
    """Measure and print."""
    description, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        "python -m benchmarks.call_profile",
        description=description,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--calls", type=positive, default=25, help="calls to count (%(default)s)")
    parser.add_argument("--list", action="store_true", help="list the files with their calls")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="slipstream-profile-") as name:
        folder = Path(name)
        settings = {
            **ONE_THREAD,
            "BENCH_PROFILE": name,
            "PYTHONPATH": f"{ROOT / 'benchmarks' / 'profiler'}:{ROOT}",
        }
        model = tiny_model(folder)
        with Installation(folder, model, settings) as installation:
            path = installation.deploy_model("tiny", model.path)
            call = json_call(FLOW, model, path, installation.headers)
            processes = _processes(installation.server.processes())
            connection = http.client.HTTPConnection(
                "127.0.0.1", installation.port, timeout=_TIMEOUT_SECONDS
            )
            for _ in range(_WARMUP_CALLS):
                _send(connection, call)
            profiles = [_profile(connection, call, processes, folder) for _ in range(options.calls)]
            connection.close()
    console = Console(highlight=False)
    rows, files = [], set()
    for role in (GATEWAY, SERVER):
        functions = _minimum([Counter(profile[role]) for profile in profiles])
        counts: Counter[str] = Counter()
        for function, count in functions.items():
            counts[_file(function)] += count
        files |= set(counts)
        shortest = min((profile[role] for profile in profiles), key=len)
        path_taken = [_file(function) for function in shortest if function in functions]
        changes = sum(one != other for one, other in pairwise(path_taken))
        rows.append((role, f"{len(counts)}", f"{counts.total()}", f"{changes}"))
        if options.list:
            print_table(console, (role, "calls"), [(p, str(n)) for p, n in counts.most_common()])
    totals = (sum(int(row[column]) for row in rows) for column in (2, 3))
    rows.append(("one fast call", f"{len(files)}", *map(str, totals)))
    print_table(console, ("", "files", "Python calls", "changes of file"), rows)


def _minimum(profiles: Sequence[Counter[str]]) -> Counter[str]:
    common = profiles[0]
    for profile in profiles[1:]:
        common = common & profile
    return common


def _file(function: str) -> str:
    return function.partition(":")[0]


def _processes(found: list[psutil.Process]) -> dict[str, psutil.Process]:
    """Return the gateway and the inference server, which calls itself `MODEL VERSION`."""
    by_role = {}
    for process in found:
        if process.name().startswith("tiny"):
            by_role[SERVER] = process
        elif "gateway" in process.cmdline():
            by_role[GATEWAY] = process
    if by_role.keys() != {GATEWAY, SERVER}:
        sys.exit(f"found {by_role} among {[process.name() for process in found]}")
    return by_role


def _profile(
    connection: http.client.HTTPConnection,
    call: HttpCall,
    processes: dict[str, psutil.Process],
    folder: Path,
) -> dict[str, list[str]]:
    """Return `FILE:FUNCTION` of each Python call, by role."""
    for process in processes.values():
        process.send_signal(signal.SIGUSR1)
    time.sleep(_BEFORE_SECONDS)
    _send(connection, call)
    time.sleep(_AFTER_SECONDS)
    calls = {}
    for role, process in processes.items():
        process.send_signal(signal.SIGUSR2)
        written = folder / f"{process.pid}.json"
        end = time.monotonic() + _TIMEOUT_SECONDS
        while not written.exists():
            if time.monotonic() > end:
                sys.exit(f"the {role} did not write its profile")
            time.sleep(0.01)
        calls[role] = json.loads(written.read_text())
        written.unlink()
    return calls


def _send(connection: http.client.HTTPConnection, call: HttpCall) -> None:
    connection.request(call.method, call.path, call.body, dict(call.headers))
    content = connection.getresponse().read()
    call.check(content)


if __name__ == "__main__":
    main()
