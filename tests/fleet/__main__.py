"""Three hosts under load, to which everything happens that happens to hosts; then what it cost.

make fleet
make fleet ARGS="--only clock"                 one step
make fleet ARGS="--only rolling --repeat 7"    21 reloads and 21 restarts of hosts
make fleet ARGS="--from 18a2030"               hosts of an older release, which are upgraded first
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httpx
from rich.console import Console
from rich.live import Live
from rich.table import Table

from tests import onnx_models
from tests.chaos.audit import Audit
from tests.chaos.call_log import TERMINAL, CallLog
from tests.chaos.callers import Callers
from tests.chaos.final_state import settle
from tests.chaos.outages import Outages
from tests.chaos.targets import counting_flow, deploy
from tests.fleet.bed import Bed
from tests.fleet.fast_calls import FastCalls
from tests.fleet.front import Front
from tests.fleet.network import Network
from tests.fleet.outgoing_calls import OutgoingCalls, executed_wrongly
from tests.fleet.replicas import IRIS, PAIR, REPLICAS, Replicas, ready_replicas
from tests.fleet.steps import Stage, Step, steps
from tests.gateway.webhooks.receiver import Receiver
from tests.system.installation import Installation, chain

CALLERS = 4
_CONVERGE_SECONDS = 60.0
_QUIET_SECONDS = 5.0
"""Before each step: its cost is its own."""
_SETTLE_SECONDS = 90.0
_ONCE_SECONDS = 60
"""For a run that is not repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a step cost.

    Attributes:
        calls: how many fast calls ended meanwhile.
        reasons: of those that failed.
        late_seconds: the longest time after a hit in which a call began that failed.
        converged_seconds: from the end of the step until all hosts and replicas were there again;
            None: they were not.
        broken: the promises that were not kept.
    """

    step: Step
    calls: int
    reasons: Counter[str]
    late_seconds: float
    converged_seconds: float | None
    broken: Sequence[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every promise was kept, else 1."""
    options = _options(arguments)
    console = Console(highlight=False)
    if os.geteuid() != 0:
        console.print("run this as root: it makes network namespaces")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no network is left behind
    with tempfile.TemporaryDirectory(prefix="ss-") as folder, Network() as network:
        Path(folder).chmod(0o711)  # PostgreSQL runs as another user
        console.print("starting a database, a broker, a store and a host ...")
        bed = Bed(network, Path(folder), options.release)
        try:
            bed.start_first()
            return asyncio.run(_run(bed, Path(folder), options, console))
        finally:
            bed.close()


async def _run(bed: Bed, folder: Path, options: argparse.Namespace, console: Console) -> int:
    first = bed.hosts[0]
    assert first.up is not None
    outages, counter, receiver = (
        Outages(),
        OutgoingCalls(bed.outside),
        Receiver(folder, bed.outside),
    )
    new_key = ("keys", "create", "--name", "fleet", "--manage", "--json")
    key = json.loads(await asyncio.to_thread(first.command, *new_key))["key"]
    installation = Installation(first.up, key)
    console.print("starting two more hosts, one after the other ...")
    await asyncio.to_thread(_serve, bed, installation, onnx_models.mlp(folder / "pair.onnx"))
    targets = await asyncio.to_thread(deploy, installation, counter.url, receiver.url("runs"))
    once = {"execution_mode": "async", "deployment_type": "api", "timeout_seconds": _ONCE_SECONDS}
    targets["async", "api, not repeated"] = await asyncio.to_thread(
        lambda: installation.deploy(counting_flow(counter.url), **once)
    )
    front = Front({host.name: host.url for host in bed.hosts})
    audit, call_log = Audit(bed.database_url), CallLog(outages)
    await audit.install()
    callers = Callers("http://fleet", installation.key, call_log, Random(1), front)
    # Not those of `targets`, which write each run before they answer.
    chains = [await asyncio.to_thread(installation.deploy, chain(one)) for one in (IRIS, PAIR)]
    fast = FastCalls(callers, chains)
    view = View(bed, front, fast)
    outcomes: list[Outcome] = []
    with Live(view, console=console, refresh_per_second=2, transient=True):
        assert await _converged(bed, installation), "the hosts do not get ready"
        tasks = [
            asyncio.create_task(
                (callers.accepted if mode == "async" else callers.sync)(f"{mode} {kind}", one)
            )
            for (mode, kind), one in targets.items()
            if mode != "fast"
        ]
        tasks += [asyncio.create_task(fast.run()) for _ in range(CALLERS)]
        await asyncio.sleep(_QUIET_SECONDS)
        all_steps = steps(outages, upgrade=options.release is not None)
        for step in options.repeat * [one for one in all_steps if options.only in one.name]:
            view.step = step.name
            outcomes.append(await _take(step, bed, installation, fast, front))
            for line in _lines(outcomes[-1]):
                console.print(line, markup=False, soft_wrap=True)
        view.step = "callers finish"
        callers.stopping.set()
        await asyncio.gather(*tasks)
        await settle(audit.unfinished, _SETTLE_SECONDS)
    broken = [f"{one.step.name}: {what}" for one in outcomes for what in one.broken]
    broken += await _lost(audit, call_log)
    ended_at = await audit.ended_at()
    broken += executed_wrongly(call_log.calls, await audit.rows(), ended_at, counter)
    await callers.close()
    installation.http.close()
    counter.close()
    receiver.close()
    console.print(f"{len(call_log.calls)} runs, {fast.count} fast calls")
    for line in broken:
        console.print(f"BROKEN  {line}", markup=False)
    if not broken:
        console.print("every promise was kept")
        return 0
    log = Path(tempfile.gettempdir()) / "slipstream-fleet.log"
    log.write_text("".join(host.log() for host in bed.hosts))
    console.print(f"{log} has what the hosts logged")
    return 1


