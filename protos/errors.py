"""What can go wrong, as codes: the same word in HTTP bodies, in gRPC metadata and in logs.

The packages raise exceptions of their own that carry a code. A transport translates codes in one
table: HTTP in `gateway/web/problems.py`, gRPC in `protos/status.py`.
"""

from __future__ import annotations

from enum import StrEnum


class ErrorCode(StrEnum):
    """A stable name for one kind of failure. Members are never renamed: clients match on them.

    Attributes:
        meaning: what has happened, in a sentence for people.
    """

    _value_: str
    meaning: str

    def __new__(cls, name: str, meaning: str = "") -> ErrorCode:
        """Make a member of a name; `ErrorCode(name)` finds one."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.meaning = meaning
        return member

    INVALID_JSON = "invalid_json", "The body is not JSON."
    INVALID_REQUEST = "invalid_request", "The body, a header or a parameter has the wrong form."
    INVALID_INPUT = "invalid_input", "`input_data` does not fit what the flow asks for."
    INVALID_TENSOR = (
        "invalid_tensor",
        "A tensor's name, datatype, shape or data does not fit the model.",
    )
    IDEMPOTENCY_KEY_REQUIRED = (
        "idempotency_key_required",
        "The deployment demands an Idempotency-Key with each call.",
    )
    VALIDATION_FAILED = "validation_failed", "A management request does not fit its schema."
    INVALID_FLOW = (
        "invalid_flow",
        "The flow's graph cannot be used as asked; the message names the node.",
    )
    INVALID_MODEL = "invalid_model", "The file is no ONNX model that this runtime can serve."
    API_KEY_MISSING = "api_key_missing", "The call carries no API key."
    API_KEY_INVALID = "api_key_invalid", "The API key is malformed, unknown or deleted."
    API_KEY_DEACTIVATED = "api_key_deactivated", "The API key exists and has been deactivated."
    API_KEY_EXPIRED = "api_key_expired", "The API key was good until a time that has passed."
    API_KEY_FORBIDDEN = (
        "api_key_forbidden",
        "The API key is good, but not for this deployment or this action.",
    )
    SESSION_INVALID = (
        "session_invalid",
        "The console session has ended, or never was one: log in again.",
    )
    LOGIN_FAILED = "login_failed", "E-mail or password is wrong."
    CSRF_FAILED = (
        "csrf_failed",
        "A request of a browser does not prove that our own pages have sent it.",
    )
    ROLE_FORBIDDEN = "role_forbidden", "The user's role does not allow this."
    NOT_FOUND = "not_found", "There is no such thing, or it belongs to another profile."
    METHOD_NOT_ALLOWED = "method_not_allowed", "The path exists, with other methods."
    GONE = "gone", "It existed and was deleted."
    CONFLICT = "conflict", "The request contradicts the present state; the message says which."
    DEPLOYMENT_PAUSED = "deployment_paused", "The deployment takes no calls until it is resumed."
    RUN_FINISHED = "run_finished", "The run has ended already, and how it ended is final."
    IDEMPOTENCY_KEY_REUSED = (
        "idempotency_key_reused",
        "The Idempotency-Key was used before, with another body.",
    )
    NO_ACTIVE_INFERENCE = (
        "no_active_inference",
        "No inference server is wanted for the model: retrying will not help, starting one will.",
    )
    PAYLOAD_TOO_LARGE = "payload_too_large", "The body is over the limit that the message names."
    UNSUPPORTED_MEDIA_TYPE = (
        "unsupported_media_type",
        "The body is in a form that this route does not read.",
    )
    RATE_LIMITED = (
        "rate_limited",
        "A limit of the key or the deployment is used up; the message says which, and until when.",
    )
    TOO_MANY_RUNS = (
        "too_many_runs",
        "As many runs as the key or the deployment may have at once go on already.",
    )
    TOO_MANY_FAILURES = (
        "too_many_failures",
        "Too many calls from this address had no good key or password.",
    )
    HEADERS_TOO_LARGE = "headers_too_large", "The request's headers are over the limit."
    URL_TOO_LONG = "url_too_long", "The request's target is over the limit."
    REQUEST_TIMEOUT = "request_timeout", "The request did not arrive in time."
    TOO_MANY_CONNECTIONS = (
        "too_many_connections",
        "The gateway keeps as many connections as it may.",
    )
    OVERLOADED = "overloaded", "Too much is queued already; retry after a moment."
    CANCELLED = "cancelled", "The caller went away before the answer."
    INFERENCE_FAILED = "inference_failed", "The model itself failed on this input."
    FLOW_FAILED = "flow_failed", "A node of the flow failed; the message says which, and why."
    RUN_CANCELLED = "run_cancelled", "The run was cancelled before it had a result."
    RUN_TIMEOUT = "run_timeout", "The run took longer than its deployment allows, and was stopped."
    QUEUE_TIMEOUT = "queue_timeout", "Nothing began with the run in the time that it may wait."
    WORKER_LOST = (
        "worker_lost",
        "The process that the run was in has died, or nobody hears of it any more.",
    )
    INTERNAL = "internal", "A fault of ours. The log has the details under the request id."
    NOT_IMPLEMENTED = "not_implemented", "Known, and not offered by this version or this model."
    GATEWAY_STARTING = "gateway_starting", "The gateway listens and is not ready yet."
    SHUTTING_DOWN = "shutting_down", "The process is draining and takes no new calls."
    DATABASE_UNAVAILABLE = "database_unavailable", "The database does not answer."
    NO_WORKER = "no_worker", "No worker took the run in time; nothing was begun."
    INFERENCE_SERVER_BOOTING = (
        "inference_server_booting",
        "The inference server is on its way up; the message says in which phase.",
    )
    INFERENCE_SERVER_FAILED = (
        "inference_server_failed",
        "The inference server could not load its model; the message has the reason.",
    )
    INFERENCE_SERVER_UNAVAILABLE = (
        "inference_server_unavailable",
        "The connection to the inference server is lost; it is being restarted.",
    )
    DEADLINE_EXCEEDED = "deadline_exceeded", "The call took longer than it may."
    BLOCKED_TARGET = "blocked_target", "A URL points to where calls are not allowed to go."
    UPSTREAM_UNREACHABLE = (
        "upstream_unreachable",
        "What a URL points to does not answer, or not in a form or size that can be taken.",
    )

    @classmethod
    def known(cls, name: str | None) -> ErrorCode | None:
        """Return the code called `name`, if this version knows it."""
        try:
            return cls(name or "")
        except ValueError:
            return None


class TensorError(Exception):
    """A tensor does not fit: the message names it, what was expected and what came."""

    code = ErrorCode.INVALID_TENSOR
