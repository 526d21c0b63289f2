"""Why an inference server does not answer, as users read it."""

from __future__ import annotations

FAILED_TO_LOAD = "the model failed to load"
"""The reason of a server that has failed and has none of its own."""
