"""The types of names and texts that users choose, as the database stores them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

DisplayName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""One line of text, up to 200 characters."""

Description = Annotated[
    str, Field(max_length=2000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$")
]
"""Some lines of text."""
