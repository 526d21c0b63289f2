"""Responses to generated requests conform to the OpenAPI document, for every kind of caller.

schemathesis generates requests from the document, the same in each run. Every caller sends the same
valid and invalid ones; three of four valid requests get ids of existing resources. One of the
callers sends more of the valid ones, with such ids, and in `make test-long` and `make fuzz` all
requests at the boundaries of the schemas. `FUZZ_EXAMPLES` limits the requests per operation, not
counting those at boundaries.
"""

from __future__ import annotations

import os
from copy import deepcopy

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, note, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.gateway.routes import is_readiness
from tests.system.document.callers import OWNER, Caller, Session
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
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "1"))
# the same requests in each run, without replays: the second response may differ
SETTINGS = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


def load_schema(installation: Installation) -> BaseSchema:
    """Return the schemathesis schema, whose requests are drawn."""
    document = installation.http.get("/openapi.json").json()
    schema: BaseSchema = schemathesis.openapi.from_dict(document)
    schema.config.generation.update(with_security_parameters=False)  # the caller has its own
    schema.config.phases.coverage.enabled = False
    return schema


@pytest.fixture(scope="module")
def with_boundaries(installation: Installation) -> BaseSchema:
    """Operations whose requests include those at the limits of their schemas."""
    schema = load_schema(installation)
    schema.config.phases.coverage.enabled = True
    return schema


@pytest.fixture(scope="module")
def drawn(installation: Installation) -> BaseSchema:
    """The same operations with valid and invalid requests."""
    return load_schema(installation)


@pytest.fixture(scope="module")
def valid(installation: Installation) -> BaseSchema:
    """The same operations with valid requests only."""
    schema = load_schema(installation)
    schema.config.generation.update(modes=[GenerationMode.POSITIVE])
    return schema


# One test with a subtest for each operation: they are generated where they run, and not in every
# process that collects tests.
@pytest.mark.long
@pytest.mark.search
@pytest.mark.timeout(3_600)
@settings(SETTINGS, max_examples=max(1, EXAMPLES // 3))  # each is sent by every caller
@schemathesis.pytest.from_fixture("drawn").parametrize()
def test_responses_are_as_documented(
    case: schemathesis.Case,
    installation: Installation,
    callers: dict[str, Caller],
    response_counts: ResponseCounts,
) -> None:
    for name, caller in callers.items():  # to generate a request takes longer than to send it
        note(f"caller: {name}")
        copy = copy_of(case)
        fill(copy, caller.resources)
        send_and_check(copy, installation.up.url, caller, response_counts)


@pytest.mark.search
@pytest.mark.timeout(3_600)
@SETTINGS
@schemathesis.pytest.from_fixture("valid").parametrize()
def test_responses_to_valid_requests_are_as_documented(
    case: schemathesis.Case,
    installation: Installation,
    callers: dict[str, Caller],
    response_counts: ResponseCounts,
) -> None:
    fill(case, callers[OWNER].resources, always=True)
    send_and_check(case, installation.up.url, callers[OWNER], response_counts)


@pytest.mark.search
def test_an_owner_can_call_every_operation_that_accepts_a_key(
    response_counts: ResponseCounts,
) -> None:
    assert response_counts.never(OWNER) <= {
        "GET /node/session/",
        "DELETE /node/session/",
        "POST /node/session/password/",
        "POST /node/setup/",  # the users have passwords
    }


@pytest.mark.long
@pytest.mark.timeout(3_600)
@SETTINGS
@schemathesis.pytest.from_fixture("with_boundaries").parametrize()
def test_responses_at_the_boundaries_of_schemas_are_as_documented(
    case: schemathesis.Case,
    installation: Installation,
    callers: dict[str, Caller],
    response_counts: ResponseCounts,
) -> None:
    fill(case, callers[OWNER].resources)
    send_and_check(case, installation.up.url, callers[OWNER], response_counts)


def copy_of(case: schemathesis.Case) -> schemathesis.Case:
    """Return an independent copy of the request."""
    copy = case.derive()
    copy._meta = deepcopy(case.meta)
    return copy


def send_and_check(
    case: schemathesis.Case, url: str, caller: Caller, response_counts: ResponseCounts
) -> None:
    """Send a request and validate the response."""
    answer = case.call(url, headers=caller.headers, timeout=TIMEOUT_SECONDS)
    response_counts.add(caller.name, case.operation.label, answer.status_code)
    operation = str(case.operation.definition.raw["operationId"])
    if 200 <= answer.status_code < 300:
        caller.resources.forget_consumed(operation, case.path_parameters)
        if operation == "log_in":
            caller.use_session(Session.of(answer.headers["set-cookie"][0], answer.json()))
        elif operation == "log_out":
            caller.use_spare_session()
    says_not_ready = answer.status_code == 503 and is_readiness(case.path)
    checks = CHECKS if says_not_ready else [not_a_server_error, *CHECKS]
    case.validate_response(answer, checks=checks)
