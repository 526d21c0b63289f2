"""Every command of README and docs is executed, or its page says that no test runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import onnx_models
from tests.architecture.repository import ROOT
from tests.slipstream.running import environment, free_port
from tests.system.documented.blocks import PAGES, Block, blocks_of
from tests.system.documented.shell import Shell
from tests.system.runs import Runs

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]  # curl, jq and openssl


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a block takes for granted.

    Attributes:
        first: commands before it.
        after: commands after one of its lines, by the line's number from 1.
        replaced: texts of the block, and what stands for them here.
        typed: what a reader types.
        status: exit status of its last command.
        alone: it starts an installation of its own.
    """

    first: str = ""
    after: Mapping[int, str] = field(default_factory=dict)
    replaced: Sequence[tuple[str, str]] = ()
    typed: str = ""
    status: int = 0
    alone: bool = False


CERTIFICATE = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout key.pem"
    " -out cert.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost 2> /dev/null"
)
SERVER_ID = (
    'ID=$(curl -sS "$URL/node/inference-servers/" -H "X-API-Key: $KEY"'
    " | jq -r '.items[] | select(.model == \"resnet\").id')"
)
ROLL_BACK = 'slipstream deployments rollback "$ID"'
LISTENER_PORT = free_port()

GIVEN: dict[tuple[str, int], Given] = {
    ("README.md", 1): Given(replaced=[(".venv/bin/", "")]),
    ("deployments.md", 1): Given(after={1: "cp changed.onnx churn.onnx"}),
    ("deployments.md", 2): Given(replaced=[("--last 50 ", "--last 50 || [ $? = 1 ]")]),
    ("deployments.md", 3): Given(
        first="slipstream deployments create --flow 98593f2f-… --mode fast --json > made;"
        " ID=$(jq -r .id made);"
        ' for _ in 2 3; do slipstream deployments redeploy "$ID"; done;'
        ' slipstream deployments promote "$ID" 1',
        replaced=[("f236ab68-…", "$ID")],
        after={1: ROLL_BACK, 2: ROLL_BACK, 6: 'slipstream deployments canary "$ID" --weight 1'},
    ),
    ("keys.md", 0): Given(
        first="MINE=$(slipstream keys create --name mine --json | jq -r .id)",
        replaced=[("5d1ef8aa-…", "$MINE")],
    ),
    ("keys.md", 1): Given(first="slipstream keys create --name mine --json | jq -r .key > key.txt"),
    ("models.md", 0): Given(
        first="DEPLOYMENT=$(slipstream deployments list --json | jq -r .items[-1].id)",
        after={4: SERVER_ID},
    ),
    ("models.md", 1): Given(first=f"slipstream models serve resnet --version 3; {SERVER_ID}"),
    ("models.md", 4): Given(
        replaced=[
            ("curl … -d", 'curl -sS "$URL/v1/admin/churn" -H "X-API-Key: $KEY" --json'),
            ('"X"', '"x"'),
        ]
    ),
    ("restarts.md", 0): Given(
        alone=True,
        first="env | grep ^SLIPSTREAM_ > settings; slipstream up --no-demo",
        replaced=[("/etc/slipstream.env", "settings"), ("--workers 4", "--no-demo --workers 2")],
    ),
    ("tls.md", 0): Given(
        alone=True,
        first=f'{CERTIFICATE}; export CURL_CA_BUNDLE="$PWD/cert.pem"',
        replaced=[
            ("fullchain.pem", "cert.pem"),
            ("privkey.pem", "key.pem"),
            ("api.example.com:8080", "localhost:$SLIPSTREAM_PORT"),
        ],
    ),
    ("tls.md", 1): Given(alone=True),
    ("tls.md", 4): Given(alone=True),
    ("users.md", 0): Given(typed="a long password\na long password\n"),
    ("webhooks.md", 1): Given(
        alone=True,
        # they go on in the background as it is, and the next command waits until they are ready
        replaced=[
            ("slipstream up &", "slipstream up"),
            ("secret.txt &", f"secret.txt --port {LISTENER_PORT}"),
            (":8765/", f":{LISTENER_PORT}/"),
        ],
    ),
    ("webhooks.md", 2): Given(
        first="echo whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD > secret.txt; echo '{}' > body.json;"
        ' printf "webhook-id: 1\\nwebhook-timestamp: $(date +%s)\\nwebhook-signature: v1,AAAA\\n"'
        " > headers.txt",
        status=1,
    ),
}


def blocks() -> list[Block]:
    """Return all blocks of commands."""
    return [block for page in PAGES for block in blocks_of(page)]


def script_of(block: Block, given: Given, common: Sequence[tuple[str, str]]) -> str:
    """Return what is executed of a block."""
    lines = [given.first]
    for number, line in enumerate(block.script.splitlines(), 1):
        lines += [line, given.after.get(number, "")]
    script = "\n".join(filter(None, lines))
    for text, here in (*given.replaced, *common):
        script = script.replace(text, here)
    return script


def executed() -> list[Block]:
    """Return those that are executed here, but for `make run`."""
    found = [block for block in blocks() if not block.marked and not block.excused]
    return [block for block in found if block.script != "make run"]


@pytest.mark.parametrize(
    "block",
    executed(),
    ids=lambda block: f"{block.page}-{block.number}",
)
def test_a_block_is_executed(block: Block, shell: Shell, runs: Runs, deployment: str) -> None:
    given = GIVEN.get((block.page, block.number), Given())
    flows = runs.http.get("/node/flows/", params={"limit": 100}).json()["items"]
    (demo,) = [flow for flow in flows if flow["name"] == "Iris classifier"]
    common = [
        ("f236ab68-…", deployment),
        ("98593f2f-…", demo["id"]),
        ("http://127.0.0.1:8080", runs.installation.up.url),
    ]
    onnx_models.identity(shell.folder / "churn.onnx", shape=("N", 2))
    onnx_models.identity(shell.folder / "changed.onnx", shape=("M", 2))
    if given.alone:
        shell.set(
            SLIPSTREAM_STATE=str(shell.folder / "state"),
            SLIPSTREAM_PORT=str(free_port()),
            SLIPSTREAM_GRPC_PORT=str(free_port()),
        )
    shell.run(script_of(block, given, common), typed=given.typed, status=given.status)


def test_make_run_prints_a_call_that_works(tmp_path: Path) -> None:
    settings = {
        "SLIPSTREAM_STATE": str(tmp_path / "state"),
        "SLIPSTREAM_PORT": str(free_port()),
        "SLIPSTREAM_GRPC_PORT": str(free_port()),
    }
    with subprocess.Popen(
        ["make", "run"],
        cwd=ROOT,
        env={**environment(), **settings},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches all processes of a terminal
    ) as running:
        assert running.stdout is not None
        call = next(line for line in running.stdout if line.startswith("curl "))
        answer = subprocess.run(["bash", "-c", call], capture_output=True, text=True, check=True)
        os.killpg(running.pid, signal.SIGINT)
        running.stdout.read()
    assert json.loads(answer.stdout)["status"] == "completed"
    assert (tmp_path / "state" / "slipstream.db").exists()


def test_what_is_given_is_given_to_a_block() -> None:
    assert GIVEN.keys() <= {(block.page, block.number) for block in executed()}
    assert len(executed()) > 20
