"""Responses to generated requests conform to the OpenAPI document, for every kind of caller.

schemathesis generates valid and invalid requests from the document; for one of the callers, also
all requests at the boundaries of its schemas. Three of four valid requests get ids of existing
resources. `FUZZ_EXAMPLES` limits the requests per operation, not counting those at boundaries;
`make fuzz` sends many.
"""

from __future__ import annotations

import os
from copy import deepcopy

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
from tests.system.document.filling import fill
from tests.system.document.response_counts import ResponseCounts
from tests.system.installation import Installation
from tests.timing import TIMEOUT_SECONDS

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
    allow_header_conformance,
]
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4"))
# the same requests in each run, without replays: the second response may differ
SETTINGS = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


def load_schema(installation: Installation, *, boundaries: bool) -> BaseSchema:
    """Return the schemathesis schema; `boundaries` adds requests at the limits of its schemas."""
    document = installation.http.get("/openapi.json").json()
    schema: BaseSchema = schemathesis.openapi.from_dict(document)
    schema.config.generation.update(with_security_parameters=False)  # the caller has its own
    schema.config.phases.coverage.enabled = boundaries
    return schema


@pytest.fixture(scope="module")
def with_boundaries(installation: Installation) -> BaseSchema:
    """Operations whose requests include those at the limits of their schemas."""
    return load_schema(installation, boundaries=True)


@pytest.fixture(scope="module")
def without_boundaries(installation: Installation) -> BaseSchema:
    """The same operations with drawn requests only."""
    return load_schema(installation, boundaries=False)


# One test with a subtest for each operation: they are generated where they run, and not in every
# process that collects tests.
@pytest.mark.timeout(3_600)
@settings(SETTINGS, max_examples=max(2, EXAMPLES // 3))  # each is sent by every caller
@schemathesis.pytest.from_fixture("without_boundaries").parametrize()
def test_responses_to_other_callers_are_as_documented(
    case: schemathesis.Case,
    installation: Installation,
    callers: dict[str, Caller],
    response_counts: ResponseCounts,
) -> None:
    for name in OTHERS:  # one request for all callers: generating one takes longer than sending it
        note(f"caller: {name}")
        send_and_check(copy_of(case), installation.up.url, callers[name], response_counts)


@pytest.mark.timeout(3_600)
@SETTINGS
@schemathesis.pytest.from_fixture("with_boundaries").parametrize()
def test_responses_to_an_owner_are_as_documented(
    case: schemathesis.Case,
    installation: Installation,
    callers: dict[str, Caller],
    response_counts: ResponseCounts,
) -> None:
    send_and_check(case, installation.up.url, callers[OWNER], response_counts)


def test_an_owner_can_call_every_operation_that_accepts_a_key(
    response_counts: ResponseCounts,
) -> None:
    assert response_counts.never(OWNER) <= {
        "GET /node/session/",
        "DELETE /node/session/",
        "POST /node/session/password/",
        "POST /node/setup/",  # the users have passwords
    }


def copy_of(case: schemathesis.Case) -> schemathesis.Case:
    """Return an independent copy of the request."""
    copy = case.derive()
    copy._meta = deepcopy(case.meta)
    return copy


def send_and_check(
    case: schemathesis.Case, url: str, caller: Caller, response_counts: ResponseCounts
) -> None:
    """Send a request and validate the response."""
    fill(case, caller.resources)
    answer = case.call(url, headers=caller.headers, timeout=TIMEOUT_SECONDS)
    response_counts.add(caller.name, case.operation.label, answer.status_code)
    operation = str(case.operation.definition.raw["operationId"])
    if 200 <= answer.status_code < 300:
        caller.resources.forget_consumed(operation, case.path_parameters)
        if operation == "log_in":
            caller.use_session(Session.of(answer.headers["set-cookie"][0], answer.json()))
        elif operation == "log_out":
            caller.use_spare_session()
    says_not_ready = answer.status_code == 503 and case.path.endswith("/ready")
    checks = CHECKS if says_not_ready else [not_a_server_error, *CHECKS]
    case.validate_response(answer, checks=checks)
