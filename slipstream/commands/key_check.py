"""`slipstream keys check`: whether a text could be a key, without asking anybody."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gateway.auth.keys import PREFIX_LENGTH, SUFFIX_LENGTH, format_errors, mask
from slipstream import options
from slipstream.failures import RefusedError, exit_on_error
from slipstream.terminal import Terminal

_STDIN = "-"


def check(
    key: Annotated[
        str, typer.Argument(help="The key; left out, or -: it is read from stdin.", metavar="[KEY]")
    ] = _STDIN,
    *,
    as_json: options.Json = False,
) -> None:
    """Check a key's form and checksum, offline: exit status 0 where it is well formed, else 1.

    It says nothing about whether the key is known or active. Reading it from stdin keeps it out of
    the shell's history and of the list of processes.

    [dim]slipstream keys check < key.txt[/]
    """
    with exit_on_error(as_json=as_json):
        text = _read(key)
        found = format_errors(text)
        if found:
            raise RefusedError("key_malformed", "; ".join(found))
        masked = mask(text[:PREFIX_LENGTH], text[-SUFFIX_LENGTH:])
        document = {"well_formed": True, "masked": masked}
        terminal = Terminal(as_json=as_json)
        terminal.show(document, f"{masked} is well formed: its checksum fits.")
        if key != _STDIN:
            terminal.note("It is in your shell's history now: next time, give it on stdin.")


def _read(key: str) -> str:
    if key != _STDIN:
        return key
    if sys.stdin.isatty():
        prompted: str = typer.prompt("Key", hide_input=True, err=True)
        return prompted.strip()
    return sys.stdin.read().strip()
