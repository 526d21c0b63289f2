"""Which answered calls leave a line in the log, and what is in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from pydantic import ValidationError
from structlog.testing import capture_logs

from gateway.auth.identity import Role, Scope
from gateway.container import Container
from gateway.fast_path import call_log
from gateway.fast_path.accounting import Accounting
from gateway.fast_path.routes import ResolvedRoute
from gateway.settings import Settings
from gateway.storage.database import Database
from protos.errors import ErrorCode
from telemetry.trace_context import UNSAMPLED, TraceContext
from tests.gateway.fast_path.test_recorder import Call, route_of
from tests.gateway.in_process_gateway import InProcessGateway, deploy, flow_json
from tests.gateway.runs.builders import until
from tests.gateway.served_gateway import ServedGateway

KEY = "sk-canaryCANARYcanaryCANARYcanaryCANARY"
INPUT = "the input of a canary"


class LoggedCall(Call):
    """A request with a key and an input, answered after some milliseconds."""

    is_request = True
    named_deployment = "a path that names nothing"

    def __init__(
        self,
        route: ResolvedRoute | None,
        milliseconds: float = 10.0,
        error: ErrorCode | None = None,
        **headers: str,
    ) -> None:
        super().__init__(route or route_of())
        self.route = route
        self.body = INPUT.encode()
        self.headers = {
            b"x-api-key": KEY.encode(),
            b"authorization": f"Bearer {KEY}".encode(),
            **{name.replace("_", "-").encode(): value.encode() for name, value in headers.items()},
        }
        self.ended = self.began + milliseconds / 1e3
        self.status, self.error = (200, None) if error is None else (error.http_status, error)
        if error is None:
            self.stages = (0.001, 0.002, 0.003, 0.004, 0.0005)


def accounting_of(gateway: InProcessGateway, setting: str) -> Accounting:
    """Return what a gateway with this setting counts its calls with."""
    settings = gateway._container.settings.model_copy(update={"call_log": setting})
    return Container(settings).accounting


def lines_of(accounting: Accounting, *calls: Call) -> list[dict[str, object]]:
    """Return what is logged of these calls."""
    with capture_logs() as logs:
        for call in calls:
            accounting.add(call)
        accounting.drain()
    return [dict(line) for line in logs if line["event"] in ("call", "calls_not_logged")]


@pytest.mark.parametrize(
    ("setting", "logged"),
    [
        ("off", []),
        ("errors", ["refused"]),
        ("slow:250ms", ["slow", "refused"]),
        ("all", ["quick", "slow", "refused"]),
    ],
)
async def test_the_setting_says_which_calls_are_logged(
    in_process_gateway: InProcessGateway, setting: str, logged: list[str]
) -> None:
    route = route_of()
    calls = [
        LoggedCall(route, 249, x_request_id="quick"),
        LoggedCall(route, 251, x_request_id="slow"),
        LoggedCall(route, 1, ErrorCode.OVERLOADED, x_request_id="refused"),
    ]
    item = LoggedCall(route, 999, x_request_id="an item of a batch")
    item.is_request = False
    lines = lines_of(accounting_of(in_process_gateway, setting), *calls, item)
    assert [line["request_id"] for line in lines] == logged


async def test_a_line_says_which_call_it_was_and_how_it_was_answered(
    in_process_gateway: InProcessGateway,
) -> None:
    route = route_of()
    plain, recorded, failed = (LoggedCall(route) for _ in range(3))
    recorded.may_be_sampled = False
    failed.status, failed.error, failed.stages = 503, ErrorCode.INFERENCE_FAILED, ()
    failed.is_failed_run = True
    accounting = accounting_of(in_process_gateway, "all")
    first, second, third = lines_of(accounting, plain, recorded, failed)
    assert first == {
        "event": "call",
        "log_level": "info",
        "request_id": f"req_{plain.run_id}",
        "deployment": route.deployment.id,
        "version": route.deployment.version,
        "mode": "fast",
        "key_id": "key",
        "status": 200,
        "seconds": 0.01,
        "phases": {"auth": 1.0, "parse": 2.0, "queue": 3.0, "infer": 4.0, "serialise": 0.5},
    }
    assert second["run_id"] == recorded.run_id
    assert (third["log_level"], third["code"]) == ("warning", "inference_failed")
    assert third["run_id"] == failed.run_id
    assert "phases" not in third


async def test_a_call_that_was_refused_early_names_only_what_has_the_form_of_a_deployment(
    in_process_gateway: InProcessGateway,
) -> None:
    unknown, named = (LoggedCall(None, 1, ErrorCode.API_KEY_INVALID) for _ in range(2))
    named.named_deployment = route_of().deployment.id
    accounting = accounting_of(in_process_gateway, "errors")
    first, second = lines_of(accounting, unknown, named)
    assert "deployment" not in first
    assert second["deployment"] == named.named_deployment


@pytest.fixture
def printed(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Log as a gateway does: JSON."""
    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.stdlib.add_log_level, structlog.processors.JSONRenderer()],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    caplog.set_level(logging.INFO, "gateway.calls")
    yield caplog
    structlog.configure(**before)


