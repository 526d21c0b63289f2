"""`slipstream webhooks listen`: a receiver on this machine, and what comes to it, live."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Annotated

import typer
from rich.text import Text

from gateway.webhooks.secret_faults import read_secret
from slipstream import options
from slipstream.commands.run_views import took
from slipstream.commands.webhook_secret import SecretFile, given_secret
from slipstream.failures import RefusedError, exit_on_error
from slipstream.listener.ledger import Arrival, Summary
from slipstream.listener.receiver import Receiver, Wishes
from slipstream.listener.server import HOST, listen, serve
from slipstream.terminal import Terminal

_PROMPT = "Secret (whsec_…; empty: verify nothing)"
_SETTINGS = {"SLIPSTREAM_WEBHOOK_ALLOW": f"{HOST}/32", "SLIPSTREAM_WEBHOOK_ALLOW_HTTP": "1"}
"""What lets a gateway, and the commands, send to this machine."""
_FAILURES = 400


def listen_(
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0: any free one.")
    ] = 8765,
    secret_file: SecretFile = None,
    forward_to: Annotated[
        str | None,
        typer.Option(help="Pass on what is good, and answer as this URL does.", metavar="URL"),
    ] = None,
    fail: Annotated[
        float, typer.Option(min=0, max=1, help="Share of good deliveries to answer 503.")
    ] = 0.0,
    as_json: options.Json = False,
) -> None:
    """Receive webhooks on this machine, verify them, and show each as it comes; Ctrl-C ends it.

    What is not signed by the secret is answered 401, with the reason here. The secret is the one
    that `deployments create --callback-url …` or `webhooks rotate` has printed. With --json, one
    document a line: where it listens, each delivery, and the sum.

    [dim]slipstream webhooks listen --secret-file secret.txt[/]
    [dim]slipstream webhooks listen --fail 0.3[/]
    [dim]slipstream webhooks listen --forward-to http://localhost:3000/hooks --json | jq .event[/]
    """
    with exit_on_error(as_json=as_json):
        if forward_to is not None and not forward_to.startswith(("http://", "https://")):
            message = f"--forward-to: expected http://… or https://…, got '{forward_to}'"
            raise RefusedError("validation_failed", message)
        known = given_secret(secret_file, prompt=_PROMPT)
        for fault in read_secret(known).faults if known is not None else ():
            raise RefusedError(fault.code, fault.message)
        terminal = Terminal(as_json=as_json)
        receiver = Receiver(
            Wishes(secret=known, forward_to=forward_to, fail=fail),
            lambda arrival: terminal.show(arrival, *_views(arrival)),
        )
        listening = listen(port)
        url = f"http://{HOST}:{listening.getsockname()[1]}/"
        with suppress(KeyboardInterrupt):
            _introduce(terminal, url, verifies=known is not None)
            serve(receiver, listening)
        summary = receiver.summary()
        terminal.show(summary, "", _sum_line(summary))


def _introduce(terminal: Terminal, url: str, *, verifies: bool) -> None:
    document = {"kind": "listening", "url": url, "verifies": verifies, "settings": _SETTINGS}
    settings = " ".join(f"{name}={value}" for name, value in _SETTINGS.items())
    terminal.show(document, Text.assemble("callback URL  ", (url, "bold")))
    terminal.note(f"settings      {settings}")
    terminal.note("              for `slipstream up`, and for commands that save this URL")
    if not verifies:
        terminal.note("secret        none: signatures are not verified (--secret-file FILE)")
    terminal.note("Deliveries from now on; Ctrl-C ends this.")


def _views(arrival: Arrival) -> list[Text]:
    at = datetime.fromisoformat(arrival.at).astimezone()
    sign, style = {
        True: ("✓ verified", "green"),
        False: ("✗ refused ", "bold red"),
        None: ("? no secret", "yellow"),
    }[arrival.verified]
    after = arrival.after_seconds
    failed = arrival.status >= _FAILURES
    line = Text.assemble(
        (f"{at:%H:%M:%S}  ", "dim"),
        (f"{sign}  ", style),
        f"{arrival.event or 'unknown event':<14}  ",
        f"{'run ' + arrival.flow_run_id if arrival.flow_run_id else '':<40}  ",
        f"attempt {arrival.attempt or '?'}  ",
        (f"{took(after) if after is not None and after >= 0 else '?'} after it  ", "dim"),
        (f"→ {arrival.status}", "red" if failed else ""),
        (f" {arrival.note}" if arrival.note and arrival.verified is not False else "", "dim"),
    )
    return [line, *_remarks(arrival)]


def _remarks(arrival: Arrival) -> list[Text]:
    lines = [
        Text(f"          {finding.message}", "red" if finding.fault else "dim")
        for finding in arrival.findings
    ]
    if arrival.duplicate:
        text = (
            f"          duplicate: {arrival.id} was taken already; drop it (time {arrival.times})"
        )
        lines.append(Text(text, "yellow"))
    elif arrival.times > 1:
        lines.append(Text(f"          once more: {arrival.id}, time {arrival.times}", "dim"))
    return lines


def _sum_line(summary: Summary) -> str:
    one = summary.deliveries == 1
    counts = {
        "delivery" if one else "deliveries": summary.deliveries,
        "verified": summary.verified,
        "refused": summary.refused,
        "duplicates": summary.duplicates,
        "failed on purpose": summary.failed_on_purpose,
        **summary.events,
    }
    said = [f"{count} {name}" for name, count in counts.items() if count]
    return ", ".join(said) or "Nothing came."
