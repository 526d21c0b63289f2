"""What to do next, by error code: what the codes mean is with the codes themselves."""

from __future__ import annotations

from collections.abc import Mapping

from protos.errors import ErrorCode

ADVICE: Mapping[ErrorCode, str] = {
    ErrorCode.INVALID_JSON: "Send JSON, in UTF-8; the message says what is wrong with it.",
    ErrorCode.INVALID_REQUEST: "Correct what the message names.",
    ErrorCode.INVALID_INPUT: "Correct the fields that `errors` and the message name.",
    ErrorCode.INVALID_TENSOR: "Compare with the model's inputs: `GET /v2/models/{model}`.",
    ErrorCode.IDEMPOTENCY_KEY_REQUIRED: (
        "Send the header Idempotency-Key: a new UUID for each call, and the same one when you "
        "send that call again."
    ),
    ErrorCode.VALIDATION_FAILED: "Correct the fields that `errors` names; `/docs` has the schema.",
    ErrorCode.INVALID_FLOW: "Correct the flow at the node that the message names, and save it.",
    ErrorCode.INVALID_MODEL: "Export the model as ONNX again, with what the message asks for.",
    ErrorCode.API_KEY_MISSING: (
        "Send the key as X-API-Key, or as a bearer token in Authorization."
    ),
    ErrorCode.API_KEY_INVALID: (
        "Look for a key that was cut off or replaced; else make a new one with "
        "`slipstream keys create`."
    ),
    ErrorCode.API_KEY_DEACTIVATED: "Activate the key, or use another one.",
    ErrorCode.API_KEY_EXPIRED: "Rotate the key, or use another one.",
    ErrorCode.API_KEY_FORBIDDEN: (
        "Use a key with the scope that the message names, or give it this deployment."
    ),
    ErrorCode.SESSION_INVALID: "Log in again.",
    ErrorCode.LOGIN_FAILED: "Check both. An admin can set a new password.",
    ErrorCode.CSRF_FAILED: (
        "Send the session's token as X-CSRF-Token, from a page of the same origin. "
        "Programs use an API key instead."
    ),
    ErrorCode.ROLE_FORBIDDEN: "Ask somebody with the role that the message names.",
    ErrorCode.NOT_FOUND: "Check the id and the path, and whose key it is.",
    ErrorCode.METHOD_NOT_ALLOWED: "Use one of the methods in the header Allow.",
    ErrorCode.GONE: "Use another one: what was deleted does not come back.",
    ErrorCode.CONFLICT: "Look at the present state, and decide again.",
    ErrorCode.DEPLOYMENT_PAUSED: (
        "Resume it with `slipstream deployments resume`, or ask who paused it."
    ),
    ErrorCode.RUN_FINISHED: "Read the run's result: `instance` says where.",
    ErrorCode.IDEMPOTENCY_KEY_REUSED: (
        "Send the body that the key was first used with, or another key."
    ),
    ErrorCode.NO_ACTIVE_INFERENCE: "Start one with `slipstream models serve`.",
    ErrorCode.PAYLOAD_TOO_LARGE: (
        "Send less at once, such as fewer rows. Operators set SLIPSTREAM_MAX_BODY_BYTES."
    ),
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: "Send `Content-Type: application/json`.",
    ErrorCode.RATE_LIMITED: "Wait for as long as Retry-After says. `violated-policies` says which.",
    ErrorCode.TOO_MANY_RUNS: "Wait until runs have ended, or have the limit raised.",
    ErrorCode.TOO_MANY_FAILURES: (
        "Wait for as long as Retry-After says, and correct the key or the password meanwhile."
    ),
    ErrorCode.HEADERS_TOO_LARGE: (
        "Send fewer headers, or shorter ones. Operators set SLIPSTREAM_MAX_HEADER_BYTES and "
        "SLIPSTREAM_MAX_HEADER_COUNT."
    ),
    ErrorCode.URL_TOO_LONG: "Send a shorter URL: data belongs in the body.",
    ErrorCode.REQUEST_TIMEOUT: "Send it again over a better connection, or less at once.",
    ErrorCode.TOO_MANY_CONNECTIONS: (
        "Wait for as long as Retry-After says, and keep connections alive. Operators set "
        "SLIPSTREAM_MAX_CONNECTIONS."
    ),
    ErrorCode.OVERLOADED: (
        "Wait for as long as Retry-After says, and send fewer calls at once. Operators add "
        "inference servers."
    ),
    ErrorCode.CANCELLED: "Nothing: nobody waits for the answer.",
    ErrorCode.INFERENCE_FAILED: "Try another input; if all fail, look at the model's log.",
    ErrorCode.FLOW_FAILED: (
        "Correct the input or the node that the message names. `instance`, where it is there, has "
        "the whole run."
    ),
    ErrorCode.RUN_CANCELLED: "Begin a new run, if it was not meant to be cancelled.",
    ErrorCode.RUN_TIMEOUT: (
        "Give the deployment more time by `timeout_seconds`, or the flow less to do."
    ),
    ErrorCode.QUEUE_TIMEOUT: "Send it again later. Operators start more workers.",
    ErrorCode.WORKER_LOST: (
        "Send it again if the flow may do twice what it had done already. With `retry_safe` that "
        "happens by itself."
    ),
    ErrorCode.INTERNAL: "Tell the operator the request id.",
    ErrorCode.NOT_IMPLEMENTED: "Do without: the message says what there is.",
    ErrorCode.GATEWAY_STARTING: "Send it again in a moment: `/readyz` says when it is ready.",
    ErrorCode.SHUTTING_DOWN: "Send it again: another gateway, or the next one, takes it.",
    ErrorCode.DATABASE_UNAVAILABLE: (
        "Send it again in a moment; if that does not help, the operator looks at the database "
        "with `slipstream doctor`."
    ),
    ErrorCode.NO_WORKER: "Send it again later. Operators start one with `slipstream worker`.",
    ErrorCode.INFERENCE_SERVER_BOOTING: "Wait for as long as Retry-After says.",
    ErrorCode.INFERENCE_SERVER_FAILED: (
        "Correct what the message says, and start it again with `slipstream models serve`."
    ),
    ErrorCode.INFERENCE_SERVER_UNAVAILABLE: "Send it again in a moment.",
    ErrorCode.DEADLINE_EXCEEDED: (
        "Allow more time by X-Request-Timeout, or send less at once. What changes something may "
        "have done so: look before you repeat it."
    ),
    ErrorCode.BLOCKED_TARGET: (
        "Use a public address. Operators open private ones with SLIPSTREAM_WEBHOOK_ALLOW."
    ),
    ErrorCode.UPSTREAM_UNREACHABLE: "See that it answers, and as the message asks for.",
}
