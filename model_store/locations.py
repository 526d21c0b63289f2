"""Where a model store is: in a folder or a bucket, by its URL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from model_store.errors import invalid_request
from model_store.folder_store import FolderStore
from model_store.store import ModelStore


def open_store(
    url: str, *, options: Mapping[str, str], cache: Path, cache_bytes: int
) -> ModelStore:
    """Return the store at `url`, which is file:///folder, or the URL of a bucket.

    Args:
        url: of the store.
        options: of a bucket, see BucketStore.
        cache: folder in which versions of a bucket are kept, see VersionCache.
        cache_bytes: of those versions.

    Raises:
        StoreError: INVALID_REQUEST, the URL or an option cannot be used.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return FolderStore(Path(unquote(parts.path)))
    # Imported here: it takes 30 ms, and most installations have a folder
    from model_store.bucket_store import BucketStore  # noqa: PLC0415
    from model_store.cache import VersionCache  # noqa: PLC0415

    return BucketStore(url, VersionCache(cache, cache_bytes), options)


def parse_options(text: str, source: str = "SLIPSTREAM_MODEL_STORE_OPTIONS") -> dict[str, str]:
    """Return `name=value` pairs, which are separated by commas or lines. `source` is for messages.

    >>> parse_options("region=eu-central-1, endpoint=https://s3.example.com")
    {'region': 'eu-central-1', 'endpoint': 'https://s3.example.com'}

    Raises:
        StoreError: INVALID_REQUEST, a pair has no `=`. The message does not contain it.
    """
    pairs = [pair.strip() for pair in text.replace("\n", ",").split(",") if pair.strip()]
    options = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    if len(options) < len(pairs):
        raise invalid_request(
            f"{source}: expected name=value pairs with different names, separated by commas"
        )
    return options