def _serve(bed: Bed, installation: Installation, pair: Path) -> None:
    """Start all replicas on the first host, as after a power cut, and then the other hosts."""
    installation.add_model(PAIR, pair)
    for model, count in REPLICAS.items():
        bed.hosts[0].command("models", "serve", model, "--replicas", str(count))
    bed.start_others()
    bed.start_server()


async def _take(
    step: Step, bed: Bed, installation: Installation, fast: FastCalls, front: Front
) -> Outcome:
    """Let a step happen, wait until the hosts have recovered, and count what it cost."""
    mark, passed_on = fast.mark(), front.passed_on

    async def recovered() -> None:
        assert await _converged(bed, installation), f"{step.name}: a host is not back"

    async def replicas() -> Replicas:
        async with _client(installation) as http:
            return await ready_replicas(http, bed.hosts[0].url)

    stage = Stage(bed, recovered, replicas)
    await step.act(stage)
    ended = time.monotonic()
    converged = await _converged(bed, installation)
    converged_seconds = time.monotonic() - ended if converged else None
    await asyncio.sleep(_QUIET_SECONDS)  # what has just returned must not fail either
    calls, failures = fast.since(mark)
    late = [failure.seconds_after(stage.hits) for failure in failures]
    broken = []
    if not converged:
        broken.append(f"not every host and replica is back after {_CONVERGE_SECONDS:g} s")
    passed_on = front.passed_on - passed_on
    if passed_on and not stage.hits:
        broken.append(f"{passed_on} calls were refused by hosts that said that they were ready")
    most = CALLERS * stage.ended
    if len(failures) > most:
        broken.append(f"{len(failures)} fast calls failed, {most} were in flight at most")
    if late and max(late) > step.back_seconds:
        limit = step.back_seconds
        broken.append(f"a call failed that began {max(late):.1f} s after a hit, not {limit:g}")
    return Outcome(
        step=step,
        calls=calls,
        reasons=Counter(failure.reason for failure in failures),
        late_seconds=max(late, default=0.0),
        converged_seconds=converged_seconds,
        broken=broken,
    )


async def _converged(bed: Bed, installation: Installation) -> bool:
    """Wait until all hosts are ready and each runs its share; return whether that is so."""
    until = time.monotonic() + _CONVERGE_SECONDS
    async with _client(installation) as http:
        while time.monotonic() < until:
            if all([await _is_ready(http, host.url, spread=bed.spreads) for host in bed.hosts]):
                return True
            await asyncio.sleep(0.2)
    return False


async def _is_ready(http: httpx.AsyncClient, url: str, *, spread: bool) -> bool:
    try:
        ready = await http.get(f"{url}/readyz")
        replicas = await ready_replicas(http, url)
    except (httpx.TransportError, ValueError, KeyError):
        return False
    return ready.is_success and replicas.are_all_ready() and (replicas.are_spread() or not spread)


def _client(installation: Installation) -> httpx.AsyncClient:
    return httpx.AsyncClient(headers={"X-API-Key": installation.key}, timeout=2)


async def _lost(audit: Audit, call_log: CallLog) -> list[str]:
    """Return the runs that were lost, did not end, or ended twice."""
    rows = await audit.rows()
    accepted = call_log.returned_run_ids()
    lost = {*call_log.lost, *(accepted - rows.keys())}
    return [
        *(f"run {one} was accepted and is lost" for one in sorted(lost)),
        *(f"run {one} has not ended" for one, row in rows.items() if row.status not in TERMINAL),
        *(f"run {one} ended twice" for one in await audit.ended_twice()),
        *(f"an answer is not JSON: {text}" for text in call_log.not_json),
    ]


class View:
    """The live table."""

    def __init__(self, bed: Bed, front: Front, fast: FastCalls) -> None:
        self.step = "the hosts start"
        self._bed = bed
        self._front = front
        self._fast = fast

    def __rich__(self) -> Table:
        """Return the table as of now."""
        failed = len(self._fast.failures)
        table = Table(title=f"{self.step}  ·  {self._fast.count} fast calls, {failed} failed")
        for heading in ("host", "address", "slipstream", "answers", "clock", "in flight"):
            table.add_column(heading)
        for host in self._bed.hosts:
            table.add_row(
                host.name,
                host.machine.address,
                "runs" if host.runs else "ended",
                "yes" if self._front.up[host.name] else "no",
                f"{host.clock_seconds:+d} s",
                str(self._front.in_flight[host.name]),
            )
        return table


def _lines(outcome: Outcome) -> list[str]:
    failed, converged = outcome.reasons.total(), outcome.converged_seconds
    last = f", up to {outcome.late_seconds:.1f} s after a hit" if failed else ""
    back = "NOT BACK" if converged is None else f"back after {converged:.1f} s"
    kept = "BROKEN" if outcome.broken else "kept"
    title = f"{kept:6}  {outcome.step.name}: {failed} of {outcome.calls} failed{last}; {back}"
    return [title, *(f"        {count} x {why}" for why, count in outcome.reasons.most_common(5))]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    description, _, examples = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        "python -m tests.fleet",
        description=description,
        epilog=examples + "\nexit status: 0 every promise was kept, 1 one was broken",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", help="the steps whose names contain this")
    parser.add_argument(
        "--repeat", type=int, default=1, help="how often to take them (%(default)s)"
    )
    parser.add_argument(
        "--from", dest="release", metavar="REVISION", help="what the hosts run at first"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
