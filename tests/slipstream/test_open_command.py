"""`slipstream open` where nothing runs."""

from __future__ import annotations

import pytest

from tests.slipstream.cli import Cli
from tests.system.flow_documents import transform_flow


def test_where_nothing_runs_the_console_has_no_address(cli: Cli) -> None:
    assert cli.refusal("open") == (3, "unusable")
    said = cli.run("open").output
    assert "nothing runs on" in said
    assert "`slipstream up`" in said


@pytest.mark.processes
def test_a_public_address_is_printed_for_each_kind_of_page(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPSTREAM_PUBLIC_BASE_URL", "https://flows.example.com/")
    flow, deployment = cli.deploy(transform_flow(), "--name", "Adder")
    console = "https://flows.example.com/console/"

    def address(*words: str) -> str:
        answer = cli.answer("open", "--print", *words)
        assert list(answer) == ["url"]
        url: str = answer["url"]
        return url

    assert address() == console
    assert cli.run("open", "--print").stdout == f"{console}\n"
    assert address("Adder") == address(deployment[:8]) == f"{console}deployments/{deployment}"
    assert address(flow) == address(flow[:8]) == f"{console}flows/{flow}"
    for unknown in ("nothing", "01a23c4d-0000-7000-8000-000000000000", "../x"):
        assert cli.refusal("open", unknown) == (1, "not_found")
