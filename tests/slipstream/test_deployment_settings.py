"""`slipstream deployments create` and `set` take every setting of a deployment."""

from __future__ import annotations

import typer.main

from gateway.deployments.schemas import SettingsIn
from slipstream.cli import build
from tests.slipstream.cli import Cli
from tests.system.flow_documents import transform_flow

OPTIONS = {
    "execution_mode": "--mode",
    "deployment_type": "--type",
    "timeout_seconds": "--timeout",
    "queue_timeout_seconds": "--queue-timeout",
    "cold_start_wait_seconds": "--cold-start-wait",
    "webhook_events": "--event",
    "notification_method": "--callback-url",
    "limits": "--calls-per-minute",
    "cors_origins": "--cors-origin",
}
"""Of settings whose option has another name."""
CREATED = {
    "queue_timeout_seconds": 60,
    "cold_start_wait_seconds": 5,
    "on_timeout": "detach",
    "include_node_outputs": False,
    "retry_safe": True,
    "require_idempotency_key": True,
    "record_runs": "sample",
    "record_sample": 0.25,
}


def test_every_setting_has_an_option() -> None:
    group = typer.main.get_command(build(called="deployments")).commands["deployments"]  # type: ignore[attr-defined]
    for command in ("create", "set"):
        options = {name for one in group.commands[command].params for name in one.opts}
        for field in SettingsIn.model_fields:
            assert OPTIONS.get(field, f"--{field.replace('_', '-')}") in options, (command, field)


def test_settings_are_given_and_changed(cli: Cli) -> None:
    words = ["--queue-timeout", "60", "--cold-start-wait", "5", "--on-timeout", "detach"]
    words += ["--no-include-node-outputs", "--retry-safe", "--require-idempotency-key"]
    words += ["--record-runs", "sample", "--record-sample", "0.25"]
    _, deployment = cli.deploy(transform_flow(), *words)
    made = cli.answer("deployments", "show", deployment)
    assert {name: made[name] for name in CREATED} == CREATED

    words = ["--queue-timeout", "30", "--on-timeout", "stop", "--no-retry-safe"]
    changed = cli.answer("deployments", "set", deployment, *words)
    expected = CREATED | {"queue_timeout_seconds": 30, "on_timeout": "stop", "retry_safe": False}
    assert {name: changed[name] for name in CREATED} == expected

    refused = cli.run("deployments", "set", deployment, "--record-sample", "2")
    assert refused.exit_code == 1
    assert "record_sample: expected less than or equal to 1" in refused.stderr
