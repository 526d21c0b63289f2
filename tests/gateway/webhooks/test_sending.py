"""From a run's end to the receiver: real rows, a real process at the other end."""

from __future__ import annotations

from tests.gateway.webhooks.post import Post
from tests.gateway.webhooks.receiver import eventually


async def test_a_finished_run_arrives_and_an_independent_library_finds_the_signature_good(
    post: Post,
) -> None:
    made = await post.deploy()
    run_id = await post.finish(made)
    (message,) = await eventually(post.receiver.messages)
    message.verify(made["webhook_secret"])
    assert message.event["type"] == "run.completed"
    assert message.data["flow_run_id"] == run_id
    assert message.data["output_data"] == {"label": 1}
    assert message.data["result_url"] == f"https://flows.example.com/node/flow-runs/{run_id}/"
    headers = message.headers
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == "flow-deploy-webhooks/1"
    assert (headers["x-webhook-event"], headers["x-webhook-attempt"]) == ("run.completed", "1")
    shown = await post.until(run_id, "delivered")
    assert shown["id"] == message.id
    (attempt,) = shown["attempt_log"]
    assert (attempt["result"], attempt["status_code"]) == ("delivered", 200)
    assert attempt["request_headers"]["webhook-signature"] == headers["webhook-signature"]
    assert attempt["response_body"] is None  # a private target's answer is nobody's business
