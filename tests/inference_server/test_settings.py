"""The command line wins over the environment, which wins over the defaults."""

from __future__ import annotations

import pytest

from inference_server import settings
from telemetry.options import TcpAddress

NEEDED = ["--store", "models", "--model", "iris", "--version", "3", "--socket", "iris.sock"]


def test_defaults_are_safe() -> None:
    chosen = settings.read(NEEDED)
    assert (chosen.store, chosen.model, chosen.version) == ("models", "iris", 3)
    assert chosen.tcp is None
    assert chosen.metrics == TcpAddress("127.0.0.1", 0)
    assert chosen.threads is None
    assert chosen.status_fd is None


def test_the_environment_supplies_missing_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPSTREAM_INFERENCE_MODEL", "other")
    monkeypatch.setenv("SLIPSTREAM_INFERENCE_THREADS", "4")
    monkeypatch.setenv("SLIPSTREAM_INFERENCE_STATUS_FD", "7")
    chosen = settings.read(NEEDED)
    assert (chosen.model, chosen.threads, chosen.status_fd) == ("iris", 4, None)
    assert settings.read([*NEEDED[:2], *NEEDED[4:]]).model == "other"


@pytest.mark.parametrize(
    "wrong",
    [
        ["--version", "0"],
        ["--version", "latest"],
        ["--threads", "none"],
        ["--tcp", "8000"],
        ["--tcp", "localhost:70000"],
        ["--metrics", ":1"],
        ["--grace-seconds", "-1"],
        ["--grace-seconds", "nan"],
        ["--idle-timeout", "-1"],
        ["--idle-timeout", "never"],
        ["--queue-calls", "0"],
        ["--unknown"],
    ],
)
def test_invalid_options_are_named(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        settings.read([*NEEDED, *wrong])
    assert caught.value.code == 2
    assert wrong[0] in capsys.readouterr().err


@pytest.mark.parametrize("text", ["127.0.0.1:80", "[::1]:0", "host:65535"])
def test_an_address_is_formatted_as_it_was_parsed(text: str) -> None:
    assert str(TcpAddress.parse(text)) == text
