"""`slipstream webhooks listen` as a process: accepting, refusing, forwarding, reporting."""

from __future__ import annotations

import errno
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from gateway.webhooks.signature import new_secret, signature_header
from tests.gateway.webhooks.receiver import Receiver
from tests.slipstream.cli import Cli
from tests.slipstream.listening import Listener

BODY = b'{"type":"run.completed","timestamp":"2026-01-02T03:04:05.678Z","data":{"flow_run_id":"7"}}'
SECRET = new_secret()


def send(
    url: str, message_id: str = "msg_1", body: bytes = BODY, *, secret: str = SECRET, off: int = 0
) -> httpx.Response:
    at = int(time.time()) + off
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": signature_header([secret], message_id, at, body),
        "x-webhook-attempt": "2",
    }
    return httpx.post(url, content=body, headers=headers)


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    made = Listener(secret=SECRET)
    yield made
    made.close()


def codes(delivery: dict[str, list[dict[str, str]]]) -> list[str]:
    return [finding["code"] for finding in delivery["findings"]]


def test_a_valid_delivery_is_accepted_and_reported(listener: Listener) -> None:
    assert listener.listening["verifies"] is True
    assert listener.listening["settings"] == {
        "SLIPSTREAM_WEBHOOK_ALLOW": "127.0.0.1/32",
        "SLIPSTREAM_WEBHOOK_ALLOW_HTTP": "1",
    }
    assert send(listener.url).status_code == 200
    delivery = listener.next()
    assert (delivery["kind"], delivery["id"], delivery["event"]) == (
        "delivery",
        "msg_1",
        "run.completed",
    )
    assert (delivery["flow_run_id"], delivery["attempt"], delivery["status"]) == ("7", "2", 200)
    assert (delivery["verified"], delivery["duplicate"], delivery["findings"]) == (True, False, [])
    assert delivery["after_seconds"] > 0


def test_deliveries_signed_with_another_secret_are_refused_with_the_reason(
    listener: Listener,
) -> None:
    assert send(listener.url, secret=new_secret()).status_code == 401
    delivery = listener.next()
    assert (delivery["verified"], delivery["status"], codes(delivery)) == (
        False,
        401,
        ["signature_mismatch"],
    )
    assert send(listener.url, off=-1000).status_code == 401
    assert codes(listener.next()) == ["timestamp_too_old"]
    assert httpx.post(listener.url, content=b"").status_code == 401
    assert codes(listener.next()) == [
        "header_missing",
        "header_missing",
        "body_changed",
        "header_missing",
    ]
    assert httpx.get(listener.url).status_code == 405


def test_duplicates_are_reported_and_forged_deliveries_do_not_count_as_first(
    listener: Listener,
) -> None:
    send(listener.url, "msg_2", secret=new_secret())
    send(listener.url, "msg_2")
    send(listener.url, "msg_2")
    forged, first, second = (listener.next() for _ in range(3))
    assert (forged["duplicate"], forged["times"]) == (False, 1)
    assert (first["duplicate"], first["times"]) == (False, 1)
    assert (second["duplicate"], second["times"]) == (True, 2)


def test_a_signed_body_that_is_not_an_event_is_accepted(listener: Listener) -> None:
    for body in (b"[1]", b"\x00", b'{"type":"\\u001b[31mred","data":7,"timestamp":"noon"}'):
        assert send(listener.url, body=body).status_code == 200
        delivery = listener.next()
        assert (delivery["event"], delivery["flow_run_id"], delivery["after_seconds"]) == (
            None,
            None,
            None,
        )


def test_a_share_of_the_deliveries_fails_and_the_summary_counts_them() -> None:
    listener = Listener("--fail", "0.3", secret=SECRET)
    counts = Counter(send(listener.url, f"msg_{n}").status_code for n in range(100))
    assert set(counts) == {200, 503}
    assert 5 < counts[503] < 70
    send(listener.url, "msg_bad", secret=new_secret())
    taken = {"200": counts[200], "503": counts[503], "401": 1}
    assert listener.close() == {
        "kind": "summary",
        "deliveries": 101,
        "verified": 100,
        "refused": 1,
        "duplicates": 0,
        "failed_on_purpose": counts[503],
        "events": {"run.completed": 101},
        "statuses": taken,
    }


@pytest.mark.long
def test_sigterm_ends_it_as_ctrl_c_does() -> None:
    listener = Listener(secret=SECRET)
    send(listener.url)
    assert listener.close(signal.SIGTERM)["deliveries"] == 1


def test_it_can_be_stopped_at_once_where_the_shell_ignores_sigint() -> None:
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a shell
    try:
        listener = Listener(secret=SECRET)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert listener.close()["deliveries"] == 0


def test_without_a_secret_deliveries_are_accepted_unverified() -> None:
    listener = Listener()
    assert listener.listening["verifies"] is False
    assert send(listener.url).status_code == 200
    assert listener.next()["verified"] is None
    listener.close()


def test_valid_deliveries_are_forwarded_unchanged(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path)
    listener = Listener("--forward-to", receiver.url("status/418"), secret=SECRET)
    assert send(listener.url).status_code == 418
    assert send(listener.url, secret=new_secret()).status_code == 401
    (message,) = receiver.messages()
    message.verify(SECRET)
    assert listener.next()["status"] == 418
    receiver.close()
    assert send(listener.url, "msg_2").status_code == 502
    delivery = listener.next(lambda delivery: delivery["status"] == 502)
    assert "does not answer" in delivery["note"]
    listener.close()


def test_the_listener_is_reachable_on_loopback_only(listener: Listener) -> None:
    port = int(listener.url.rpartition(":")[2].strip("/"))
    addresses = [
        found.address
        for card in psutil.net_if_addrs().values()
        for found in card
        if found.family is socket.AF_INET
    ]
    # one more of this machine's own, which is there without a network, too
    for address in {*addresses, "127.0.0.2"} - {"127.0.0.1"}:
        with socket.socket() as probe:
            assert probe.connect_ex((address, port)) == errno.ECONNREFUSED, address


def test_a_port_in_use_and_an_invalid_secret_are_refused(
    listener: Listener, tmp_path: Path
) -> None:
    port = listener.url.rpartition(":")[2].strip("/")
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text(SECRET)
    bad.write_text("sk-key")
    assert refusal("--port", port, "--secret-file", str(good)) == (3, "unusable")
    assert refusal("--secret-file", str(bad)) == (1, "secret_invalid")
    assert refusal("--secret-file", str(tmp_path / "none")) == (1, "secret_unreadable")
    asked = ("--secret-file", str(good), "--forward-to", "ftp://x")
    assert refusal(*asked) == (1, "validation_failed")


def refusal(*words: str) -> tuple[int, str]:
    """Return exit status and code of a command that fails to start; it takes no state folder."""
    return Cli(Path(), stateless=True).refusal("webhooks", "listen", *words)
