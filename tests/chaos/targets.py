"""The deployments that are called: one for each pair of mode and type."""

from __future__ import annotations

from tests.system.flow_documents import Json, linear_flow, node
from tests.system.installation import Installation, chain

RUN_SECONDS = 0.2
TIMEOUT_SECONDS = 60
_RETRY = {"attempts": 6, "delay_seconds": 0.2}
"""Covers the restart of a killed inference server, which takes about a second."""


def deploy(installation: Installation, counter: str) -> dict[tuple[str, str], str]:
    """Return the deployments by mode and type; each run posts its token to `counter`."""
    counting_flow = _counting_flow(counter)
    slow = {"retry_safe": True, "timeout_seconds": TIMEOUT_SECONDS}
    return {
        (mode, kind): installation.deploy(
            chain("iris") if mode == "fast" else counting_flow,
            execution_mode=mode,
            deployment_type=kind,
            **({"record_runs": "all"} if mode == "fast" else slow),
        )
        for mode in ("sync", "async", "fast")
        for kind in ("api", "server")
    }


def _counting_flow(counter: str) -> Json:
    return linear_flow(
        "Infer, wait, post",
        node("input", "api_input"),
        {**node("model", "inference", model="iris"), "retry": _RETRY},
        node("pause", "wait", seconds=RUN_SECONDS),
        node("tell", "http_request", method="POST", url=f"{counter}/{{{{ input.token }}}}"),
        node("output", "api_output", fields={"token": "input.token", "label": "model.label"}),
    )
