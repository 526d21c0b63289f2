"""api_input: stands for the call's `input_data`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.flows.input_check import InputCheck, SchemaError
from gateway.flows.kinds.kind import Kind, Step
from gateway.flows.reader import Reader
from gateway.flows.scope import Scope

_ADDITIONAL = ("ignore", "reject")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiInput:
    """What callers send. Any: JSON."""

    schema: Mapping[str, Any] | None
    """JSON Schema (2020-12) of `input_data`."""
    test_data: Mapping[str, Any] | None
    """An example of `input_data`."""
    additional_inputs: str = "ignore"
    """`ignore` leaves out what the schema's `properties` do not name; `reject` refuses it."""

    def check(self) -> InputCheck:
        """Return what checks calls.

        Raises:
            SchemaError: the schema is none.
        """
        return InputCheck(self.schema, reject=self.additional_inputs == "reject")


def _read(reader: Reader) -> ApiInput:
    config = ApiInput(
        schema=reader.object("schema"),
        test_data=reader.object("test_data"),
        additional_inputs=reader.choice("additional_inputs", _ADDITIONAL, "ignore"),
    )
    if config.additional_inputs == "reject" and not (config.schema or {}).get("properties"):
        reader.complain("additional_inputs", "reject needs a schema with properties")
    return config


def _compile(config: ApiInput, scope: Scope) -> Step:
    try:
        config.check()
    except SchemaError as error:
        pointer = f"schema{error.pointer}"
        scope.complain(pointer, error.detail)
    return Step(compute=lambda moment: moment.input_data)


KIND = Kind(type="api_input", read=_read, compile=_compile)
