"""Compares the system that runs with what commands see: settings, processes, database."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.exc import SQLAlchemyError

from gateway.fleet.states import Desired
from gateway.settings import Settings
from gateway.storage.tables import InferenceServer
from slipstream.doctor.finding import Finding, Level, good, warning, wrong
from slipstream.doctor.state import read_servers
from slipstream.installation import Installation
from slipstream.readiness import fetch_readiness, gateway_connection
from slipstream.settings import reachable
from slipstream.supervisor.running_supervisor import RunningSupervisor, lock_file
from transport.certificates import CertificateInfo, KeyPair, TlsError, certificate_warnings

_TIMEOUT_SECONDS = 5.0
_SETTLE_SECONDS = 2.0
"""A gateway learns of a change within 0.3 s."""
_POLL_SECONDS = 0.2

Servers = dict[tuple[str, str], str]
"""(model, version) → state, of every inference server."""


def check_running(installation: Installation, found: list[Finding]) -> Iterator[Finding]:
    """Compare what runs on the state folder with what commands see.

    `found` are the findings about the state: without a database there is nothing to compare.
    """
    running, settings = installation.running, installation.settings
    yield from _check_settings(installation)
    if running is None:
        if lock_file(settings.state).exists():
            yield wrong(
                "processes",
                f"nothing runs on {settings.state}, where `slipstream up` has run before",
                "start it: `slipstream up`",
            )
        return
    yield _check_readiness(running)
    yield _check_gateways(running)
    yield from _check_certificate(running)
    usable = all(each.level is Level.GOOD for each in found if each.subject == "database")
    if usable:
        yield _check_servers(running, settings)


def _check_settings(installation: Installation) -> Iterator[Finding]:
    conflicts = [*installation.conflicts, *filter(None, [installation.other_version])]
    for conflict in conflicts:
        yield wrong("settings", conflict.problem, conflict.fix)
    if installation.ignored and installation.running:
        yield warning(
            "settings",
            f"`slipstream up` (process {installation.running.pid}) has other values of "
            f"{', '.join(installation.ignored)} than this shell",
            "unset them, or restart `slipstream up` with them",
        )
    if installation.running and not conflicts:
        used = ", ".join(installation.adopted) or "the same as in this shell"
        yield good("settings", f"commands use those of `slipstream up`: {used}")


def _check_readiness(running: RunningSupervisor) -> Finding:
    where = f"`slipstream up` (process {running.pid}) at {running.host}:{running.port}"
    readiness = fetch_readiness(reachable(running.host), running.port, _certificate(running))
    if readiness.degraded:
        where += f" (degraded: {readiness.degraded})"
    if readiness.ready:
        return good("gateway", f"{where} is ready; gRPC is on port {running.grpc_port}")
    return wrong("gateway", f"{where} is not ready: {readiness.reasons}", "see its log")


def _check_certificate(running: RunningSupervisor) -> Iterator[Finding]:
    if not running.tls_certificate or not running.tls_key:
        return
    pair = KeyPair(certificate=Path(running.tls_certificate), key=Path(running.tls_key))
    fix = "replace the files: gateways load them again by themselves"
    try:
        info, warnings = CertificateInfo.from_files(pair), certificate_warnings(pair)
    except TlsError as error:
        yield wrong("certificate", str(error), fix)
        return
    has_expired = info.expires <= datetime.now(UTC)
    for text in warnings:
        yield wrong("certificate", text, fix) if has_expired else warning("certificate", text, fix)
    if not warnings:
        yield good("certificate", f"{pair.certificate} is valid until {info.expires:%Y-%m-%d}")


def _check_gateways(running: RunningSupervisor) -> Finding:
    try:
        children = psutil.Process(running.pid).children()
    except psutil.Error:
        text = f"process {running.pid} cannot be seen from here, as from outside a container"
        return good("processes", text)
    count = sum(map(_is_gateway, children))
    text = f"{count} of {running.workers} gateway processes run"
    if count < running.workers:
        return warning("processes", text, "see the log of `slipstream up`: it starts them again")
    return good("processes", text)


def _is_gateway(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[1:3] == ["-m", "gateway"]
    except psutil.Error:
        return False


def _check_servers(running: RunningSupervisor, settings: Settings) -> Finding:
    """Compare the inference servers of the gateway and of the database, until they are equal."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        try:
            reported = _reported_servers(running, settings)
            rows = {(row.model, str(row.version)): _state(row) for row in read_servers(settings)}
        except (OSError, ValueError, TlsError, http.client.HTTPException, SQLAlchemyError) as error:
            fix = "see its log"
            return warning("inference servers", f"they cannot be compared: {error}", fix)
        if reported == rows:
            text = f"gateway and database agree on all of them: {len(rows)}"
            return good("inference servers", text)
        if time.monotonic() > deadline:
            return wrong(
                "inference servers",
                f"the gateway has {_listed(reported)}; the database has {_listed(rows)}",
                "it uses another database, or does not follow its changes: restart `slipstream up`",
            )
        time.sleep(_POLL_SECONDS)


def _reported_servers(running: RunningSupervisor, settings: Settings) -> Servers:
    """Return what a gateway's metrics say; raise ValueError if it does not show them."""
    host, certificate = reachable(running.host), _certificate(running)
    connection = gateway_connection(host, running.port, certificate, timeout=_TIMEOUT_SECONDS)
    headers = {}
    if settings.metrics_token_file is not None:
        token = settings.metrics_token_file.read_text().split()[0]
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request("GET", "/metrics", headers=headers)
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise ValueError(f"/metrics answers {answer.status}")
    return {
        (sample.labels["model"], sample.labels["version"]): sample.labels["state"]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "inference_server_state" and sample.value
    }


def _state(row: InferenceServer) -> str:
    return Desired.ASLEEP if row.desired == Desired.ASLEEP else row.state


def _listed(servers: Servers) -> str:
    listed = [f"{model} {version}: {state}" for (model, version), state in sorted(servers.items())]
    return ", ".join(listed) or "none"


def _certificate(running: RunningSupervisor) -> Path | None:
    return Path(running.tls_certificate) if running.tls_certificate else None
