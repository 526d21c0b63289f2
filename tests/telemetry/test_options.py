"""Options of a process: the command line, the environment, and the defaults."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from telemetry.options import OptionsError, check, flag, option, read, seconds, whole_number


@dataclass(frozen=True, kw_only=True)
class Example:
    port: int = option(whole_number(1, 65535), "port of the example", default="8080")
    wait: float | None = option(seconds(1), "time to wait", shown_default="never")
    verbose: bool = flag("print more")
    pipe: int | None = option(whole_number(0), "a pipe", in_environment=False)
    name: str = option(str, "name of the example", required=True)


def parse(*arguments: str) -> Example:
    return check(Example, ["--name", "x", *arguments], prefix="EXAMPLE_")


def test_defaults_apply_without_options_and_variables() -> None:
    assert parse() == Example(port=8080, wait=None, verbose=False, pipe=None, name="x")


def test_an_option_overrides_its_variable_and_the_variable_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EXAMPLE_PORT", "81")
    monkeypatch.setenv("EXAMPLE_WAIT", "2.5")
    monkeypatch.setenv("EXAMPLE_VERBOSE", "Yes")
    monkeypatch.setenv("EXAMPLE_PIPE", "7")
    assert parse("--wait", "3") == Example(port=81, wait=3.0, verbose=True, pipe=None, name="x")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "0"], "--port: expected a whole number from 1 to 65535, got '0'"),
        (["--port", "many"], "--port: expected a whole number from 1 to 65535, got 'many'"),
        (["--wait", "nan"], "--wait: expected a number of seconds from 1, got 'nan'"),
        (["--wait", "inf"], "--wait: expected a number of seconds from 1, got 'inf'"),
        (["--pipe", "-1"], "--pipe: expected a whole number from 0, got '-1'"),
    ],
)
def test_an_invalid_option_is_reported_by_its_name(arguments: list[str], message: str) -> None:
    with pytest.raises(OptionsError) as caught:
        parse(*arguments)
    assert str(caught.value) == message


def test_an_invalid_variable_is_reported_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_PORT", "x")
    with pytest.raises(OptionsError, match=r"^EXAMPLE_PORT: expected a whole number"):
        parse()


def test_a_missing_option_is_reported() -> None:
    with pytest.raises(OptionsError, match=r"required: --name"):
        check(Example, [], prefix="EXAMPLE_")


def test_help_names_variables_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read(Example, ["--help"], prefix="EXAMPLE_", program="example", description="An example.")
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "port of the example (EXAMPLE_PORT, default 8080)" in text
    assert "time to wait (EXAMPLE_WAIT, default never)" in text
    assert "EXAMPLE_PIPE" not in text


def test_invalid_options_exit_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read(Example, ["--port", "x"], prefix="EXAMPLE_", program="example", description=None)
    assert caught.value.code == 2
    assert "example: error: --port: expected" in capsys.readouterr().err
