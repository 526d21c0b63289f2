"""What lets people in, as the OpenAPI document names it."""

from __future__ import annotations

from typing import Any

HEADER_KEY = "ApiKey"
BEARER_KEY = "BearerApiKey"
SESSION = "ConsoleSession"

# Any: OpenAPI's own form
KEY_SECURITY: list[dict[str, Any]] = [{HEADER_KEY: []}, {BEARER_KEY: []}]
"""Of routes that FastAPI only describes, and that take a key."""
ANY_SECURITY: list[dict[str, Any]] = [*KEY_SECURITY, {SESSION: []}]
"""Of those that take a session, too."""
