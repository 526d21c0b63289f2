"""Builds the gateway behind the listening port."""

from __future__ import annotations

from gateway.app import Gateway
from gateway.auth.pepper import check_pepper
from gateway.boot import BootApp
from gateway.container import Container
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.migrate import migrate
from gateway.web.connection_limits import ConnectionLimits, max_connections_for
from telemetry import logs
from telemetry.options import is_loopback

log = logs.logger("gateway")


class UnsafeSettingError(Exception):
    """A setting that would expose the gateway without protection."""


async def assemble(boot_app: BootApp) -> Container:
    """Read the settings, build and start the gateway, and serve it by `boot_app`.

    Returns its container: the gRPC port is not open yet.

    Raises:
        StorageError: the database cannot be used, or the pepper is another one.
        UnsafeSettingError: `anonymous_v2` on an address that other machines can reach, or a
            certificate that the listening port does not use.
        TlsError: a file with a certificate or key cannot be used.
        TokenFileError: the file with the metrics' tokens cannot be used.
    """
    settings = Settings()
    logs.configure(
        settings.log_level,
        process="gateway",
        log_format=settings.log_format,
        file=settings.log_file,
    )
    _check_anonymous(settings)
    _check_certificate(settings, boot_app)
    boot_app.limits = connection_limits(settings)
    boot_app.reasons = lambda: ["starting: the database is being opened"]
    await migrate(settings.database)
    await _check_pepper(settings)
    container = Container(settings, boot_app.certificate)
    boot_app.close = container.close
    boot_app.clients.proxies = container.proxies
    boot_app.clients.on_refusal = container.metrics.count_refusal
    await container.start()
    boot_app.reasons = container.reasons
    boot_app.degraded = container.readiness.degraded
    boot_app.app = Gateway(container)
    boot_app.fast_route = container.trigger
    boot_app.drain_seconds = settings.drain_seconds
    boot_app.drain_delay_seconds = settings.drain_delay
    boot_app.replaced_idle_seconds = settings.replaced_idle
    boot_app.on_drain = container.drain
    boot_app.end_calls = container.end_calls
    log.info("gateway_started", port=settings.port, grpc_port=settings.grpc_port)
    return container


async def _check_pepper(settings: Settings) -> None:
    db = Database(settings.database)
    try:
        await check_pepper(db, settings.key_pepper, settings.state)
    finally:
        await db.close()


def _check_certificate(settings: Settings, boot_app: BootApp) -> None:
    """Refuse to serve without TLS although a certificate is set."""
    if (settings.tls_certificate or settings.tls_key) and boot_app.certificate is None:
        message = (
            "SLIPSTREAM_TLS_CERTIFICATE is set, but REST listens without TLS: start with "
            "`slipstream gateway`, or give --tls-certificate and --tls-key"
        )
        raise UnsafeSettingError(message)


def connection_limits(settings: Settings) -> ConnectionLimits:
    """Return the limits that the settings define."""
    max_connections = max_connections_for(settings.max_connections)
    return ConnectionLimits(
        max_header_bytes=settings.max_header_bytes,
        max_header_count=settings.max_header_count,
        max_url_bytes=settings.max_url_bytes,
        header_seconds=settings.header_seconds,
        body_seconds=settings.body_seconds,
        max_connections=max_connections,
        max_connections_per_address=settings.max_connections_per_address or max_connections // 2,
        max_bodies_per_address=settings.max_bodies_per_address or max_connections // 4,
        # room for one body of any size, or none of that size would ever pass
        max_unfinished_bytes=max(settings.max_unfinished_bytes, settings.max_body_bytes),
    )


def _check_anonymous(settings: Settings) -> None:
    if not settings.anonymous_v2:
        return
    if not is_loopback(settings.host):
        message = (
            f"SLIPSTREAM_ANONYMOUS_V2 opens all models without a key: it is for loopback only, and "
            f"SLIPSTREAM_HOST is {settings.host}"
        )
        raise UnsafeSettingError(message)
    log.warning("anonymous_v2", meaning="/v2 and gRPC accept calls WITHOUT A KEY")
