"""Asking a gateway whether it is ready, as any load balancer would."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass

_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What /readyz said."""

    ready: bool
    reasons: str
    """Why not; empty where it is ready."""


def ask_readiness(host: str, port: int) -> Readiness:
    """Return what the gateway at `host` and `port` says; blocks, and raises nothing."""
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        reasons = json.loads(answer.read())["reasons"]
    except (OSError, http.client.HTTPException) as error:
        return Readiness(ready=False, reasons=f"it does not answer ({error})")
    except (ValueError, KeyError, TypeError):
        return Readiness(ready=False, reasons="what answers there is no gateway")
    finally:
        connection.close()
    return Readiness(ready=answer.status == http.HTTPStatus.OK, reasons="; ".join(reasons))
