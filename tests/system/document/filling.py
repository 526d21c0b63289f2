"""Requests that schemathesis made, about resources that there are."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from itertools import count

from schemathesis import Case
from schemathesis.generation import GenerationMode

from tests.system.document.resources import PASSWORD, ROWS, Resources
from tests.system.installation import Json, chain

_INFER = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": ROWS[0]}]}
_ONE = {"input_data": {"x": ROWS}}
_numbers = count(1)

_BODIES: Mapping[str, Callable[[Json, Resources], Json]] = {
    "trigger_deployment": lambda _, __: _ONE,
    "trigger_deployment_batch": lambda _, __: {"input_data": [{"x": ROWS}] * 2},
    "infer_model": lambda _, __: _INFER,
    "infer_version": lambda _, __: _INFER,
    "create_flow": lambda given, _: {**given, **chain("iris")},
    "replace_flow": lambda given, _: {**given, **chain("iris")},
    "change_flow": lambda given, _: {**given, **chain("iris")},
    "create_deployment": lambda _, resources: {"flow_id": resources["flow_id"]},
    "create_inference_server": lambda _, resources: {"model": resources["name"], "version": 1},
    "replace_model_label": lambda _, __: {"version": 1},
    "create_user": lambda given, _: {**given, "email": _new_email(), "password": PASSWORD},
    "change_user": lambda given, _: {**given, "email": _new_email(), "password": PASSWORD},
    "log_in": lambda _, resources: {"email": resources.email, "password": PASSWORD},
    "change_password": lambda _, __: {"old_password": PASSWORD, "new_password": PASSWORD},
}
"""By operation: a body that means something, for one that is only well-formed."""


def fill(case: Case, resources: Resources) -> None:
    """Put real resources into three of four good requests; what is bad stays as it is."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if _chance(case.path_parameters, case.query, case.body) == 0:
        return
    operation = str(case.operation.definition.raw["operationId"])
    case.path_parameters = {  # a new one: schemathesis shares them among cases
        name: resources.named(name, operation) if name in resources else value
        for name, value in case.path_parameters.items()
    }
    if operation == "create_model" and case.media_type == "application/octet-stream":
        case.query = {"name": f"model{next(_numbers)}"}
        case.body = resources.onnx
    elif isinstance(case.body, dict):
        case.body = _body(operation, case.body, resources)


def _body(operation: str, given: Json, resources: Resources) -> Json:
    if operation in _BODIES:
        return _BODIES[operation](given, resources)
    body = {**given, **{name: resources[name] for name in given if name == "flow_id"}}
    return {**body, "deployments": [resources["deployment_id"]]} if "deployments" in given else body


def _new_email() -> str:
    return f"user{next(_numbers)}@example.com"


def _chance(*facts: object) -> int:
    """Return 0 to 3, for the same facts always the same."""
    return zlib.crc32(repr(facts).encode()) % 4
