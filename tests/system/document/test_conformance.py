"""Whatever is asked, by whomever: the answer is one that the OpenAPI document describes.

schemathesis makes requests from the document, good ones and bad ones; for one of the callers, also
all those at the borders of its schemas. A good request gets the ids of real things three times out
of four. `FUZZ_EXAMPLES` says how many requests an operation gets at most, beside the borders;
`make fuzz` sends many.
"""

from __future__ import annotations

import asyncio
import os
from copy import deepcopy
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, note, settings
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.system.document.callers import OTHERS, OWNER, Caller, Session
from tests.system.document.document import openapi
from tests.system.document.filling import fill
from tests.system.document.tally import Tally
from tests.system.installation import Installation

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
    allow_header_conformance,
]
# the same requests in each run, and none that is asked again: the second answer may differ
HOW = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "15")),
    derandomize=True,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
OPENAPI = asyncio.run(openapi())


# Any: a document
def read(document: dict[str, Any], *, borders: bool) -> BaseSchema:
    """Return the document as schemathesis has it; with requests at the borders of its schemas."""
    schema: BaseSchema = schemathesis.openapi.from_dict(document)
    schema.config.generation.update(with_security_parameters=False)  # the caller has its own
    schema.config.phases.coverage.enabled = borders
    return schema


whole = read(OPENAPI, borders=True)
inside = read(OPENAPI, borders=False)


@pytest.mark.timeout(3_600)
@inside.parametrize()
@HOW
def test_responses_to_other_callers_are_as_documented(
    case: schemathesis.Case, house: Installation, callers: dict[str, Caller], tally: Tally
) -> None:
    for name in OTHERS:  # one after the other: to think of a request takes longer than to send it
        note(f"asked as: {name}")
        ask(twin_of(case), house.up.url, callers[name], tally)


@pytest.mark.timeout(3_600)
@whole.parametrize()
@HOW
def test_responses_to_an_owner_are_as_documented(
    case: schemathesis.Case, house: Installation, callers: dict[str, Caller], tally: Tally
) -> None:
    ask(case, house.up.url, callers[OWNER], tally)


def test_an_owner_can_call_every_operation_that_accepts_a_key(tally: Tally) -> None:
    assert tally.never(OWNER) <= {
        "GET /node/session/",
        "DELETE /node/session/",
        "POST /node/session/password/",
    }


def twin_of(case: schemathesis.Case) -> schemathesis.Case:
    """Return the same request, to be changed and judged by itself."""
    twin = case.derive()
    twin._meta = deepcopy(case.meta)
    return twin


def ask(case: schemathesis.Case, url: str, caller: Caller, tally: Tally) -> None:
    """Send a request, and look at the answer."""
    fill(case, caller.things)
    answer = case.call(url, headers=caller.headers, timeout=60)
    tally.add(caller.name, case.operation.label, answer.status_code)
    operation = str(case.operation.definition.raw["operationId"])
    if 200 <= answer.status_code < 300:
        caller.things.answered(operation, case.path_parameters)
        if operation == "log_in":
            caller.logged_in(Session.of(answer.headers["set-cookie"][0], answer.json()))
        elif operation == "log_out":
            caller.logged_out()
    says_not_ready = answer.status_code == 503 and case.path.endswith("/ready")
    checks = CHECKS if says_not_ready else [not_a_server_error, *CHECKS]
    case.validate_response(answer, checks=checks)
