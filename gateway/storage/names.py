"""The type of names that users choose, as the database stores them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

DisplayName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""One line of text, up to 200 characters."""
