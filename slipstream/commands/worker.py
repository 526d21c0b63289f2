"""`slipstream worker`: a worker alone, for further machines."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy.exc import SQLAlchemyError

from gateway.auth.pepper import has_pepper, pepper_problem
from gateway.broker.worker_files import WakeFile
from gateway.fleet.processes import ProcessAnnouncer, ProcessStore
from gateway.fleet.service_process import http_address
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.upstream.credentials import UpstreamCredentials
from slipstream.failures import UnusableError, exit_on_error
from slipstream.installation import find_installation
from slipstream.settings import PREFIX, WorkerOptions, worker_environment
from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.process import ChildProcess, Lifeline
from slipstream.supervisor.run_together import run_together
from slipstream.supervisor.signals import StopSignals, run_until_stopped
from slipstream.supervisor.worker_manager import HAND_BACK_SECONDS, WorkerManager
from slipstream.supervisor.worker_metrics import WorkerMetrics, readiness_of
from telemetry import garbage_collection, logs
from telemetry.http_endpoint import HttpEndpoint
from telemetry.options import TcpAddress, read
from transport import TlsError
from transport.bearer_tokens import BearerTokens, TokenFileError

_DESCRIPTION = """\
Run a worker alone: it executes runs of type api, N sync and N async ones at a time.

`slipstream up` starts one by itself; use this on further machines. They share the database
and the broker with the gateways; every other setting comes from SLIPSTREAM_... variables.
Neither kind waits for the other.

    export SLIPSTREAM_DATABASE_URL=postgresql://slipstream@db.internal/slipstream
    export SLIPSTREAM_BROKER_URL=redis://broker.internal:6379/0
    slipstream worker --concurrency 32

    slipstream worker --queues async      # no sync runs
    slipstream worker --metrics 127.0.0.1:9100      # probes and metrics
    slipstream worker --state /var/lib/slipstream   # beside an `up --worker-concurrency 0` there
"""
_EPILOG = """\
The first SIGTERM or Ctrl-C takes no more runs and lets the current ones finish, for
SLIPSTREAM_DRAIN_SECONDS (10); runs that take longer are handed back. A second one stops at once.
"""
_MARGIN_SECONDS = 2.0

log = logs.logger("slipstream.commands.worker")


def main(arguments: Sequence[str], *, module: str = "gateway.worker") -> None:
    """Run a worker, a process of `module`, until a signal."""
    began = time.monotonic()
    options = read(
        WorkerOptions,
        arguments,
        prefix=PREFIX,
        program="slipstream worker",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    with exit_on_error(as_json=False), ExitStack() as cleanup:
        signals = StopSignals()
        signals.install()
        installation = find_installation(options.state)
        installation.check()
        printer = StatusPrinter(as_json=False, started_at=began)
        for note in installation.notes():
            printer.step("worker", note, "dim")
        environment = worker_environment(options, installation.variables)
        settings = installation.settings
        _check_credentials(settings)
        lifeline = Lifeline()

        # With a /metrics of its own, it leaves its metrics out of those of a gateway beside it.
        folder = settings.run.absolute() / "metrics"
        if options.metrics is not None:
            folder = Path(cleanup.enter_context(TemporaryDirectory(prefix="slipstream-worker-")))

        def spawn() -> ChildProcess:
            command = [sys.executable, "-m", module, "--queues", ",".join(options.queues)]
            command += ["--concurrency", str(options.concurrency)]
            command += ["--metrics-folder", str(folder)]
            return ChildProcess.spawn(command, lifeline=lifeline, environment=environment)

        measured = WorkerMetrics(folder)
        manager = WorkerManager(
            spawn,
            printer,
            concurrency=options.concurrency,
            queues=options.queues,
            wake_file=WakeFile(settings.run),
            metrics=measured.supervisor,
            unresponsive_seconds=settings.unresponsive_seconds,
        )
        logs.configure(
            settings.log_level,
            process="worker",
            log_format=settings.log_format,
            file=settings.log_file,
        )
        garbage_collection.resume()
        asyncio.run(_run(manager, measured, signals, settings, options.metrics, printer=printer))


async def _run(
    manager: WorkerManager,
    measured: WorkerMetrics,
    signals: StopSignals,
    settings: Settings,
    metrics: TcpAddress | None,
    *,
    printer: StatusPrinter,
) -> None:
    async def drain() -> None:
        grace = settings.drain_seconds + HAND_BACK_SECONDS + _MARGIN_SECONDS
        await manager.drain(grace)

    address: str | None = None
    tokens = _tokens(settings)
    work = [manager.run()]
    if metrics is not None:
        endpoint = HttpEndpoint(measured.render, lambda: readiness_of(manager))
        try:
            bound = await endpoint.listen(metrics, accepts=tokens.accepts if tokens else None)
        except OSError as error:
            message = f"--metrics: cannot listen on {metrics}: {error.strerror or error}"
            raise UnusableError(message) from error
        address = http_address(bound.host, bound.port)
        printer.step("worker", f"http://{bound}: /metrics, /livez, /readyz", "dim")
    db = Database(settings.database)
    await _check_pepper(db, settings)
    measured.share()
    if metrics is not None:
        measured.show(manager, db)
        if tokens is not None:
            work.append(tokens.reload_on_change(_log_reload))
    manager.start()
    announcer = ProcessAnnouncer(
        ProcessStore(db), lambda: [replace(seen, address=address) for seen in manager.processes()]
    )
    announcer.start()
    try:
        await run_until_stopped(run_together(*work), signals, drain=drain, kill=manager.kill)
    finally:
        await announcer.stop()
        await measured.stop()
        await db.close()


def _tokens(settings: Settings) -> BearerTokens | None:
    """Return the tokens that `/metrics` asks for, as that of gateways; None: it asks for none."""
    try:
        return BearerTokens(file) if (file := settings.metrics_token_file) else None
    except TokenFileError as error:
        raise UnusableError(f"SLIPSTREAM_METRICS_TOKEN_FILE: {error}") from None


def _log_reload(error: str) -> None:
    if error:
        log.error("metrics_tokens_reload_failed", reason=error)
    else:
        log.info("metrics_tokens_reloaded")


async def _check_pepper(db: Database, settings: Settings) -> None:
    """Refuse a pepper that is not the database's: it has the settings of another installation.

    A worker needs no pepper, and starts also while the database is away or has older tables.
    """
    problem = None
    if has_pepper(settings.key_pepper, settings.state):
        with suppress(SQLAlchemyError, OSError):
            problem = await pepper_problem(db, settings.key_pepper, settings.state)
    if problem is not None:
        await db.close()
        raise UnusableError(str(problem))


def _check_credentials(settings: Settings) -> None:
    """Report at once what each new process would report."""
    try:
        UpstreamCredentials.from_settings(settings)
    except TlsError as error:
        raise UnusableError(str(error)) from None
