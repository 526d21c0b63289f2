"""The deployments that are called: one for each pair of mode and type, and hostile ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests import onnx_models
from tests.system.flow_documents import Json, linear_flow, node, transform_flow
from tests.system.installation import Installation, chain

RUN_SECONDS = 0.2
TIMEOUT_SECONDS = 60
_RETRY = {"attempts": 6, "delay_seconds": 0.2}
"""Covers the restart of a killed inference server, which takes about a second."""
ENDLESS = 10**15
"""Trips of a loop: years."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """Ids of deployments that never end with some inputs, and the key that calls them."""

    key: str
    loop: str
    operator: str
    expression: str
    queued_expression: str


def deploy(installation: Installation, counter: str, callback: str) -> dict[tuple[str, str], str]:
    """Return the deployments by mode and type.

    Each run but the fast ones posts its token to `counter`, and a webhook to `callback`.
    """
    flow = counting_flow(counter)
    slow = {
        "retry_safe": True,
        "timeout_seconds": TIMEOUT_SECONDS,
        "notification_method": "webhook",
        "callback_url": callback,
    }
    return {
        (mode, kind): installation.deploy(
            chain("iris") if mode == "fast" else flow,
            execution_mode=mode,
            deployment_type=kind,
            **({"record_runs": "all"} if mode == "fast" else slow),
        )
        for mode in ("sync", "async", "fast")
        for kind in ("api", "server")
    }


def deploy_hostile(installation: Installation, folder: Path) -> Hostile:
    """Serve and deploy what hostile callers use."""
    for name, model in (
        ("looping", onnx_models.loop(folder / "loop.onnx")),
        ("searching", onnx_models.one_long_operator(folder / "operator.onnx")),
    ):
        installation.add_model(name, model)
        installation.serve(name)
    endless = transform_flow("round(input.x, input.d)")
    return Hostile(
        key=installation.key,
        loop=installation.deploy(chain("looping")),
        operator=installation.deploy(chain("searching")),
        expression=installation.deploy(
            endless, execution_mode="sync", deployment_type="server", timeout_seconds=2
        ),
        queued_expression=installation.deploy(
            endless, execution_mode="async", deployment_type="api", timeout_seconds=2
        ),
    )


def counting_flow(counter: str) -> Json:
    """Return a flow whose runs call a model, wait, and post their token to `counter`."""
    return linear_flow(
        "Infer, wait, post",
        node("input", "api_input"),
        {**node("model", "inference", model="iris"), "retry": _RETRY},
        node("pause", "wait", seconds=RUN_SECONDS),
        node("tell", "http_request", method="POST", url=f"{counter}/{{{{ input.token }}}}"),
        node("output", "api_output", fields={"token": "input.token", "label": "model.label"}),
    )
