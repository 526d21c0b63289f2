"""`slipstream search` on a state folder of its own."""

from __future__ import annotations

from gateway.auth.keys import generate_key
from tests.slipstream.cli import Cli


def test_keys_are_found_by_name_and_by_mask(cli: Cli) -> None:
    made = cli.answer("keys", "create", "--name", "shop in the north")
    expected = {
        "kind": "api_key",
        "id": made["id"],
        "title": "shop in the north",
        "subtitle": made["masked"],
        "state": "active",
    }
    for text in ("north", made["masked"], made["id"][:8]):
        assert cli.answer("search", text) == {"items": [expected]}
    assert made["masked"] in cli.run("search", "shop").stdout
    assert "Nothing was found." in cli.run("search", "south").stdout


def test_a_complete_key_is_refused(cli: Cli) -> None:
    key = generate_key()
    assert cli.refusal("search", key) == (1, "validation_failed")
    assert key[8:-5] not in cli.run("search", key).output
