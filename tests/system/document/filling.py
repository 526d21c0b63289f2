"""Requests that schemathesis made, about things that there are."""

from __future__ import annotations

import zlib

from schemathesis import Case
from schemathesis.generation import GenerationMode

from tests.system.document.things import Things


def fill(case: Case, things: Things) -> None:
    """Put ids of real things into three of four good requests; what is bad stays as it is."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if _chance(case.path_parameters, case.body, case.query) == 0:
        return
    for name in case.path_parameters:
        if name == "deployment_id" and case.path.startswith("/node/deployment-trigger/"):
            case.path_parameters[name] = things["called"]
        elif name in things:
            case.path_parameters[name] = things[name]
    if isinstance(case.body, dict):
        case.body = things.body(case.method, case.path, case.body)


def _chance(*facts: object) -> int:
    """Return 0 to 3, for the same facts always the same."""
    return zlib.crc32(repr(facts).encode()) % 4
