"""Asks a gateway for /readyz, as a load balancer does."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from pathlib import Path

from transport.certificates import TlsError, pinned_context

_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayReadiness:
    """The answer of /readyz."""

    ready: bool
    reasons: str
    """Why it is not ready; empty if it is."""
    degraded: str = ""
    """What does not work although it is ready, or beside `reasons`."""
    is_gateway: bool = False
    """Whether a gateway has answered."""


def fetch_readiness(host: str, port: int, certificate: Path | None = None) -> GatewayReadiness:
    """Return the answer of the gateway at `host` and `port`; blocks, and raises nothing.

    `certificate` is the file with its certificate if it uses TLS.
    """
    try:
        connection = gateway_connection(host, port, certificate, timeout=_TIMEOUT_SECONDS)
    except TlsError as error:
        return GatewayReadiness(ready=False, reasons=str(error))
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = json.loads(answer.read())
        reasons, degraded = "; ".join(body["reasons"]), "; ".join(body["degraded"])
    except (OSError, http.client.HTTPException) as error:
        return GatewayReadiness(ready=False, reasons=f"it does not answer ({error})")
    except (ValueError, KeyError, TypeError):
        return GatewayReadiness(ready=False, reasons="the process that answers is not a gateway")
    finally:
        connection.close()
    ready = answer.status == http.HTTPStatus.OK
    return GatewayReadiness(ready=ready, reasons=reasons, degraded=degraded, is_gateway=True)


def gateway_connection(
    host: str, port: int, certificate: Path | None, *, timeout: float
) -> http.client.HTTPConnection:
    """Return a connection, not yet opened, to a gateway of this machine.

    Raises:
        TlsError: the certificate's file cannot be read.
    """
    if certificate is None:
        return http.client.HTTPConnection(host, port, timeout=timeout)
    context = pinned_context(certificate)
    return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
