"""http_request: the request, and how the response is read."""

from __future__ import annotations

from time import monotonic
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.flows.result import FlowResult
from gateway.outbound.messages import OutboundRequest, OutboundResponse
from protos.errors import ErrorCode
from tests.gateway.flows.fake_ports import FakePorts, hang, reply
from tests.gateway.flows.flow_builder import INPUT, Json, build_flow, node, run

SENT = {"id": "a/b?c=d", "n": 3, "tags": ["x y", 2], "none": None}


def flow(**config: Any) -> Json:
    """Return a flow of one request."""
    config = {"url": "https://example.com/", **config}
    return build_flow("input>web", INPUT, node("web", "http_request", **config))


async def sent(**config: Any) -> OutboundRequest:
    """Return the request of a flow."""

    async def service(_call: OutboundRequest) -> OutboundResponse:
        return reply({})

    world = FakePorts(service=service)
    outcome = await run(flow(**config), SENT, world=world)
    assert outcome.error is None, outcome.error
    (request,) = world.requests
    return request


async def answered(answer: OutboundResponse, **config: Any) -> FlowResult:
    """Run a flow whose request gets this response."""

    async def service(_call: OutboundRequest) -> OutboundResponse:
        return answer

    return await run(flow(**config), SENT, world=FakePorts(service=service))


async def test_the_default_request_has_no_body_and_no_headers() -> None:
    assert await sent() == OutboundRequest(
        method="GET",
        url="https://example.com/",
        headers={},
        body=None,
        max_bytes=1024 * 1024,
        node_id="web",
    )


async def test_values_in_a_url_cannot_change_host_or_path() -> None:
    request = await sent(url="https://example.com/{{ input.id }}/{{input.n + 1}}?x=1")
    assert request.url == "https://example.com/a%2Fb%3Fc%3Dd/4?x=1"


async def test_a_query_is_appended() -> None:
    query = {"q": "input.id", "tag": "input.tags", "none": "input.none", "n": "input.n"}
    request = await sent(url="https://example.com/", query=query)
    assert request.url == "https://example.com/?q=a%2Fb%3Fc%3Dd&tag=x+y&tag=2&n=3"
    assert (await sent(url="https://e.com/?a=1", query={"b": "2"})).url == "https://e.com/?a=1&b=2"


async def test_json_and_headers() -> None:
    request = await sent(
        method="POST",
        headers={"authorization": "Bearer {{ input.id }}"},
        json={"n": "input.n", "twice": "input.n * 2"},
    )
    assert request.method == "POST"
    assert request.headers == {
        "authorization": "Bearer a/b?c=d",
        "content-type": "application/json",
    }
    assert request.body == b'{"n":3,"twice":6}'
    assert (await sent(method="PUT", json="input.tags")).body == b'["x y",2]'


async def test_text_and_a_custom_content_type() -> None:
    request = await sent(
        method="POST", headers={"Content-Type": "text/csv"}, text="id,n\n{{input.id}},{{input.n}}"
    )
    assert request.headers == {"Content-Type": "text/csv"}
    assert request.body == b"id,n\na/b?c=d,3"


async def test_a_value_cannot_add_a_header() -> None:
    bad = flow(headers={"x-id": "{{ input.id }}"})
    outcome = await run(bad, {"id": "a\r\nx-admin: 1"}, world=FakePorts())
    assert outcome.error is not None
    assert "control character" in outcome.error.message


async def test_null_in_a_template_is_an_error() -> None:
    outcome = await run(flow(url="https://example.com/{{ input.none }}"), SENT)
    assert outcome.error is not None
    assert "'input.none' is null" in outcome.error.message


@pytest.mark.parametrize(
    ("answer", "config", "body"),
    [
        (reply({"a": [1]}), {}, {"a": [1]}),
        (reply({"a": 1}, content_type="application/problem+json; charset=utf-8"), {}, {"a": 1}),
        (reply(b"hello", content_type="text/plain"), {}, "hello"),
        (reply(b"{}", content_type="text/plain"), {"response": "json"}, {}),
        (reply(b"{}"), {"response": "text"}, "{}"),
        (reply(b"{}"), {"response": "none"}, None),
        (reply(b""), {}, None),
        (reply(b"\xff", content_type=""), {}, "\ufffd"),
    ],
)
async def test_response_bodies_are_read_by_content_type(
    answer: OutboundResponse, config: Json, body: Any
) -> None:
    output = (await answered(answer, **config)).node_outputs["web"]["output"]
    assert output == {"status": 200, "headers": dict(answer.headers), "body": body}


async def test_an_invalid_json_body_fails_the_node() -> None:
    outcome = await answered(reply(b"{"))
    assert outcome.node_outputs["web"]["error"]["code"] == "invalid_reply"


@pytest.mark.parametrize(
    ("status", "expect", "fine"),
    [
        (204, None, True),
        (302, None, False),
        (404, None, False),
        (404, ["2xx", 404], True),
        (404, ["4xx"], True),
        (200, [404], False),
    ],
)
async def test_unexpected_statuses_fail_the_node(status: int, expect: Any, fine: bool) -> None:
    config = {} if expect is None else {"expect": expect}
    outcome = await answered(reply(b"oh no", status, "text/plain"), **config)
    assert (outcome.status == "completed") is fine
    if not fine:
        assert outcome.error is not None
        assert outcome.error.message.startswith(f"the service answered {status}, expected ")
        assert outcome.error.message.endswith("oh no")


async def test_a_busy_service_is_retried() -> None:
    answers = [reply({}, 503), reply({}, 429, **{"retry-after": "0"}), reply({"ok": True})]

    async def service(_call: OutboundRequest) -> OutboundResponse:
        return answers.pop(0)

    patient = flow()
    patient["nodes"][1]["retry"] = {"attempts": 3, "delay_seconds": 0.001}
    outcome = await run(patient, SENT, world=FakePorts(service=service))
    assert outcome.node_outputs["web"]["output"]["body"] == {"ok": True}


async def test_retry_after_is_respected() -> None:
    patient = flow()
    patient["nodes"][1]["retry"] = {"attempts": 3, "delay_seconds": 0.001}

    async def service(_call: OutboundRequest) -> OutboundResponse:
        return reply({}, 503, **{"retry-after": "120"})

    world = FakePorts(service=service)
    outcome = await run(patient, SENT, world=world, seconds=60)
    assert outcome.status == "failed"  # the second attempt would be after the deadline
    assert len(world.requests) == 1


async def test_a_blocked_target_fails_the_node() -> None:
    async def service(_call: OutboundRequest) -> OutboundResponse:
        raise GatewayError(ErrorCode.INVALID_REQUEST, "10.0.0.1 is off limits")

    outcome = await run(flow(), SENT, world=FakePorts(service=service))
    assert outcome.error is not None
    assert outcome.error.message == "10.0.0.1 is off limits"


async def test_a_request_has_its_own_timeout() -> None:
    async def service(_call: OutboundRequest) -> OutboundResponse:
        return reply({})

    world = FakePorts(service=service)
    before = monotonic()
    await run(flow(timeout_seconds=2), SENT, world=world)
    assert before + 2 <= world.deadlines[0] <= monotonic() + 2
    outcome = await run(flow(), SENT, world=FakePorts(service=hang), seconds=0.02)
    assert outcome.error is not None
    assert outcome.error.code == "timeout"
