"""`slipstream webhooks verify`: verifies a signature offline."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from gateway.webhooks.verification import VerdictOut, verify_request
from slipstream import options
from slipstream.commands.webhook_secret import SecretFile, given_secret, read_file
from slipstream.failures import ExitStatus, RefusedError, exit_on_error
from slipstream.terminal import Terminal

_STDIN = "-"


def verify(
    *,
    body: Annotated[
        Path,
        typer.Option(help="File with the exact bytes of the body; - is stdin.", allow_dash=True),
    ],
    secret_file: SecretFile = None,
    previous_secret_file: Annotated[
        Path | None,
        typer.Option(help="File with the secret before the last rotation.", metavar="FILE"),
    ] = None,
    headers: Annotated[
        Path | None,
        typer.Option(help="File with the headers: lines `name: value`, or JSON.", metavar="FILE"),
    ] = None,
    message_id: Annotated[
        str | None, typer.Option("--id", help="webhook-id, overrides the file's.")
    ] = None,
    timestamp: Annotated[
        str | None, typer.Option(help="webhook-timestamp, overrides the file's.")
    ] = None,
    signature: Annotated[
        str | None, typer.Option(help="webhook-signature, overrides the file's.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(help="Time of receipt: Unix seconds, or 2026-01-31T12:00:00Z. Default: now."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Verify a request's signature offline, and give the reason if it is invalid.

    To check your own code, pass the signature that it computed as --signature. Exit status: 0 if
    the signature is valid, else 1.

    $ slipstream webhooks verify --secret-file s.txt --headers headers.txt --body body.json
    $ slipstream webhooks verify --id msg_5… --timestamp 1767323046 --signature v1,E… --body -
    """
    with exit_on_error(as_json=as_json):
        if [str(path) for path in (body, secret_file, headers)].count(_STDIN) > 1:
            raise RefusedError("validation_failed", "only one of the files can be stdin")
        known = given_secret(secret_file, prompt="Secret (whsec_…)")
        if known is None:
            message = "give the secret: --secret-file FILE, or SLIPSTREAM_WEBHOOK_SECRET"
            raise RefusedError("secret_missing", message)
        found = {} if headers is None else _read_headers(headers)
        single = {
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signature,
        }
        given = {name: value for name, value in single.items() if value is not None}
        verdict = verify_request(
            {**found, **given},
            _read(body),
            known,
            at=_parse_time(at),
            previous_secret=read_file(previous_secret_file) if previous_secret_file else None,
        )
        Terminal(as_json=as_json).show(verdict, *_views(verdict))
        if not verdict.good:
            raise typer.Exit(ExitStatus.REFUSED)


def _views(verdict: VerdictOut) -> list[Text]:
    if verdict.good:
        return [Text("✓ The signature is valid.", "green")]
    lines = [Text("✗ The signature is not valid:", "bold red")]
    for finding in verdict.findings:
        about = Text.assemble(
            (f"  ✗ {finding.place}: ", "bold red"), finding.message, (f"  [{finding.code}]", "dim")
        )
        lines.append(about)
    if verdict.expected:
        lines.append(Text(f"  expected for these bytes: {verdict.expected}", "dim"))
    return lines


def _read(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == _STDIN else path.read_bytes()
    except OSError as error:
        raise RefusedError("file_unreadable", f"{path}: {error.strerror}") from None


def _read_headers(path: Path) -> Mapping[str, str]:
    """Return headers by name, from JSON or from lines as HTTP, curl -v and browsers print them."""
    text = _read(path).decode("utf-8", "replace")
    if text.lstrip().startswith("{"):
        try:
            document = json.loads(text)
        except ValueError as error:
            raise RefusedError("headers_unreadable", f"{path}: {error}") from None
        return {
            name: str(value[0] if isinstance(value, list) and value else value)
            for name, value in document.items()
        }
    pairs = (line.lstrip("<> ").partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon and name.strip()}


def _parse_time(text: str | None) -> float:
    if text is None:
        return time.time()
    try:
        seconds = float(text) if text.replace(".", "", 1).isdigit() else None
        at = (
            datetime.fromisoformat(text)
            if seconds is None
            else datetime.fromtimestamp(seconds, UTC)
        )
    except (ValueError, OverflowError, OSError):
        message = f"expected Unix seconds, or a time such as 2026-01-31T12:00:00Z, got '{text}'"
        raise typer.BadParameter(message, param_hint="--at") from None
    return at.astimezone().timestamp()