async def test_a_line_is_json_without_the_key_and_the_input(
    in_process_gateway: InProcessGateway, printed: pytest.LogCaptureFixture
) -> None:
    accounting = accounting_of(in_process_gateway, "all")
    accounting.add(LoggedCall(route_of(), content_type=INPUT, user_agent=INPUT))
    accounting.add(LoggedCall(None, 1, ErrorCode.API_KEY_INVALID, x_request_id=INPUT))
    accounting.drain()
    lines = [record.getMessage() for record in printed.records if record.name == "gateway.calls"]
    assert [json.loads(line)["event"] for line in lines] == ["call", "call"]
    assert not [line for line in lines if KEY in line or "canary" in line]


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_calls_that_become_runs_and_refused_ones_are_logged_with_the_id_of_their_answer(
    database: Database, settings: Settings, printed: pytest.LogCaptureFixture, mode: str
) -> None:
    gateway = ServedGateway(settings.model_copy(update={"call_log": "all"}))
    await gateway.open()
    try:
        ada = await gateway.user("ada@example.com", Role.ADMIN)
        user = await gateway.key_client(ada, Scope.MANAGE)
        made = await deploy(user, flow_json(), execution_mode=mode, deployment_type="api")
        path = f"/node/deployment-trigger/{made['id']}/"
        headers = {"prefer": "respond-async"}
        accepted = await user.post(
            path, json={"input_data": {"x": [[1, 2, 3, 4]]}}, headers=headers
        )
        refused = await user.post(path, json={"input_data": {INPUT: INPUT}})
        unauthenticated = await gateway.client(**{"x-api-key": KEY}).post(path, json={})
        gateway.container.accounting.drain()
    finally:
        await gateway.close()
    texts = [record.getMessage() for record in printed.records if record.name == "gateway.calls"]
    lines = [json.loads(text) for text in texts]
    answers = accepted, refused, unauthenticated
    assert [answer.status_code for answer in answers] == [202, 422, 401]
    assert [line["status"] for line in lines] == [202, 422, 401]
    assert [line["request_id"] for line in lines] == [it.headers["x-request-id"] for it in answers]
    assert [line["deployment"] for line in lines] == [made["id"]] * 3
    assert (lines[0]["mode"], lines[0]["version"]) == (mode, 1)
    assert lines[0]["run_id"] == accepted.json()["flow_run_id"]
    assert [line.get("code") for line in lines[1:]] == [it.json()["code"] for it in answers[1:]]
    secrets = [user.headers["x-api-key"], KEY, "canary"]
    assert not [text for text in texts for secret in secrets if secret in text]


async def test_lines_are_bounded_and_the_rest_is_counted(
    in_process_gateway: InProcessGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_log, "MAX_LINES", 2)
    accounting = accounting_of(in_process_gateway, "all")
    route = route_of()
    with capture_logs() as logs:
        for _ in range(5):
            accounting.add(LoggedCall(route))
        accounting.drain()
        assert [line["event"] for line in logs] == ["call", "call"]
        await until(lambda: len(logs) > 2)
        assert (logs[2]["event"], logs[2]["count"]) == ("calls_not_logged", 3)
        accounting.add(LoggedCall(route))
        accounting.drain()
        assert logs[3]["event"] == "call"


@pytest.mark.parametrize("given", ["", "on", "slow", "slow:250", "slow:0ms", "slow:2.5ms", "ALL"])
def test_a_setting_that_is_none_of_these_is_refused(given: str) -> None:
    with pytest.raises(ValidationError, match="expected off, errors, all, or slow: and") as refused:
        Settings(call_log=given)
    assert refused.value.errors()[0]["loc"] == ("call_log",)


async def test_the_line_of_a_sampled_call_has_its_trace(
    in_process_gateway: InProcessGateway,
) -> None:
    sampled, other = LoggedCall(None), LoggedCall(None)
    sampled.trace, other.trace = TraceContext(0xABC, 1), UNSAMPLED
    lines = lines_of(accounting_of(in_process_gateway, "all"), sampled, other)
    assert [line.get("trace_id") for line in lines] == [f"{0xABC:032x}", None]
