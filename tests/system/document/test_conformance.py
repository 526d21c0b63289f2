"""Whatever is asked, by whomever: the answer is one that the OpenAPI document describes.

schemathesis makes requests from the document, good ones and bad ones. A good request gets the ids
of real things three times out of four. `FUZZ_EXAMPLES` says how many requests an operation gets
beside those at the borders of its schema; `make fuzz` sends many.
"""

from __future__ import annotations

import asyncio
import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.system.document.callers import CALLERS, Caller
from tests.system.document.document import openapi
from tests.system.document.filling import fill
from tests.system.document.tally import Tally
from tests.system.installation import Installation

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
    allow_header_conformance,
]
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "15"))

document = schemathesis.openapi.from_dict(asyncio.run(openapi()))


@pytest.fixture
def caller(request: pytest.FixtureRequest, callers: dict[str, Caller]) -> Caller:
    """The one of CALLERS that the test is about."""
    return callers[request.param]


@pytest.mark.timeout(3_600)
@document.parametrize()
@pytest.mark.parametrize("caller", CALLERS, indirect=True)
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_as_documented(
    case: schemathesis.Case, house: Installation, caller: Caller, tally: Tally
) -> None:
    fill(case, caller.things)
    answer = case.call(house.up.url, headers=caller.headers, timeout=60)
    tally.add(caller.name, case.operation.label, answer.status_code)
    if 200 <= answer.status_code < 300:
        operation = str(case.operation.definition.raw["operationId"])
        caller.succeeded(operation)
        caller.things.answered(operation, case.path_parameters)
    not_ready = case.path.endswith("/ready") and answer.status_code == 503
    case.validate_response(answer, checks=CHECKS[1:] if not_ready else CHECKS)


def test_the_calls_got_somewhere(tally: Tally) -> None:
    """Runs last: an owner's calls have succeeded at every route that takes keys."""
    assert tally.never("manage key of an owner") == {
        # what only a session can
        "GET /node/session/",
        "DELETE /node/session/",
        "POST /node/session/password/",
    }
