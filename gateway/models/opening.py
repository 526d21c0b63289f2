"""The model store that the settings name."""

from __future__ import annotations

from gateway.settings import Settings
from model_store.locations import open_store, parse_options
from model_store.store import ModelStore


def open_model_store(settings: Settings) -> ModelStore:
    """Return the store; raise StoreError (INVALID_REQUEST) if its URL cannot be used."""
    return open_store(
        settings.model_store or (settings.state / "models").absolute().as_uri(),
        options=parse_options(settings.model_store_options or ""),
        cache=settings.state / "model-cache",
        cache_bytes=settings.model_cache_bytes,
    )
