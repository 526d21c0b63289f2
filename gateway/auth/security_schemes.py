"""The security schemes of the OpenAPI document."""

from __future__ import annotations

from typing import Any

HEADER_KEY = "ApiKey"
BEARER_KEY = "BearerApiKey"
SESSION = "ConsoleSession"

# Any: OpenAPI's own form
KEY_SECURITY: list[dict[str, Any]] = [{HEADER_KEY: []}, {BEARER_KEY: []}]
"""For routes that accept API keys and are only described, not served, by FastAPI."""
ANY_SECURITY: list[dict[str, Any]] = [*KEY_SECURITY, {SESSION: []}]
"""For routes that accept sessions, too."""
