"""Checks of what the machine offers: libraries, locale, broker, workers, ports."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from gateway.broker.broker import Broker, BrokerKind
from gateway.broker.celery_app import connection_error
from gateway.broker.worker_files import read_heartbeats
from gateway.settings import Settings
from inference_server.runtime.host import (
    STRING_NORMALIZER_LOCALE,
    has_locale,
    installation_of_locale,
    plan_threads,
)
from slipstream.doctor.finding import Finding, good, warning, wrong
from slipstream.installation import Installation
from slipstream.readiness import fetch_readiness
from slipstream.settings import reachable
from slipstream.supervisor import ports
from slipstream.workspace import broker_of

_LIBRARIES = (
    "onnxruntime",
    "onnx",
    "numpy",
    "grpcio",
    "protobuf",
    "fastapi",
    "uvicorn",
    "sqlalchemy",
    "celery",
    "pydantic",
)
_STALE_SECONDS = 30.0


def check_machine(installation: Installation) -> Iterator[Finding]:
    """Check what the machine and the installation offer."""
    settings = installation.settings
    yield _check_versions()
    yield good("threads", f"{plan_threads()}; inference servers share them")
    yield _check_locale()
    yield from _check_broker(installation)
    if installation.running is None:
        yield from _check_ports(settings)
    if settings.anonymous_v2:
        yield warning(
            "anonymous access",
            "SLIPSTREAM_ANONYMOUS_V2 opens /v2 and gRPC to every process on this machine",
            "unset it unless clients cannot send a key",
        )


def _check_versions() -> Finding:
    found, missing = [f"python {platform.python_version()}"], []
    for library in _LIBRARIES:
        try:
            found.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            missing.append(library)
    if missing:
        return wrong("versions", f"not installed: {', '.join(missing)}", "run `make setup` again")
    return good("versions", ", ".join(found))


def _check_locale() -> Finding:
    if has_locale():
        return good("locale", f"{STRING_NORMALIZER_LOCALE} is installed")
    return warning(
        "locale",
        f"{STRING_NORMALIZER_LOCALE} is missing: models that normalise strings do not load",
        installation_of_locale(),
    )


def _check_broker(installation: Installation) -> Iterator[Finding]:
    settings = installation.settings
    broker = broker_of(settings)
    if broker.kind is not BrokerKind.FOLDER or settings.state.exists():
        yield _check_connection(broker)
    else:
        yield good("broker", f"{broker.display_url}; the first start makes it")
    yield from _check_workers(installation)


def _check_connection(broker: Broker) -> Finding:
    reason = connection_error(broker)
    if reason is None:
        return good("broker", f"{broker.display_url} can be used")
    return wrong(
        "broker",
        f"{broker.display_url} cannot be used: {reason}",
        "check that it runs and can be reached, or correct SLIPSTREAM_BROKER_URL; meanwhile flows "
        "of type server run, and runs of type api wait",
    )


def _check_workers(installation: Installation) -> Iterator[Finding]:
    found = False
    for heartbeat, age in read_heartbeats(installation.settings.run):
        found = True
        runs = ", ".join(
            f"{busy} of {heartbeat.concurrency} {queue} runs"
            for queue, busy in heartbeat.busy.items()
        )
        text = f"process {heartbeat.pid} executes {runs}"
        if age > _STALE_SECONDS:
            fix = "if it hangs, kill it: its runs are found and run again"
            yield warning("worker", f"{text}; no heartbeat for {age:.0f} s", fix)
        elif not heartbeat.ready:
            yield warning("worker", f"{text}; it takes no runs at the moment", "see its log")
        else:
            yield good("worker", text)
    if not found and installation.running:
        yield good("worker", "none runs here; it may be asleep, or on another machine")


def _check_ports(settings: Settings) -> Iterator[Finding]:
    """Check the ports of a state folder on which nothing runs."""
    for name, port in (("REST port", settings.port), ("gRPC port", settings.grpc_port)):
        reason = ports.why_unavailable(settings.host, port)
        if not reason:
            text = f"{port} on {settings.host} is free; nothing runs on {settings.state}"
            yield good(name, text)
        elif port == settings.port and _gateway_answers(settings):
            yield wrong(
                name,
                f"a gateway of another installation answers at {settings.host}:{port}; nothing "
                f"runs on {settings.state}",
                "name the state folder of the running installation with --state",
            )
        else:
            yield wrong(name, reason, "or set SLIPSTREAM_PORT and SLIPSTREAM_GRPC_PORT")


def _gateway_answers(settings: Settings) -> bool:
    return fetch_readiness(reachable(settings.host), settings.port).is_gateway
