"""The security schemes of the OpenAPI document, and how operations refer to them."""

from __future__ import annotations

from typing import Any

from gateway.auth.session_cookie import SESSION_COOKIE

# Any, here and below: OpenAPI's own form
SECURITY_SCHEMES: dict[str, dict[str, Any]] = {
    "ApiKey": {
        "type": "apiKey",
        "description": "An API key.",
        "in": "header",
        "name": "X-API-Key",
    },
    "BearerApiKey": {
        "type": "http",
        "description": "An API key as bearer token.",
        "scheme": "bearer",
    },
    "ConsoleSession": {
        "type": "apiKey",
        "description": (
            "A console session. Every method but GET also needs the header `X-CSRF-Token`, with "
            "the `csrf_token` of `GET /node/session/`."
        ),
        "in": "cookie",
        "name": SESSION_COOKIE,
    },
}
SESSION_SECURITY: list[dict[str, Any]] = [{"ConsoleSession": []}]
"""For operations that need a session."""
ANY_SECURITY: list[dict[str, Any]] = [{"ApiKey": []}, {"BearerApiKey": []}, *SESSION_SECURITY]
"""For operations that accept keys and sessions."""
