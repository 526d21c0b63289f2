"""`slipstream users`, on a state folder of its own."""

from __future__ import annotations

from typing import Any

from tests.slipstream.cli import Cli, invoke

PASSWORD = "korrekte pferde heften"


def typed(cli: Cli, text: str, *words: str) -> Any:
    """Run a command with `text` on its standard input."""
    arguments = [*words, "--state", str(cli.state)]
    return invoke(arguments, given=text)


def test_the_administrator_has_no_password_until_one_is_set(cli: Cli) -> None:
    (first,) = cli.answer("users", "list")["items"]
    assert (first["email"], first["role"]) == ("admin@localhost", "owner")
    assert not first["has_password"]
    done = typed(cli, f"{PASSWORD}\n", "users", "reset-password", "admin@localhost")
    assert done.exit_code == 0, done.output
    assert PASSWORD not in done.output
    assert cli.answer("users", "list")["items"][0]["has_password"]


def test_a_generated_password_alone_is_on_stdout_and_shown_once(cli: Cli) -> None:
    result = cli.run("users", "create", "ada@example.com", "--generate")
    assert len(result.stdout.split()) == 1
    assert len(result.stdout.strip()) == 20
    assert result.stdout.strip() not in cli.run("users", "list").output
    made = cli.answer("users", "reset-password", "ada@example.com", "--generate")
    assert len(made["password"]) == 20
    assert made["password"] != result.stdout.strip()


def test_a_user_is_created_changed_and_deleted_by_address_or_id(cli: Cli) -> None:
    made = cli.answer("users", "create", "Ada@Example.com", "--role", "admin", "--no-password")
    assert (made["email"], made["role"], made["has_password"]) == (
        "ada@example.com",
        "admin",
        False,
    )
    assert cli.answer("users", "set-role", made["id"], "member")["role"] == "member"
    assert cli.answer("users", "deactivate", "ada@example.com")["state"] == "deactivated"
    assert cli.answer("users", "activate", "ADA@example.com")["state"] == "active"
    assert cli.answer("users", "delete", made["id"])["deleted"] is True
    assert cli.refusal("users", "delete", made["id"]) == (1, "not_found")


def test_a_handle_is_made_of_the_address_and_can_be_changed(cli: Cli) -> None:
    made = cli.answer("users", "create", "Ada.L@example.com", "--no-password")
    assert made["handle"] == "ada-l"
    changed = cli.answer("users", "set-handle", "ada.l@example.com", "countess")
    assert changed["handle"] == "countess"
    handles = {each["handle"] for each in cli.answer("users", "list")["items"]}
    assert handles == {"admin", "countess"}
    assert cli.refusal("users", "set-handle", made["id"], "admin") == (1, "conflict")
    assert cli.refusal("users", "set-handle", made["id"], "Ada L") == (1, "validation_failed")


def test_invalid_changes_of_users_are_refused(cli: Cli) -> None:
    assert cli.refusal("users", "delete", "admin@localhost") == (1, "conflict")
    assert cli.refusal("users", "set-role", "admin@localhost", "member") == (1, "conflict")
    create = ("users", "create", "ada@example.com")
    assert cli.refusal(*create) == (1, "password_missing"), "nothing on standard input"
    assert "12 to 256 characters" in typed(cli, "short\n", *create).output
    assert cli.refusal("users", "create", "ada", "--generate") == (1, "validation_failed")
    assert cli.run(*create, "--role", "king").exit_code == 2
    assert cli.run(*create, PASSWORD).exit_code == 2, "a password is never an argument"


def test_a_user_is_invited_with_a_link_that_is_alone_on_stdout(cli: Cli) -> None:
    cli.answer("users", "create", "ada@example.com", "--no-password")
    result = cli.run("users", "invite", "Ada@Example.com")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("http://127.0.0.1:8080/console/invite#token=")
    assert len(result.stdout.split()) == 1
    made = cli.answer("users", "invite", "ada@example.com")
    assert made["url"] != result.stdout.strip()
    assert cli.refusal("users", "invite", "bob@example.com") == (1, "not_found")
