"""`slipstream webhooks` on a state folder of its own, and `deployments` with callback URLs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from gateway.webhooks.signature import new_secret, sign
from tests.slipstream.cli import Cli, invoke
from tests.slipstream.listening import Listener
from tests.system.flow_documents import transform_flow

NOWHERE = "00000000-0000-4000-8000-000000000000"
BODY = b'{"type":"run.completed","data":{"text":"x"}}'
AT = 1767323046

# Any, here and below: JSON
Json = dict[str, Any]


@pytest.fixture
def local(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Commands that may save URLs of this machine."""
    monkeypatch.setenv("SLIPSTREAM_WEBHOOK_ALLOW", "127.0.0.1/32")
    monkeypatch.setenv("SLIPSTREAM_WEBHOOK_ALLOW_HTTP", "1")
    return cli


def deploy(cli: Cli, tmp_path: Path, *words: str) -> Json:
    file = tmp_path / "flow.json"
    file.write_text(json.dumps(transform_flow()))
    flow = cli.answer("flows", "create", str(file))["id"]
    made: Json = cli.answer("deployments", "create", "--flow", flow, *words)
    return made


def test_a_callback_url_creates_a_webhook_whose_secret_is_printed_once(
    local: Cli, tmp_path: Path
) -> None:
    words = ("--callback-url", "http://127.0.0.1:1/", "--event", "run.started")
    made = deploy(local, tmp_path, *words, "--event", "run.failed", "--cancel-on-disconnect")
    assert made["webhook_secret"].startswith("whsec_")
    assert made["notification_method"] == "webhook"
    assert made["webhook_events"] == ["run.started", "run.failed"]
    assert made["cancel_on_disconnect"] is True
    for command in (("webhooks", "show"), ("deployments", "show")):
        assert made["webhook_secret"] not in json.dumps(local.answer(*command, made["id"]))
    (listed,) = local.answer("webhooks", "list")["items"]
    assert (listed["deployment_id"], listed["state"]) == (made["id"], "enabled")


def test_set_adds_and_removes_a_webhook(local: Cli, tmp_path: Path) -> None:
    made = deploy(local, tmp_path)
    assert made["webhook_secret"] is None
    assert local.refusal("webhooks", "show", made["id"]) == (1, "not_found")
    url = ("--callback-url", "http://127.0.0.1:1/")
    shown = local.run("deployments", "set", made["id"], *url)
    assert "Webhook secret, shown only once: whsec_" in shown.stdout
    again = local.run("deployments", "set", made["id"], *url, "--event", "run.failed")
    assert "whsec_" not in again.stdout
    assert local.answer("webhooks", "show", made["id"])["events"] == ["run.failed"]
    gone = local.answer("deployments", "set", made["id"], "--no-webhook")
    assert (gone["notification_method"], gone["callback_url"]) == ("none", None)
    assert local.answer("webhooks", "list")["items"] == []
    both = ("deployments", "set", made["id"], "--no-webhook", *url)
    assert local.run(*both).exit_code == 2


@pytest.mark.parametrize("flag", [True, False])
def test_cancel_on_disconnect_is_set_either_way(cli: Cli, tmp_path: Path, flag: bool) -> None:
    made = deploy(cli, tmp_path)
    word = "--cancel-on-disconnect" if flag else "--no-cancel-on-disconnect"
    assert cli.answer("deployments", "set", made["id"], word)["cancel_on_disconnect"] is flag
    same = cli.answer("deployments", "set", made["id"], "--timeout", "60")
    assert same["cancel_on_disconnect"] is flag


def test_a_loopback_callback_url_needs_the_allow_setting(cli: Cli, tmp_path: Path) -> None:
    made = deploy(cli, tmp_path)
    words = ("deployments", "set", made["id"], "--callback-url", "http://127.0.0.1:1/")
    assert cli.refusal(*words) == (1, "blocked_target")


