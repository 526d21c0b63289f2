"""Checks of the machine: threads, locale, installed versions, ports."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gateway.settings import Settings
from inference_server.runtime.host import STRING_NORMALIZER_LOCALE, has_locale, plan_threads
from slipstream.doctor.broker import check_broker
from slipstream.doctor.finding import Finding, good, warning, wrong
from slipstream.readiness import fetch_readiness
from slipstream.settings import reachable
from slipstream.supervisor import ports
from slipstream.supervisor.state_folder import RunningSupervisor, running_supervisor

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


def check_machine(settings: Settings) -> Iterator[Finding]:
    """Look at what the machine and the installation offer."""
    yield _versions()
    yield good("threads", f"{plan_threads()}; inference servers share them")
    yield _locale()
    yield from check_broker(settings)
    yield from _ports(settings)
    if settings.anonymous_v2:
        yield warning(
            "anonymous access",
            "SLIPSTREAM_ANONYMOUS_V2 opens /v2 and the gRPC front door to all on this machine",
            "unset it unless clients really cannot send a key",
        )


def _versions() -> Finding:
    found, missing = [f"python {platform.python_version()}"], []
    for library in _LIBRARIES:
        try:
            found.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            missing.append(library)
    if missing:
        return wrong("versions", f"not installed: {', '.join(missing)}", "run `make setup` again")
    return good("versions", ", ".join(found))


def _locale() -> Finding:
    if has_locale():
        return good("locale", f"{STRING_NORMALIZER_LOCALE} is there")
    return warning(
        "locale",
        f"{STRING_NORMALIZER_LOCALE} is missing: models that normalise strings do not load",
        f"apt-get install locales && localedef -i en_US -f UTF-8 {STRING_NORMALIZER_LOCALE}",
    )


def _ports(settings: Settings) -> Iterator[Finding]:
    running = running_supervisor(settings.state)
    if running:
        yield _readiness(running)
        return
    for name, port in (("REST port", settings.port), ("gRPC port", settings.grpc_port)):
        trouble = ports.why_unavailable(settings.host, port)
        if trouble:
            yield wrong(name, trouble, "or set SLIPSTREAM_PORT and SLIPSTREAM_GRPC_PORT")
        else:
            yield good(
                name, f"{port} on {settings.host} is free; nothing runs on this state folder"
            )


def _readiness(running: RunningSupervisor) -> Finding:
    where = f"`slipstream up` (process {running.pid}) at {running.host}:{running.port}"
    shown = Path(running.tls_certificate) if running.tls_certificate else None
    said = fetch_readiness(reachable(running.host), running.port, shown)
    if said.ready:
        return good("gateway", f"{where} is ready; the gRPC front door is on {running.grpc_port}")
    return wrong("gateway", f"{where} is not ready: {said.reasons}", "see what its log says")
