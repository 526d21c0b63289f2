"""What routes refuse before they read a body."""

from __future__ import annotations

import pytest

from tests.gateway.in_process_gateway import InProcessGateway

EVERYTHING = {"to": "2100-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("method", "path", "query", "unknown"),
    [
        ("GET", "/node/flow-runs/", {"limit": "5", "foo": "1"}, "foo"),
        ("GET", "/node/flow-runs/", {"metadata[order]": "42"}, "metadata[order]"),
        ("GET", "/node/deployments/", {"nmae": "churn"}, "nmae"),
        ("DELETE", "/node/flow-runs/", {**EVERYTHING, "version": "1"}, "version"),
        ("DELETE", "/node/flow-runs/", {**EVERYTHING, "metadata.order": "42"}, "metadata.order"),
        ("POST", "/node/flows/", {"dry": "true"}, "dry"),
    ],
)
async def test_a_parameter_that_a_route_does_not_have_is_refused(
    in_process_gateway: InProcessGateway,
    method: str,
    path: str,
    query: dict[str, str],
    unknown: str,
) -> None:
    user = await in_process_gateway.user()
    answer = await user.request(method, path, params=query)
    assert answer.status_code == 400, answer.text
    problem = answer.json()
    assert problem["code"] == "invalid_request"
    assert problem["detail"].startswith(f"?{unknown}: expected one of the parameters ")


async def test_a_parameter_is_refused_to_those_only_who_may_ask(
    in_process_gateway: InProcessGateway,
) -> None:
    answer = await in_process_gateway.client({}).get("/node/flow-runs/", params={"foo": "1"})
    assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/v2/health/live", "/metrics", "/livez"])
async def test_what_other_programs_ask_may_have_parameters_of_their_own(
    in_process_gateway: InProcessGateway, path: str
) -> None:
    answer = await in_process_gateway.client({}).get(path, params={"cluster": "east"})
    assert answer.status_code != 400
