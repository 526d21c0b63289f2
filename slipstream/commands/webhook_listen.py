"""`slipstream webhooks listen`: receive webhooks on this machine and show them live."""

from __future__ import annotations

import signal
from contextlib import suppress
from datetime import datetime
from typing import Annotated

import typer
from rich.text import Text

from gateway.webhooks.verification import secret_findings
from slipstream import options
from slipstream.commands.tables import elapsed
from slipstream.commands.webhook_secret import SecretFile, given_secret
from slipstream.failures import RefusedError, exit_on_error
from slipstream.listener.deliveries import ListenerSummary, ReceivedDelivery
from slipstream.listener.receiver import HOST, ListenerOptions, WebhookReceiver, listen, serve
from slipstream.terminal import Terminal

_PROMPT = "Secret (whsec_…; empty: skip verification)"
_SETTINGS = {"SLIPSTREAM_WEBHOOK_ALLOW": f"{HOST}/32", "SLIPSTREAM_WEBHOOK_ALLOW_HTTP": "1"}
"""Settings with which a gateway, and commands, may send to this machine."""
_FIRST_ERROR_STATUS = 400


def listen_(
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 picks a free one.")
    ] = 8765,
    secret_file: SecretFile = None,
    forward_to: Annotated[
        str | None,
        typer.Option(
            help="Forward verified deliveries to this URL and return its response.", metavar="URL"
        ),
    ] = None,
    fail: Annotated[
        float, typer.Option(min=0, max=1, help="Share of verified deliveries to answer 503.")
    ] = 0.0,
    as_json: options.Json = False,
) -> None:
    """Receive webhooks on this machine, verify them, and show each one; Ctrl-C stops.

    Deliveries with an invalid signature get 401, and the reason is shown here. The secret is the
    one printed by `deployments create --callback-url …` or `webhooks rotate`. With --json, each
    line is a document: the address, each delivery, and the totals.

    $ slipstream webhooks listen --secret-file secret.txt
    $ slipstream webhooks listen --fail 0.3
    $ slipstream webhooks listen --forward-to http://localhost:3000/hooks --json | jq .event
    """
    with exit_on_error(as_json=as_json):
        if forward_to is not None and not forward_to.startswith(("http://", "https://")):
            message = f"--forward-to: expected http://… or https://…, got '{forward_to}'"
            raise RefusedError("validation_failed", message)
        known = given_secret(secret_file, prompt=_PROMPT)
        for finding in secret_findings(known) if known is not None else ():
            raise RefusedError(finding.code, finding.message)
        terminal = Terminal(as_json=as_json)
        receiver = WebhookReceiver(
            ListenerOptions(secret=known, forward_to=forward_to, fail=fail),
            lambda delivery: terminal.show(delivery, *_lines(delivery)),
        )
        listening = listen(port)
        url = f"http://{HOST}:{listening.getsockname()[1]}/"
        # also where the shell that started this in the background has SIGINT ignored
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            _show_address(terminal, url, verifies=known is not None)
            serve(receiver, listening)
        summary = receiver.summary()
        terminal.show(summary, "", _summary_line(summary))


def _show_address(terminal: Terminal, url: str, *, verifies: bool) -> None:
    document = {"kind": "listening", "url": url, "verifies": verifies, "settings": _SETTINGS}
    settings = " ".join(f"{name}={value}" for name, value in _SETTINGS.items())
    terminal.show(document, Text.assemble("callback URL  ", (url, "bold")))
    terminal.note(f"settings      {settings}")
    terminal.note("              for `slipstream up`, and for commands that save this URL")
    if not verifies:
        terminal.note("secret        none: signatures are not verified (give --secret-file FILE)")
    terminal.note("Waiting for deliveries; Ctrl-C stops.")


def _lines(delivery: ReceivedDelivery) -> list[Text]:
    at = datetime.fromisoformat(delivery.at).astimezone()
    sign, style = {
        True: ("✓ verified", "green"),
        False: ("✗ refused ", "bold red"),
        None: ("? no secret", "yellow"),
    }[delivery.verified]
    after = delivery.after_seconds
    failed = delivery.status >= _FIRST_ERROR_STATUS
    line = Text.assemble(
        (f"{at:%H:%M:%S}  ", "dim"),
        (f"{sign}  ", style),
        f"{delivery.event or 'unknown event':<14}  ",
        f"{'run ' + delivery.flow_run_id if delivery.flow_run_id else '':<40}  ",
        f"attempt {delivery.attempt or '?'}  ",
        (f"{elapsed(after) if after is not None and after >= 0 else '?'} after it  ", "dim"),
        (f"→ {delivery.status}", "red" if failed else ""),
        (f" {delivery.note}" if delivery.note and delivery.verified is not False else "", "dim"),
    )
    return [line, *_remarks(delivery)]


def _remarks(delivery: ReceivedDelivery) -> list[Text]:
    lines = [Text(f"          {finding.message}", "red") for finding in delivery.findings]
    if delivery.duplicate:
        text = f"duplicate: {delivery.id} was accepted before; drop it (time {delivery.times})"
        lines.append(Text(f"          {text}", "yellow"))
    elif delivery.times > 1:
        lines.append(Text(f"          received again: {delivery.id}, time {delivery.times}", "dim"))
    return lines


def _summary_line(summary: ListenerSummary) -> str:
    one = summary.deliveries == 1
    counts = {
        "delivery" if one else "deliveries": summary.deliveries,
        "verified": summary.verified,
        "refused": summary.refused,
        "duplicates": summary.duplicates,
        "failed on purpose": summary.failed_on_purpose,
        **summary.events,
    }
    parts = [f"{count} {name}" for name, count in counts.items() if count]
    return ", ".join(parts) or "No deliveries were received."
