from __future__ import annotations

from tests.leftovers import leaves_nothing_behind  # noqa: F401 - a fixture
