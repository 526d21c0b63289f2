"""`slipstream keys`: the life of a key from the command line, and the check of one offline."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import Result

from gateway.auth.keys import generate_key
from tests.slipstream.cli import Cli, invoke


def check(*words: str, given: str | None = None) -> Result:
    """Run `slipstream keys check` with something on stdin."""
    return invoke(["keys", "check", *words], given=given)


def test_a_key_is_created_with_environment_and_expiry_and_changed(cli: Cli) -> None:
    words = ("--name", "shop", "--environment", "production", "--expires-in-days", "30")
    made = cli.answer("keys", "create", *words)
    left = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=29.9) < left < timedelta(days=30)
    assert made["environment"] == "production"
    changed = cli.answer("keys", "set", made["id"], "--environment", "staging", "--never-expires")
    assert (changed["environment"], changed["expires_at"]) == ("staging", None)
    assert changed["name"] == "shop"
    changed = cli.answer("keys", "set", made["id"], "--scope", "manage", "--expires-in-days", "3")
    assert (changed["scope"], changed["warnings"][0]["code"]) == ("manage", "expires_soon")
    assert cli.refusal("keys", "set", made["id"], "--environment", "No!") == (
        1,
        "validation_failed",
    )
    contradiction = ("keys", "set", made["id"], "--never-expires", "--expires-in-days", "3")
    assert cli.run(*contradiction).exit_code == 2


def test_a_key_is_rotated_and_its_grace_ended(cli: Cli) -> None:
    old = cli.answer("keys", "create", "--name", "shop")
    result = cli.run("keys", "rotate", old["id"], "--grace-seconds", "60")
    assert result.stdout.startswith("sk-")
    assert "not shown again" in result.stderr
    assert cli.refusal("keys", "rotate", old["id"]) == (1, "conflict")
    assert cli.answer("keys", "rotate", old["id"], "--force")["replaces"] == old["id"]
    shown = cli.answer("keys", "show", old["id"])
    assert (shown["state"], shown["calls_since_rotation"]) == ("rotating", 0)
    assert "calls since rotation" in cli.run("keys", "show", old["id"]).stdout
    assert cli.answer("keys", "end-grace", old["id"])["state"] == "expired"
    assert cli.run("keys", "rotate", old["id"], "--grace-seconds", "604801").exit_code == 2


def test_the_addresses_of_a_key_are_listed(cli: Cli) -> None:
    made = cli.answer("keys", "create", "--name", "shop")
    assert cli.answer("keys", "addresses", made["id"]) == []
    assert "not used from any address yet" in cli.run("keys", "addresses", made["id"]).stdout
    assert cli.refusal("keys", "addresses", "none") == (1, "not_found")


def test_the_list_shows_masked_key_and_environment(cli: Cli) -> None:
    made = cli.answer("keys", "create", "--name", "shop", "--environment", "production")
    shown = cli.run("keys", "list").stdout
    heading, line = shown.splitlines()
    for column in ("environment", "last used", "from", "uses", "expires", "warnings"):
        assert column in heading
    assert made["masked"] in line
    assert "production" in line
    assert made["key"] not in shown


@pytest.mark.parametrize("words", [[], ["-"]])
def test_a_key_is_checked_from_stdin(words: list[str]) -> None:
    key = generate_key()
    result = check(*words, given=f"{key}\n")
    assert result.exit_code == 0
    assert (
        result.stdout == f"{key[:8]}********{key[-5:]} is well formed: its checksum is correct.\n"
    )
    assert not result.stderr
    answer = json.loads(check(*words, "--json", given=key).stdout)
    assert answer == {"well_formed": True, "masked": f"{key[:8]}********{key[-5:]}"}


def test_checking_a_key_given_as_an_argument_warns_about_the_shell_history() -> None:
    key = generate_key()
    result = check(key)
    assert result.exit_code == 0
    assert "history" in result.stderr
    assert key not in result.output


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda key: key[:-1], "length: expected 49 characters, got 48"),
        (lambda key: key[3:], "prefix: expected sk-"),
        (lambda key: f"{key[:20]}_{key[21:]}", "alphabet"),
        (lambda key: key[:20] + ("a" if key[20] != "a" else "b") + key[21:], "checksum"),
        (lambda key: f"{key[:8]}********{key[-5:]}", "mask"),
        (lambda key: key[:0], "length"),
    ],
)
def test_a_malformed_key_is_reported_with_the_reason(spoil: object, said: str) -> None:
    assert callable(spoil)
    key = generate_key()
    result = check(given=spoil(key))
    assert result.exit_code == 1
    assert said in result.stderr
    assert key[8:40] not in result.output
    answer = json.loads(check("--json", given=spoil(key)).stdout)
    assert answer["error"]["code"] == "key_malformed"
