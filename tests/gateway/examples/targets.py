"""Targets of example code."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from gateway.deployments.settings import ExecutionMode, ResponseFormat
from gateway.examples.call_target import CallTarget, GrpcInput, GrpcTarget
from gateway.models.pins import TensorSpec

LITERAL_CASES: dict[str, dict[str, str]] = json.loads(
    Path(__file__).with_name("literal_cases.json").read_text(encoding="utf-8")
)
"""Values as JSON and as literals, by name, which literals.test.ts of the console reads, too."""
# Any: what callers send
CASES: dict[str, Any] = {name: json.loads(case["json"]) for name, case in LITERAL_CASES.items()}
MASK = "sk-EuT64********vsQa1"
DEPLOYMENT = "f236ab68-0c30-4d1c-a8fe-5b1d0a1b8d2e"
_TENSOR = TensorSpec(name="x", datatype="FP32", shape=(-1, 4))
GRPC = GrpcTarget(
    address="flows.example.com:8081",
    uses_tls=True,
    model="iris",
    version=3,
    inputs=[GrpcInput(name="x", path=("x",), spec=_TENSOR)],
    outputs=["label"],
    key_mask=MASK,
)


# Any: fields of a CallTarget
def target(**fields: Any) -> CallTarget:
    """Return a sync deployment, or one with other fields."""
    usual = CallTarget(
        base_url="https://flows.example.com",
        deployment_id=DEPLOYMENT,
        name="Iris Deployment",
        mode=ExecutionMode.SYNC,
        response_format=ResponseFormat.AUTO,
        timeout_seconds=3600,
        requires_idempotency_key=False,
        has_webhook=False,
        input_data={"x": [[5.1, 3.5, 1.4, 0.2]]},
        input_schema=None,
        output_tensors=None,
        key_mask=MASK,
        grpc=GRPC,
    )
    return replace(usual, **fields)


def all_targets() -> list[CallTarget]:
    """Return targets of each mode and format, with small and large inputs."""
    forms = (ResponseFormat.FLAT, ResponseFormat.ENVELOPE)
    combinations = product(ExecutionMode, forms, ({"x": [[1, 2]]}, {"x": [[5.1, 3.5]] * 400}))
    return [
        target(
            mode=mode,
            response_format=form,
            input_data=input_data,
            requires_idempotency_key=form is ResponseFormat.FLAT,
            output_tensors=[("x", _TENSOR)] if mode is ExecutionMode.FAST else None,
        )
        for mode, form, input_data in combinations
    ]
