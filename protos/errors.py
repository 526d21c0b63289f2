"""The error codes: one table with the meaning of each code and its status on every transport.

The same code appears in HTTP bodies, in gRPC metadata and in logs. `make errors-doc` writes
docs/errors.md from this table, and the problem pages (`/problems/`) show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorSpec:
    """What a code means, and how each transport reports it."""

    name: str
    http: int
    """The HTTP status."""
    v2: int | None = None
    """The HTTP status under /v2, if different: Open Inference servers answer 400 for tensors."""
    grpc: str
    """The name of the gRPC status."""
    retryable: bool = False
    """Whether the same call may succeed later without a change."""
    meaning: str
    """What has happened."""
    advice: str
    """What to do next."""


class ErrorCode(StrEnum):
    """A stable name for one kind of failure. Members are never renamed: clients match on them.

    Attributes:
        spec: the row of the table, whose columns are also the attributes below.
        http_status: the HTTP status.
        v2_status: the HTTP status under /v2.
        grpc_status: the name of the gRPC status.
        retryable: whether the same call may succeed later without a change.
    """

    _value_: str
    spec: ErrorSpec
    http_status: int
    v2_status: int
    grpc_status: str
    retryable: bool

    def __new__(cls, spec: ErrorSpec) -> ErrorCode:
        """Create a member from its row; `ErrorCode(name)` looks one up."""
        member = str.__new__(cls, spec.name)
        member._value_ = spec.name
        member.spec = spec
        member.http_status = spec.http
        member.v2_status = spec.v2 or spec.http
        member.grpc_status = spec.grpc
        member.retryable = spec.retryable
        return member

    INVALID_JSON = ErrorSpec(
        name="invalid_json",
        http=400,
        grpc="INVALID_ARGUMENT",
        meaning="The body is not valid JSON.",
        advice="Send JSON in UTF-8. The message says where it is malformed.",
    )
    INVALID_REQUEST = ErrorSpec(
        name="invalid_request",
        http=400,
        grpc="INVALID_ARGUMENT",
        meaning="The body, a header or a parameter is malformed.",
        advice="Correct what the message names.",
    )
    IDEMPOTENCY_KEY_REQUIRED = ErrorSpec(
        name="idempotency_key_required",
        http=400,
        grpc="INVALID_ARGUMENT",
        meaning="The deployment requires an Idempotency-Key with each call.",
        advice=(
            "Send the header Idempotency-Key: a new UUID for each call, and the same one when you "
            "repeat that call."
        ),
    )
    INVALID_INPUT = ErrorSpec(
        name="invalid_input",
        http=422,
        v2=400,
        grpc="INVALID_ARGUMENT",
        meaning="`input_data` does not match the flow's input schema, or a node cannot use it.",
        advice="Correct the fields listed in `errors` and in the message.",
    )
    INVALID_TENSOR = ErrorSpec(
        name="invalid_tensor",
        http=422,
        v2=400,
        grpc="INVALID_ARGUMENT",
        meaning="A tensor's name, datatype, shape or data does not match the model.",
        advice="Compare it with the model's inputs: `GET /v2/models/{model}`.",
    )
    VALIDATION_FAILED = ErrorSpec(
        name="validation_failed",
        http=422,
        grpc="INVALID_ARGUMENT",
        meaning="A management request does not match its schema.",
        advice="Correct the fields listed in `errors`. `/docs` shows the schema.",
    )
    INVALID_FLOW = ErrorSpec(
        name="invalid_flow",
        http=422,
        grpc="INVALID_ARGUMENT",
        meaning="The flow's graph cannot be used as requested. The message names the node.",
        advice="Correct the flow at that node and save it.",
    )
    INVALID_MODEL = ErrorSpec(
        name="invalid_model",
        http=422,
        grpc="INVALID_ARGUMENT",
        meaning="Not a valid ONNX model, or not one that this runtime can serve.",
        advice="Export the model to ONNX again as the message describes.",
    )
    API_KEY_MISSING = ErrorSpec(
        name="api_key_missing",
        http=401,
        grpc="UNAUTHENTICATED",
        meaning="The call carries no API key.",
        advice="Send the key as X-API-Key, or as a bearer token in Authorization.",
    )
    API_KEY_INVALID = ErrorSpec(
        name="api_key_invalid",
        http=401,
        grpc="UNAUTHENTICATED",
        meaning="The API key is malformed, unknown or deleted.",
        advice=(
            "Check that the key is complete and current, or create a new one with `slipstream keys"
            " create`."
        ),
    )
    API_KEY_DEACTIVATED = ErrorSpec(
        name="api_key_deactivated",
        http=401,
        grpc="UNAUTHENTICATED",
        meaning="The API key has been deactivated.",
        advice="Activate the key, or use another one.",
    )
    API_KEY_EXPIRED = ErrorSpec(
        name="api_key_expired",
        http=401,
        grpc="UNAUTHENTICATED",
        meaning="The API key has expired.",
        advice="Rotate the key, or use another one.",
    )
    API_KEY_FORBIDDEN = ErrorSpec(
        name="api_key_forbidden",
        http=403,
        grpc="PERMISSION_DENIED",
        meaning="The API key is valid, but not for this deployment or action.",
        advice=(
            "Use a key with the scope that the message names, or add the deployment to this key."
        ),
    )
    SESSION_INVALID = ErrorSpec(
        name="session_invalid",
        http=401,
        grpc="UNAUTHENTICATED",
        meaning="The console session is unknown or has ended.",
        advice="Log in again.",
    )
    LOGIN_FAILED = ErrorSpec(
        name="login_failed",
        http=401,
        grpc="UNAUTHENTICATED",
        meaning="The e-mail address or password is wrong.",
        advice="Check both. An admin can set a new password.",
    )
    SETUP_TOKEN_INVALID = ErrorSpec(
        name="setup_token_invalid",
        http=401,
        grpc="UNAUTHENTICATED",
        meaning="The token of the set-up link is wrong, older than a day, or of an earlier start.",
        advice=(
            "Open the link that `slipstream up` printed last. Starting it again prints a new one; "
            "`slipstream users reset-password` sets a password without a link."
        ),
    )
    CSRF_FAILED = ErrorSpec(
        name="csrf_failed",
        http=403,
        grpc="PERMISSION_DENIED",
        meaning="A browser request does not prove that one of the gateway's own pages sent it.",
        advice=(
            "Send the session's token as X-CSRF-Token from a page of the same origin. Programs use"
            " an API key instead."
        ),
    )
    ROLE_FORBIDDEN = ErrorSpec(
        name="role_forbidden",
        http=403,
        grpc="PERMISSION_DENIED",
        meaning="The user's role does not allow this action.",
        advice="Ask a user with the role that the message names.",
    )
    NOT_FOUND = ErrorSpec(
        name="not_found",
        http=404,
        grpc="NOT_FOUND",
        meaning="The resource does not exist, or it belongs to another profile.",
        advice="Check the id, the path, and whose API key you use.",
    )
    METHOD_NOT_ALLOWED = ErrorSpec(
        name="method_not_allowed",
        http=405,
        grpc="UNIMPLEMENTED",
        meaning="The path exists, but not with this method.",
        advice="Use one of the methods in the header Allow.",
    )
    CONSOLE_NOT_BUILT = ErrorSpec(
        name="console_not_built",
        http=404,
        grpc="NOT_FOUND",
        meaning="This installation does not contain the files of the web console.",
        advice="Run `make console` in the checkout, and open the page again.",
    )
    SETUP_COMPLETED = ErrorSpec(
        name="setup_completed",
        http=410,
        grpc="FAILED_PRECONDITION",
        meaning="A user has a password already, so the set-up link is not valid any longer.",
        advice="Log in. An admin can set a new password, or create a user for you.",
    )
    INVITATION_INVALID = ErrorSpec(
        name="invitation_invalid",
        http=410,
        grpc="FAILED_PRECONDITION",
        meaning=(
            "The invitation link was used, has expired or was replaced by another one, or its "
            "token is wrong."
        ),
        advice=(
            "Log in if you have set a password. Else ask an admin or owner for a new link: "
            "`slipstream users invite`, or Users in the console."
        ),
    )
    GONE = ErrorSpec(
        name="gone",
        http=410,
        grpc="NOT_FOUND",
        meaning="The resource existed and was deleted.",
        advice="Use another one. Deletion is final.",
    )
    CONFLICT = ErrorSpec(
        name="conflict",
        http=409,
        grpc="FAILED_PRECONDITION",
        meaning="The request conflicts with the current state. The message describes it.",
        advice="Read the current state, then decide again.",
    )
    PRECONDITION_FAILED = ErrorSpec(
        name="precondition_failed",
        http=412,
        grpc="FAILED_PRECONDITION",
        meaning="The resource has changed since the ETag in If-Match was read. It was left as is.",
        advice="Read the resource again, and repeat the change with its new ETag.",
    )
    PRECONDITION_REQUIRED = ErrorSpec(
        name="precondition_required",
        http=428,
        grpc="FAILED_PRECONDITION",
        meaning="A console session changes the resource without the header If-Match.",
        advice="Read the resource, and repeat the change with its ETag in If-Match.",
    )
    DEPLOYMENT_PAUSED = ErrorSpec(
        name="deployment_paused",
        http=409,
        grpc="FAILED_PRECONDITION",
        meaning="The deployment is paused and takes no calls.",
        advice="Resume it with `slipstream deployments resume`, or ask the user who paused it.",
    )
    RUN_FINISHED = ErrorSpec(
        name="run_finished",
        http=409,
        grpc="FAILED_PRECONDITION",
        meaning="The run has already ended, and its result is final.",
        advice="Read the run's result at the path in `instance`.",
    )
    IDEMPOTENCY_KEY_REUSED = ErrorSpec(
        name="idempotency_key_reused",
        http=422,
        grpc="INVALID_ARGUMENT",
        meaning="The Idempotency-Key was already used with another body.",
        advice="Send the body that the key was first used with, or a new key.",
    )
    NO_ACTIVE_INFERENCE = ErrorSpec(
        name="no_active_inference",
        http=409,
        v2=404,
        grpc="NOT_FOUND",
        meaning="No inference server is meant to run for the model, so a retry fails as well.",
        advice=(
            "Start one with `slipstream models serve` or POST /node/inference-servers/, then send "
            "the call again."
        ),
    )
    PAYLOAD_TOO_LARGE = ErrorSpec(
        name="payload_too_large",
        http=413,
        grpc="RESOURCE_EXHAUSTED",
        meaning="The body exceeds the limit that the message names.",
        advice=(
            "Send less per request, for example fewer rows. Operators can raise the setting that "
            "the message names."
        ),
    )
    STORAGE_QUOTA_EXCEEDED = ErrorSpec(
        name="storage_quota_exceeded",
        http=507,
        grpc="RESOURCE_EXHAUSTED",
        meaning=(
            "A quota of the user or the installation, or the disk, has too little room for the "
            "upload, the run or the change."
        ),
        advice=(
            "Remove what the message names: model versions with `slipstream models remove`, "
            "finished runs with `slipstream runs delete` or DELETE /node/flow-runs/, flows, "
            "deployments or keys. Operators can raise the setting that the message names, or add "
            "disk space."
        ),
    )
    UNSUPPORTED_MEDIA_TYPE = ErrorSpec(
        name="unsupported_media_type",
        http=415,
        grpc="INVALID_ARGUMENT",
        meaning="This route does not accept the body's media type or encoding.",
        advice="Send `Content-Type: application/json`.",
    )
    RATE_LIMITED = ErrorSpec(
        name="rate_limited",
        http=429,
        grpc="RESOURCE_EXHAUSTED",
        retryable=True,
        meaning=(
            "A limit of the key or deployment is used up. The message says which one and until "
            "when."
        ),
        advice="Wait as long as Retry-After says. `violated-policies` names the limit.",
    )
    TOO_MANY_RUNS = ErrorSpec(
        name="too_many_runs",
        http=429,
        grpc="RESOURCE_EXHAUSTED",
        retryable=True,
        meaning="The key or deployment already has as many concurrent runs as it may.",
        advice="Wait until runs have ended, or have the limit raised.",
    )
    KEY_SUSPENDED = ErrorSpec(
        name="key_suspended",
        http=429,
        grpc="RESOURCE_EXHAUSTED",
        meaning=(
            "Calls of this key have ended the process of the model twice within a minute, and are "
            "refused for this model for a while."
        ),
        advice=(
            "Find the input that ends it, often a dimension of 0, and do not send it again. Other "
            "models can be called; this one, when Retry-After has passed."
        ),
    )
    TOO_MANY_FAILURES = ErrorSpec(
        name="too_many_failures",
        http=429,
        grpc="RESOURCE_EXHAUSTED",
        retryable=True,
        meaning="Too many calls from this address had a wrong key or password.",
        advice="Wait as long as Retry-After says, and correct the key or password.",
    )
    TOO_MANY_STREAMS = ErrorSpec(
        name="too_many_streams",
        http=429,
        grpc="RESOURCE_EXHAUSTED",
        retryable=True,
        meaning="The key, the user or the gateway already has as many streams of events as it may.",
        advice="Close streams that nothing reads, or connect again after Retry-After.",
    )
    HEADERS_TOO_LARGE = ErrorSpec(
        name="headers_too_large",
        http=431,
        grpc="RESOURCE_EXHAUSTED",
        meaning="The request's headers exceed the limit.",
        advice=(
            "Send fewer or shorter headers. Operators can raise SLIPSTREAM_MAX_HEADER_BYTES and "
            "SLIPSTREAM_MAX_HEADER_COUNT."
        ),
    )
    URL_TOO_LONG = ErrorSpec(
        name="url_too_long",
        http=414,
        grpc="RESOURCE_EXHAUSTED",
        meaning="The request's URL exceeds the limit.",
        advice="Send a shorter URL. Data belongs in the body.",
    )
    REQUEST_TIMEOUT = ErrorSpec(
        name="request_timeout",
        http=408,
        grpc="ABORTED",
        retryable=True,
        meaning="The request did not arrive in time.",
        advice="Send it again over a better connection, or send less at once.",
    )
    TOO_MANY_CONNECTIONS = ErrorSpec(
        name="too_many_connections",
        http=503,
        grpc="UNAVAILABLE",
        retryable=True,
        meaning="The gateway has reached its limit of open connections.",
        advice=(
            "Wait as long as Retry-After says, and reuse connections. Operators can raise "
            "SLIPSTREAM_MAX_CONNECTIONS."
        ),
    )
    BODY_MEMORY_EXHAUSTED = ErrorSpec(
        name="body_memory_exhausted",
        http=503,
        grpc="UNAVAILABLE",
        retryable=True,
        meaning="The request bodies that are still arriving take as much memory as they may.",
        advice=(
            "Wait as long as Retry-After says. Send a smaller body, or over a faster connection. "
            "Operators can raise SLIPSTREAM_MAX_UNFINISHED_BYTES."
        ),
    )
    OVERLOADED = ErrorSpec(
        name="overloaded",
        http=429,
        grpc="RESOURCE_EXHAUSTED",
        retryable=True,
        meaning="Too many calls are queued already, in all or from one address.",
        advice=(
            "Wait as long as Retry-After says, and send fewer calls at once. Operators can add "
            "inference servers."
        ),
    )
    CANCELLED = ErrorSpec(
        name="cancelled",
        http=499,
        grpc="CANCELLED",
        meaning="The caller disconnected before the answer was ready.",
        advice="Nothing to do: no one receives the answer.",
    )
    INPUT_REJECTED = ErrorSpec(
        name="input_rejected",
        http=422,
        v2=400,
        grpc="INVALID_ARGUMENT",
        meaning=(
            "The tensors have the declared types and shapes, but an operator of the model cannot "
            "compute with their shapes or values."
        ),
        advice=(
            "Send another input: the message names the operator. If every input is rejected, the "
            "model is at fault."
        ),
    )
    INFERENCE_FAILED = ErrorSpec(
        name="inference_failed",
        http=500,
        grpc="INTERNAL",
        meaning="The inference server failed, or its answer is not what the model promises.",
        advice="Try another input. If every input fails, look at the model's log.",
    )
    INFERENCE_TOO_LARGE = ErrorSpec(
        name="inference_too_large",
        http=422,
        v2=400,
        grpc="RESOURCE_EXHAUSTED",
        meaning=(
            "For this input the model's outputs, or the memory that it needs, exceed the limit that"
            " the message names."
        ),
        advice=(
            "Send less per call, for example fewer rows, or request fewer outputs. Operators can "
            "raise SLIPSTREAM_INFERENCE_MAX_MESSAGE_BYTES and SLIPSTREAM_INFERENCE_MEMORY_BYTES."
        ),
    )
    RUN_TIME_EXCEEDED = ErrorSpec(
        name="run_time_exceeded",
        http=422,
        v2=400,
        grpc="RESOURCE_EXHAUSTED",
        meaning=(
            "For this input a run of the model took longer than it may, whatever the call's own "
            "time limit is: other callers wait for it."
        ),
        advice=(
            "Send an input that takes less, for example fewer rows or steps. The model's owner can "
            "raise `max_run_seconds`: `slipstream models serve NAME --max-run-seconds`."
        ),
    )
    NON_FINITE_OUTPUT = ErrorSpec(
        name="non_finite_output",
        http=500,
        grpc="INTERNAL",
        meaning=(
            "The result has NaN or an infinity, and the deployment's setting `non_finite` is "
            "`error`."
        ),
        advice=(
            "Send another input, or have the deployment's owner set `non_finite` to `string`, which"
            " shows such numbers as strings."
        ),
    )
    FLOW_FAILED = ErrorSpec(
        name="flow_failed",
        http=500,
        grpc="INTERNAL",
        meaning="A node of the flow failed. The message says which node and why.",
        advice=(
            "Correct the input, or the node that the message names. `instance`, if present, is the"
            " path of the whole run."
        ),
    )
    EVALUATION_LIMIT = ErrorSpec(
        name="evaluation_limit",
        http=422,
        grpc="RESOURCE_EXHAUSTED",
        meaning=(
            "An expression or template of the flow needed more CPU time or memory than one "
            "evaluation may use, or read or returned too much."
        ),
        advice=(
            "Send less data, or simplify the node that the message names. Operators can raise the "
            "limits of evaluators."
        ),
    )
    RUN_CANCELLED = ErrorSpec(
        name="run_cancelled",
        http=409,
        grpc="CANCELLED",
        meaning="The run was cancelled before it had a result.",
        advice="Start a new run, unless the cancellation was intended.",
    )
    RUN_TIMEOUT = ErrorSpec(
        name="run_timeout",
        http=504,
        grpc="DEADLINE_EXCEEDED",
        meaning="The run exceeded the deployment's time limit and was stopped.",
        advice="Raise the deployment's `timeout_seconds`, or make the flow do less.",
    )
    QUEUE_TIMEOUT = ErrorSpec(
        name="queue_timeout",
        http=503,
        grpc="UNAVAILABLE",
        retryable=True,
        meaning="The run was not started within the time it may wait in the queue.",
        advice="Send it again later. Operators can start more workers.",
    )
    WORKER_LOST = ErrorSpec(
        name="worker_lost",
        http=500,
        grpc="INTERNAL",
        retryable=True,
        meaning="The process that executed the run died or stopped responding.",
        advice=(
            "Send it again if the flow may safely repeat what it has already done. `retry_safe` "
            "makes that automatic."
        ),
    )
    INTERNAL = ErrorSpec(
        name="internal",
        http=500,
        grpc="INTERNAL",
        meaning="An error in Slipstream itself. The log has the details under the request id.",
        advice="Report the request id to the operator.",
    )
    NOT_IMPLEMENTED = ErrorSpec(
        name="not_implemented",
        http=501,
        grpc="UNIMPLEMENTED",
        meaning="Not offered by this version or this model.",
        advice="Use one of the alternatives in the message.",
    )
    GATEWAY_STARTING = ErrorSpec(
        name="gateway_starting",
        http=503,
        grpc="UNAVAILABLE",
        retryable=True,
        meaning="The gateway is listening but not ready yet.",
        advice="Send it again in a moment. `/readyz` says when the gateway is ready.",
    )
    SHUTTING_DOWN = ErrorSpec(
        name="shutting_down",
        http=503,
        grpc="UNAVAILABLE",
        retryable=True,
        meaning="The process is shutting down and accepts no new calls.",
        advice="Send it again: another gateway process takes the call.",
    )
    DATABASE_UNAVAILABLE = ErrorSpec(
        name="database_unavailable",
        http=503,
        grpc="UNAVAILABLE",
        retryable=True,
        meaning="The database does not respond.",
        advice=(
            "Send it again in a moment. If it keeps failing, the operator can check the database "
            "with `slipstream doctor`."
        ),
    )
    MODEL_STORE_UNAVAILABLE = ErrorSpec(
        name="model_store_unavailable",
        http=503,
        grpc="UNAVAILABLE",
        retryable=True,
        meaning="The model store does not respond, or refuses the gateway's credentials.",
        advice=(
            "Send it again in a moment. Models that run are not affected. If it keeps failing, the "
            "operator can check the store with `slipstream doctor`."
        ),
    )
    RECORDING_OVERLOADED = ErrorSpec(
        name="recording_overloaded",
        http=503,
        grpc="UNAVAILABLE",
        retryable=True,
        meaning=(
            "Too many fast calls wait for the database to write their runs, which these calls are "
            "answered after."
        ),
        advice=(
            "Wait as long as Retry-After says, and send fewer calls at once. If the answers need no"
            " `flow_run_id`, set the deployment's `record_runs` to `sample`."
        ),
    )
    NO_WORKER = ErrorSpec(
        name="no_worker",
        http=503,
        grpc="UNAVAILABLE",
        retryable=True,
        meaning="No worker took the run in time, so nothing was executed.",
        advice="Send it again later. Operators start a worker with `slipstream worker`.",
    )
    INFERENCE_SERVER_BOOTING = ErrorSpec(
        name="inference_server_booting",
        http=503,
        grpc="UNAVAILABLE",
        retryable=True,
        meaning="The inference server is starting. The message names the phase.",
        advice="Wait as long as Retry-After says.",
    )
    INFERENCE_SERVER_FAILED = ErrorSpec(
        name="inference_server_failed",
        http=503,
        grpc="UNAVAILABLE",
        retryable=True,
        meaning="The inference server could not load its model. The message has the reason.",
        advice=(
            "Fix the cause in the message, then start the server again with `slipstream models "
            "serve`."
        ),
    )
    INFERENCE_SERVER_UNAVAILABLE = ErrorSpec(
        name="inference_server_unavailable",
        http=503,
        grpc="UNAVAILABLE",
        retryable=True,
        meaning="The connection to the inference server was lost; the server is being restarted.",
        advice="Send it again in a moment.",
    )
    DEADLINE_EXCEEDED = ErrorSpec(
        name="deadline_exceeded",
        http=504,
        grpc="DEADLINE_EXCEEDED",
        retryable=True,
        meaning="The call exceeded its time limit.",
        advice=(
            "Allow more time with X-Request-Timeout, or send less at once. A call that changes "
            "something may have succeeded: check before you repeat it."
        ),
    )
    BLOCKED_TARGET = ErrorSpec(
        name="blocked_target",
        http=422,
        grpc="INVALID_ARGUMENT",
        meaning="A URL points to an address that calls may not reach.",
        advice=(
            "Use a public address. Operators can allow private ones with SLIPSTREAM_WEBHOOK_ALLOW."
        ),
    )
    UPSTREAM_UNREACHABLE = ErrorSpec(
        name="upstream_unreachable",
        http=502,
        grpc="UNAVAILABLE",
        meaning=(
            "The target of a URL does not respond, or its response has an unexpected form or size."
        ),
        advice="Check that the target responds as the message requires.",
    )

    @classmethod
    def known(cls, name: str | None) -> ErrorCode | None:
        """Return the code called `name`; None if this version does not know it."""
        return _BY_NAME.get(name or "")


_BY_NAME = {code.value: code for code in ErrorCode}


class TensorError(Exception):
    """A tensor is invalid: the message names it, what was expected and what was received."""

    code = ErrorCode.INVALID_TENSOR