def test_a_webhook_is_disabled_and_enabled_and_its_events_changed(
    local: Cli, tmp_path: Path
) -> None:
    made = deploy(local, tmp_path, "--callback-url", "http://127.0.0.1:1/")
    off = local.answer("webhooks", "set", made["id"], "--disable", "--event", "run.started")
    assert (off["state"], off["disabled_reason"]) == ("disabled", "by_user")
    assert off["events"] == ["run.started"]
    assert "disabled: by_user" in local.run("webhooks", "list").stdout
    on = local.run("webhooks", "set", made["id"], "--enable")
    assert "webhooks replay" in on.stderr
    replay = ("webhooks", "replay", "--deployment", made["id"], "--since", "2026-01-01")
    assert local.answer(*replay) == {"replayed": 0}
    assert local.run("webhooks", "set", made["id"], "--event", "run.exploded").exit_code == 2


def test_a_secret_is_rotated_and_the_overlap_ended(local: Cli, tmp_path: Path) -> None:
    made = deploy(local, tmp_path, "--callback-url", "http://127.0.0.1:1/")
    result = local.run("webhooks", "rotate", made["id"])
    assert result.stdout.startswith("whsec_")
    assert len(result.stdout.split()) == 1
    assert "end-overlap" in result.stderr
    assert local.refusal("webhooks", "rotate", made["id"]) == (1, "conflict")
    forced = local.answer("webhooks", "rotate", made["id"], "--force")
    assert forced["secret"] not in (result.stdout.strip(), made["webhook_secret"])
    assert local.answer("webhooks", "end-overlap", made["id"])["overlap_until"] is None


def test_a_test_event_is_sent_by_the_command_and_verifies_at_the_receiver(
    local: Cli, tmp_path: Path
) -> None:
    made = deploy(local, tmp_path, "--callback-url", "http://127.0.0.1:1/")
    failed = local.run("webhooks", "test", made["id"])
    assert failed.exit_code == 1
    assert "webhook.test: failed (http://127.0.0.1:1/: unreachable" in failed.stdout
    listener = Listener(secret=made["webhook_secret"])
    local.answer("deployments", "set", made["id"], "--callback-url", listener.url)
    assert local.answer("webhooks", "resume", made["id"])["paused_until"] is None
    sent = local.answer("webhooks", "test", made["id"])
    told = listener.next()
    assert (told["id"], told["event"], told["verified"]) == (sent["id"], "webhook.test", True)
    assert local.answer("webhooks", "delivery", sent["id"])["attempt_log"] == sent["attempt_log"]
    listed = local.answer("webhooks", "deliveries", "--event", "webhook.test")["items"]
    assert [each["status"] for each in listed] == ["delivered", "failed"]
    page = local.answer("webhooks", "deliveries", "--limit", "1")
    more = local.answer("webhooks", "deliveries", "--cursor", page["next_cursor"])
    assert len(more["items"]) == 1
    listener.close()


def test_unknown_webhooks_are_not_found_and_contradicting_options_are_refused(cli: Cli) -> None:
    for command in ("show", "set", "rotate", "end-overlap", "resume", "test"):
        assert cli.refusal("webhooks", command, NOWHERE) == (1, "not_found")
    for command in ("delivery", "replay"):
        assert cli.refusal("webhooks", command, "msg_nowhere") == (1, "not_found")
    for words in (
        (),
        ("msg_1", "--deployment", NOWHERE),
        ("--deployment", NOWHERE),
        ("msg_1", "--since", "2026-01-01"),
    ):
        assert cli.run("webhooks", "replay", *words).exit_code == 2
    assert cli.run("webhooks", "deliveries", "--event", "run.exploded").exit_code == 2
    assert "no webhooks" in cli.run("webhooks", "list").stdout


