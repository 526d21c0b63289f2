"""What problems say beside their message, and the pages that they refer to."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from gateway.auth.identity import Scope
from gateway.errors import GatewayError
from gateway.web.problem_pages import PROBLEM_TYPES, ProblemTypeOut
from gateway.web.problems import problem
from protos.errors import ErrorCode
from tests.architecture.repository import ROOT
from tests.gateway.served_gateway import ServedGateway

CAPACITY = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
OUT_OF_CAPACITY = {
    ErrorCode.TOO_MANY_CONNECTIONS,
    ErrorCode.BODY_MEMORY_EXHAUSTED,
    ErrorCode.QUEUE_TIMEOUT,
    ErrorCode.NO_WORKER,
}
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
PROGRAMS = ["*/*", "application/json", "application/json, text/html;q=0.5", "image/png"]


# Any: values as JSON has them
def body_of(error: GatewayError) -> dict[str, Any]:
    """Return what a client reads."""
    body: dict[str, Any] = orjson.loads(problem(error, b"req_1")[2])
    return body


def row_of(code: ErrorCode, kind: ProblemTypeOut) -> str:
    """Return the row of docs/errors.md."""
    retry = "yes" if kind.retryable else "no"
    statuses = f"{kind.status} | {code.v2_status} | `{code.grpc_status}`"
    return f"| `{kind.code}` | {statuses} | {retry} | {kind.meaning} | {kind.advice} |"


def test_the_documentation_has_the_same_table() -> None:
    text = (ROOT / "docs" / "errors.md").read_text()
    rows = re.findall(r"^\| `.*$", text, re.MULTILINE)
    assert rows == [row_of(ErrorCode(kind.code), kind) for kind in PROBLEM_TYPES.values()]


@pytest.mark.parametrize("code", ErrorCode)
def test_a_type_is_our_page_unless_capacity_is_what_is_missing(code: ErrorCode) -> None:
    told = body_of(GatewayError(code, "why"))
    assert told["docs_url"] == f"/problems/{code.replace('_', '-')}"
    assert told["type"] == (CAPACITY if code in OUT_OF_CAPACITY else told["docs_url"])
    assert "instance" not in told


def test_a_problem_about_a_run_says_where_the_run_is() -> None:
    details = {"flow_run_id": "7"}
    told = body_of(GatewayError(ErrorCode.FLOW_FAILED, "why", details=details))
    assert (told["instance"], told["flow_run_id"]) == ("/node/flow-runs/7/", "7")


async def test_an_answer_lists_a_bounded_number_of_errors(served_gateway: ServedGateway) -> None:
    ada = await served_gateway.user("ada@example.com")
    client = await served_gateway.key_client(ada, Scope.MANAGE)
    answer = await client.post("/node/flows/", json={"name": "many", "nodes": [1] * 1000})
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 100


@pytest.mark.parametrize("accept", PROGRAMS)
async def test_a_problems_page_is_json_for_programs(
    served_gateway: ServedGateway, accept: str
) -> None:
    for code in ErrorCode:
        told = body_of(GatewayError(code, "why"))
        answer = await served_gateway.client().get(told["docs_url"], headers={"accept": accept})
        assert (answer.status_code, answer.headers["vary"]) == (200, "Accept")
        shown = answer.json()
        assert shown.keys() == {"code", "title", "status", "retryable", "meaning", "advice"}
        for name in ("code", "status", "retryable"):
            assert shown[name] == told[name]


async def test_a_problems_page_is_html_for_browsers(served_gateway: ServedGateway) -> None:
    answer = await served_gateway.client().get("/problems/invalid-input", headers=BROWSER)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["vary"] == "Accept"
    assert "<h1>Invalid input</h1>" in answer.text
    assert "<code>input_data</code> does not match" in answer.text
    assert "Trying again does not help." in answer.text


async def test_a_problems_page_runs_no_script_and_may_not_be_framed(
    served_gateway: ServedGateway,
) -> None:
    answer = await served_gateway.client().get("/problems/conflict", headers=BROWSER)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "<script" not in answer.text


@pytest.mark.parametrize("name", ["nothing", "not_found", "NOT-FOUND", "<script>"])
@pytest.mark.parametrize("headers", [{}, BROWSER], ids=["program", "browser"])
async def test_what_is_no_problem_is_the_usual_404(
    served_gateway: ServedGateway, name: str, headers: dict[str, str]
) -> None:
    answer = await served_gateway.client().get(f"/problems/{name}", headers=headers)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["docs_url"] == "/problems/not-found"
