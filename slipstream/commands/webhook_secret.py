"""Secrets of webhooks on their way into a command: from a file, stdin, a variable or a prompt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from slipstream.failures import RefusedError
from slipstream.settings import WEBHOOK_SECRET_VARIABLE, webhook_secret

SecretFile = Annotated[
    Path | None,
    typer.Option(
        help="File that holds the secret; - is stdin. "
        f"Default: {WEBHOOK_SECRET_VARIABLE}, or a prompt.",
        metavar="FILE",
        allow_dash=True,
    ),
]
"""No option takes the secret itself: command lines are visible to every user of the machine."""


def read_file(path: Path) -> str:
    """Return the secret in a file, or on stdin for `-`, without its final newline.

    Raises:
        RefusedError: the file cannot be read, or is not text.
    """
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise RefusedError("secret_unreadable", f"{path}: {reason}") from None
    return text.removesuffix("\n").removesuffix("\r")


def given_secret(file: Path | None, *, prompt: str) -> str | None:
    """Return the secret from the file, the variable, or a prompt on a terminal."""
    if file is not None:
        return read_file(file)
    if text := webhook_secret():
        return text
    if not sys.stdin.isatty():
        return None
    asked: str = typer.prompt(prompt, default="", hide_input=True, show_default=False, err=True)
    return asked.strip() or None