class VerifyFiles:
    """`slipstream webhooks verify` on files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secret = new_secret()
        self.signature = sign(self.secret, "msg_1", AT, BODY)
        lines = ("POST /hooks HTTP/1.1", "Webhook-ID: msg_1", f"> webhook-timestamp: {AT}")
        self.write("headers", "\r\n".join((*lines, f"webhook-signature:{self.signature}")).encode())
        self.write("secret", f"{self.secret}\n".encode())
        self.write("body", BODY)

    def write(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(content)

    def verify(self, *words: str, headers: str = "headers", given: bytes | None = None) -> Result:
        files = [("--secret-file", "secret"), ("--headers", headers), ("--body", "body")]
        options = [
            part for name, file in files if name not in words for part in (name, self.path(file))
        ]
        command = ["webhooks", "verify", *options, *words]
        return invoke(command, given=given)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def codes(self, *words: str) -> list[str]:
        answer = json.loads(self.verify(*words, "--json").stdout)
        return [finding["code"] for finding in answer["findings"]]


@pytest.fixture
def signed(tmp_path: Path) -> VerifyFiles:
    return VerifyFiles(tmp_path)


def test_a_valid_signature_is_accepted(signed: VerifyFiles) -> None:
    for at in (str(AT), "2026-01-02T03:04:06+00:00", "2026-01-02T03:04:06Z"):
        result = signed.verify("--at", at)
        assert (result.exit_code, result.stdout) == (0, "✓ The signature is valid.\n"), (
            result.output
        )
    assert signed.verify("--at", str(AT), "--body", "-", given=BODY).exit_code == 0


def test_an_invalid_signature_gives_the_reason_and_exit_status_one(signed: VerifyFiles) -> None:
    result = signed.verify()
    assert result.exit_code == 1
    assert "webhook-timestamp: the timestamp is " in result.stdout
    assert "[timestamp_too_old]" in result.stdout
    assert signed.signature in result.stdout
    signed.write("body", BODY.replace(b":", b": ").replace(b",", b", ") + b"\n")
    result = signed.verify("--at", str(AT))
    assert result.exit_code == 1
    assert "body: the signature matches the body as compact JSON" in result.stdout
    assert signed.secret not in result.output


def test_header_options_override_the_headers_file(signed: VerifyFiles) -> None:
    assert signed.codes("--at", str(AT), "--id", "msg_2") == ["signature_mismatch"]
    digest = signed.signature.removeprefix("v1,")
    assert signed.codes("--at", str(AT), "--signature", digest) == ["signature_malformed"]
    assert signed.codes("--timestamp", f"{AT}000", "--at", str(AT))[0] == "timestamp_malformed"


def test_headers_can_be_json(signed: VerifyFiles) -> None:
    headers = {
        "Webhook-Id": "msg_1",
        "webhook-timestamp": AT,
        "webhook-signature": [signed.signature],
    }
    signed.write("headers.json", json.dumps(headers).encode())
    assert signed.verify("--at", str(AT), headers="headers.json").exit_code == 0
    signed.write("headers.json", b"{broken")
    result = signed.verify("--json", headers="headers.json")
    assert json.loads(result.stdout)["error"]["code"] == "headers_unreadable"


def test_the_secret_before_a_rotation_is_recognised(signed: VerifyFiles) -> None:
    signed.write("new", new_secret().encode())
    words = ("--secret-file", signed.path("new"), "--previous-secret-file", signed.path("secret"))
    assert signed.codes("--at", str(AT), *words) == ["previous_secret"]


def test_the_secret_comes_from_stdin_or_a_variable(
    signed: VerifyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ("--at", str(AT))
    given = f"{signed.secret}\n".encode()
    assert signed.verify(*at, "--secret-file", "-", given=given).exit_code == 0
    both = signed.verify(*at, "--secret-file", "-", "--body", "-", "--json", given=given)
    assert json.loads(both.stdout)["error"]["code"] == "validation_failed"
    command = [
        "webhooks",
        "verify",
        "--body",
        signed.path("body"),
        "--headers",
        signed.path("headers"),
    ]
    bare = invoke([*command, "--json"])
    assert json.loads(bare.stdout)["error"]["code"] == "secret_missing"
    monkeypatch.setenv("SLIPSTREAM_WEBHOOK_SECRET", signed.secret)
    assert invoke([*command, *at]).exit_code == 0


def test_a_missing_file_and_an_invalid_time_are_refused(signed: VerifyFiles) -> None:
    missing = signed.verify("--body", signed.path("nowhere"), "--json")
    assert json.loads(missing.stdout)["error"]["code"] == "file_unreadable"
    assert signed.verify("--at", "noon").exit_code == 2
