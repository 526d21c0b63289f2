"""`output_data` of a run as JSON, with what stands for NaN and infinities. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.deployments.settings import NonFinite
from gateway.errors import GatewayError
from protos.errors import ErrorCode
from protos.non_finite import as_strings, find_non_finite


def dump_non_finite(output_data: Mapping[str, Any], non_finite: NonFinite) -> bytes:
    """Return `output_data` (Any: JSON with NaN or infinities) as JSON.

    Raises:
        GatewayError: NON_FINITE_OUTPUT if `non_finite` says so.
    """
    if non_finite is NonFinite.ERROR:
        check_finite(output_data)
    is_string = non_finite is NonFinite.STRING
    return orjson.dumps(as_strings(output_data) if is_string else output_data)


def check_finite(output_data: Mapping[str, Any]) -> None:
    """Raise GatewayError NON_FINITE_OUTPUT if there is a NaN or an infinity. Any: JSON."""
    found = find_non_finite(output_data, "output_data")
    if found is not None:
        path, _, number = found.rpartition(": ")
        raise not_finite(path, number)


def not_finite(path: str, number: str) -> GatewayError:
    """Return the error for NaN or an infinity, such as `output_data.p[0]`, `NaN`."""
    message = (
        f"{path}: expected a finite number, got {number}; correct the model or the input, or "
        'set non_finite of the deployment to "string"'
    )
    return GatewayError(ErrorCode.NON_FINITE_OUTPUT, message)
