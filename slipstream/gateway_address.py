"""Where the gateway of an installation listens, and where callers reach it."""

from __future__ import annotations

from pathlib import Path

from gateway.settings import Settings
from slipstream.settings import ServeOptions
from slipstream.supervisor.running_supervisor import running_supervisor
from slipstream.workspace import read_settings


def public_url(settings: Settings) -> str:
    """Return the operator's public URL, else that of the port; without a slash at its end."""
    return settings.public_url if settings.public_base_url else serve_options(settings.state).url


def serve_options(state: Path) -> ServeOptions:
    """Return the gateway's address: that of `up` on the folder, else that of the settings."""
    running = running_supervisor(state.absolute()) or read_settings(state=state.absolute())
    certificate, key = running.tls_certificate, running.tls_key
    return ServeOptions(
        host=running.host,
        port=running.port,
        grpc_port=running.grpc_port,
        state=state,
        tls_certificate=Path(certificate) if certificate else None,
        tls_key=Path(key) if key else None,
        # of no consequence for a client
        grpc_server="native",
        behind_proxy=False,
        insecure=False,
    )
