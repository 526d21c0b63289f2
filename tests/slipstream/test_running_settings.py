"""Commands in a shell without settings act on the installation that runs on the state folder."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import Result

from slipstream import state_location
from slipstream.failures import UnusableError
from slipstream.supervisor.running_supervisor import lock_file, running_supervisor
from tests.gateway.databases import PostgresDatabase
from tests.slipstream.cli import invoke
from tests.slipstream.running import NO_WORKER, Up, environment, free_port
from tests.slipstream.test_up_refusals import refused
from tests.timing import TIMEOUT_SECONDS, eventually

PEPPER = "a pepper of the environment"
UNPRIVILEGED_USER = 65534


class Shell:
    """Runs commands on a state folder, with no settings but those given."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def run(self, *words: str, **settings: str) -> Result:
        unset = {name: None for name in os.environ if name.startswith("SLIPSTREAM_")}
        command = [*words, "--state", str(self.state)]
        return invoke(command, env={**unset, **settings})

    def without_folder(self, *words: str) -> Result:
        """Run a command that is not told the state folder."""
        unset = {name: None for name in os.environ if name.startswith("SLIPSTREAM_")}
        return invoke(words, env=unset)

    def new_key(self) -> str:
        made = self.run("keys", "create", "--name", "shell", "--manage", "--json")
        assert made.exit_code == 0, made.output
        key: str = json.loads(made.stdout)["key"]
        return key

    def findings(self, **settings: str) -> dict[str, list[Any]]:
        """Return what doctor finds, by level."""
        answer = json.loads(self.run("doctor", "--json", **settings).stdout)
        # The machine of the tests may lack the locale.
        found = [each for each in answer["findings"] if each["subject"] != "locale"]
        levels = {finding["level"] for finding in found}
        return {level: [each for each in found if each["level"] == level] for level in levels}


def status_with(url: str, key: str) -> int:
    return httpx.get(f"{url}/node/flows/", headers={"X-API-Key": key}).status_code


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("running")
    relative = os.path.relpath(folder / "elsewhere.db")
    up = Up(
        folder / "state",
        *NO_WORKER,
        SLIPSTREAM_DATABASE_URL=f"sqlite:///{relative}",
        SLIPSTREAM_KEY_PEPPER=PEPPER,
        SLIPSTREAM_RUN_RETENTION_DAYS="7",
    )
    up.until("documentation")
    yield up
    up.stop()


@pytest.fixture
def shell(up: Up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell in another directory."""
    monkeypatch.chdir(tmp_path)
    return Shell(up.state)


def test_a_key_made_in_a_shell_without_settings_opens_the_running_installation(
    up: Up, shell: Shell
) -> None:
    made = shell.run("keys", "create", "--name", "shell", "--manage")
    assert status_with(up.url, made.stdout.strip()) == 200
    assert f"process {up.process.pid}" in made.stderr
    assert "elsewhere.db" in made.stderr
    assert PEPPER not in made.stderr
    assert not list(up.state.glob("*.db"))
    assert not (up.state / "pepper").exists()


def test_a_command_in_another_folder_finds_the_running_installation(
    up: Up, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [*state_location.running_states()]
    assert up.state in found
    # other tests' installations run, too
    monkeypatch.setattr(state_location, "running_states", lambda: [up.state])
    for words in (("deployments", "list"), ("keys", "create", "--name", "here"), ("doctor",)):
        done = shell.without_folder(*words)
        assert done.exit_code == 0, done.output
        assert f"Uses the installation that runs in {up.state}; --state" in done.stderr
    monkeypatch.setattr(state_location, "running_states", lambda: [up.state, tmp_path])
    refused = shell.without_folder("deployments", "list")
    assert refused.exit_code == 3
    assert f"several installations of yours run, in {up.state}" in refused.stderr
    assert not (tmp_path / ".slipstream").exists()


@pytest.mark.services
def test_so_it_does_where_up_runs_on_postgresql(tmp_path: Path) -> None:
    database = PostgresDatabase()
    database.create()
    try:
        url = database.url.replace("postgres@", "postgres:swordfish@")
        up = Up(tmp_path / "state", *NO_WORKER, "--no-demo", SLIPSTREAM_DATABASE_URL=url)
        up.until("documentation")
        shell = Shell(up.state)
        made = shell.run("keys", "create", "--name", "shell", "--manage")
        assert status_with(up.url, made.stdout.strip()) == 200
        assert "postgresql" in made.stderr
        assert "wrong" not in shell.findings()
        assert not list(up.state.glob("*.db"))
        assert up.stop() == 0
        # The password ends with the process.
        written = [file for file in up.state.rglob("*") if file.is_file()]
        assert "swordfish" not in made.stderr
        assert not [file for file in written if b"swordfish" in file.read_bytes()]
    finally:
        database.drop()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SLIPSTREAM_DATABASE_URL", "postgresql://me:swordfish@127.0.0.1:1/other"),
        ("SLIPSTREAM_KEY_PEPPER", "swordfish swordfish"),
        ("SLIPSTREAM_BROKER_URL", "redis://:swordfish@127.0.0.1:1/0"),
        ("SLIPSTREAM_QUEUE_PREFIX", "other"),
    ],
)
def test_a_setting_of_another_installation_is_refused_and_doctor_names_it(
    up: Up, shell: Shell, variable: str, value: str
) -> None:
    refused = shell.run("keys", "list", "--json", **{variable: value})
    assert refused.exit_code == 3
    error = json.loads(refused.stdout)["error"]
    assert error["code"] == "unusable"
    assert error["message"].startswith(f"{variable}: expected ")
    assert f"process {up.process.pid}" in error["message"]
    assert "unset it" in error["message"]
    assert "swordfish" not in refused.output
    assert PEPPER not in refused.output
    (wrong,) = shell.findings(**{variable: value})["wrong"]
    assert (wrong["subject"], "unset it" in wrong["mend"]) == ("settings", True)
    assert wrong["message"].startswith(variable)


def test_the_same_settings_are_no_conflict(up: Up, shell: Shell) -> None:
    same = {
        "SLIPSTREAM_DATABASE_URL": f"sqlite:///{up.state.parent}/elsewhere.db",
        "SLIPSTREAM_KEY_PEPPER": PEPPER,
        "SLIPSTREAM_RUN_RETENTION_DAYS": "7",
    }
    listed = shell.run("keys", "list", **same)
    assert (listed.exit_code, listed.stderr) == (0, "")
    assert set(shell.findings(**same)) == {"good"}


def test_other_values_are_not_used_and_a_command_and_doctor_say_so(up: Up, shell: Shell) -> None:
    listed = shell.run("keys", "list", SLIPSTREAM_RUN_RETENTION_DAYS="3")
    assert listed.exit_code == 0
    assert "Not used: SLIPSTREAM_RUN_RETENTION_DAYS" in listed.stderr
    found = shell.findings(SLIPSTREAM_RUN_RETENTION_DAYS="3")
    (warning,) = found["warning"]
    assert "SLIPSTREAM_RUN_RETENTION_DAYS" in warning["message"]
    assert "wrong" not in found


@pytest.mark.long
def test_a_gateway_and_a_worker_beside_it_join_it(up: Up, shell: Shell, tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    command = [sys.executable, "-m", "slipstream"]
    listen = ["--port", str(ports[0]), "--grpc-port", str(ports[1])]
    state = ["--state", str(up.state)]
    with (tmp_path / "output").open("wb") as output:
        gateway = subprocess.Popen(
            [*command, "gateway", *listen, *state], env=environment(), stdout=output, stderr=output
        )
        worker = subprocess.Popen(
            [*command, "worker", "--concurrency", "1", *state],
            env=environment(),
            stdout=output,
            stderr=output,
        )
    try:
        url = f"http://127.0.0.1:{ports[0]}"
        eventually(lambda: _ready(url), bool)
        assert status_with(url, shell.new_key()) == 200
        eventually(lambda: "ready" in (tmp_path / "output").read_text(), bool)
    finally:
        for process in (gateway, worker):
            process.terminate()
            process.wait(TIMEOUT_SECONDS)
    assert "elsewhere.db" in (tmp_path / "output").read_text()
    assert not list(up.state.glob("*.db"))


def _ready(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"{url}/readyz").status_code == 200
    return False


@pytest.mark.long
def test_doctor_compares_processes_and_inference_servers(up: Up, shell: Shell) -> None:
    found = shell.findings()
    assert set(found) == {"good"}
    messages = {finding["subject"]: finding["message"] for finding in found["good"]}
    assert messages["processes"] == "1 of 1 gateway processes run"
    assert messages["inference servers"] == "gateway and database agree on all of them: 1"
    assert "elsewhere.db" in messages["database"]
    with closing(sqlite3.connect(up.state.parent / "elsewhere.db")) as database:
        # Past the change feed: the gateway does not learn of it.
        (row,) = database.execute("SELECT state, phase FROM replicas").fetchall()
        database.execute("UPDATE replicas SET state = 'failed'")
        database.execute("UPDATE inference_servers SET desired = 'stopped'")
        database.commit()
        try:
            (wrong,) = shell.findings()["wrong"]
        finally:
            database.execute("UPDATE replicas SET state = ?, phase = ?", row)
            database.execute("UPDATE inference_servers SET desired = 'running'")
            database.commit()
    assert wrong["subject"] == "inference servers"
    assert "the gateway has iris 1: ready; the database has iris 1: failed" in wrong["message"]


def test_a_state_folder_in_use_is_reported_with_its_process(up: Up) -> None:
    ports = ["--port", str(free_port()), "--grpc-port", str(free_port())]
    status, _, line = refused("--state", str(up.state), *ports)
    assert status == 3
    assert str(up.process.pid) in line


def test_a_command_of_another_version_is_refused(
    up: Up, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipstream.installation.newest_revision", lambda: "9999")
    refused = shell.run("keys", "list", "--json")
    assert refused.exit_code == 3
    assert "9999" in json.loads(refused.stdout)["error"]["message"]
    (wrong,) = shell.findings()["wrong"]
    assert wrong["subject"] == "settings"
    # What one does before an upgrade.
    assert shell.run("backup", str(shell.state.parent / "backup")).exit_code == 0


def test_another_installation_is_another_folder(up: Up, tmp_path: Path) -> None:
    other = Shell(tmp_path / "other")
    made = other.run("keys", "create", "--name", "other", "--manage")
    assert "new state folder" in made.stderr
    assert "process" not in made.stderr
    assert status_with(up.url, made.stdout.strip()) == 401
    settings = {"SLIPSTREAM_PORT": str(up.port), "SLIPSTREAM_GRPC_PORT": str(up.grpc_port)}
    wrong = other.findings(**settings)["wrong"]
    assert "a gateway of another installation answers" in wrong[0]["message"]
    assert "--state" in wrong[0]["mend"]


def test_a_pepper_that_cannot_be_read_is_asked_for(up: Up, shell: Shell) -> None:
    file = lock_file(up.state)
    record = file.read_bytes()
    # Seen from another container, the process has another number.
    mine = json.dumps({**json.loads(record), "pid": os.getpid()})
    try:
        file.write_text(mine)
        refused = shell.run("keys", "list", "--json")
        given = shell.run("keys", "list", SLIPSTREAM_KEY_PEPPER=PEPPER)
    finally:
        file.write_bytes(record)
    assert refused.exit_code == 3
    message = json.loads(refused.stdout)["error"]["message"]
    assert message.startswith("SLIPSTREAM_KEY_PEPPER: expected the pepper")
    assert "SLIPSTREAM_KEY_PEPPER_FILE" in message
    assert given.exit_code == 0


def test_secrets_in_files_are_used_and_written_nowhere(tmp_path: Path) -> None:
    database, pepper = tmp_path / "url", tmp_path / "secret"
    database.write_text(f"sqlite:///{tmp_path}/swordfish.db\n")
    pepper.write_text("swordfish swordfish\n")
    files = {
        "SLIPSTREAM_DATABASE_URL_FILE": os.path.relpath(database),
        "SLIPSTREAM_KEY_PEPPER_FILE": os.path.relpath(pepper),
    }
    up = Up(tmp_path / "state", *NO_WORKER, "--no-demo", **files)
    up.until("documentation")
    shell = Shell(up.state)
    assert status_with(up.url, shell.new_key()) == 200
    written = [each for each in up.state.rglob("*") if each.is_file() and not each.is_socket()]
    assert not [each for each in written if b"swordfish swordfish" in each.read_bytes()]
    assert "swordfish" not in lock_file(up.state).read_text()
    both = shell.run("keys", "list", "--json", SLIPSTREAM_KEY_PEPPER="x" * 20, **files)
    assert both.exit_code == 3
    assert "got both" in json.loads(both.stdout)["error"]["message"]
    pepper.unlink()
    missing = shell.run("keys", "list", "--json")
    assert missing.exit_code == 3
    assert "cannot be read" in json.loads(missing.stdout)["error"]["message"]
    assert up.stop() == 0


def test_only_the_owner_reads_the_record_and_another_user_is_told(up: Up) -> None:
    assert lock_file(up.state).stat().st_mode & 0o077 == 0
    assert "elsewhere.db" in lock_file(up.state).read_text()
    written = [file for file in up.state.rglob("*") if file.is_file()]
    assert not [file for file in written if PEPPER.encode() in file.read_bytes()]
    run = lock_file(up.state).parent
    mode = run.stat().st_mode
    if os.geteuid() != 0:
        run.chmod(0)  # root reads it nevertheless
    try:
        assert "run the command as that user" in _refusal_of_another_user(up.state)
    finally:
        run.chmod(mode)


def _refusal_of_another_user(state: Path) -> str:
    """Return why `running_supervisor` refuses a child process that is not root."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setuid(UNPRIVILEGED_USER)
            running_supervisor(state)
        except (OSError, UnusableError) as error:
            os.write(writing, str(error).encode())
        finally:  # it is no second pytest, whatever happens
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as text:
        return text.read()


@pytest.mark.long
def test_a_killed_supervisor_leaves_no_settings_in_force(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/elsewhere.db"
    options = (*NO_WORKER, "--no-demo")
    up = Up(tmp_path / "state", *options, SLIPSTREAM_DATABASE_URL=url)
    up.until("documentation")
    assert up.stop(signal.SIGKILL) == -signal.SIGKILL
    shell = Shell(up.state)
    assert running_supervisor(up.state) is None
    # It would be a new, empty database beside the one with the data.
    refused = shell.run("keys", "create", "--name", "shell", "--json")
    assert refused.exit_code == 3
    assert f"used {url}: set it" in json.loads(refused.stdout)["error"]["message"]
    assert not list(up.state.glob("*.db"))
    assert shell.findings()["wrong"][0]["subject"] == "settings"
    listed = shell.run("keys", "list", SLIPSTREAM_DATABASE_URL=url)
    assert (listed.exit_code, listed.stderr) == (0, "")
    moved = f"sqlite:///{up.state}/slipstream.db"
    assert shell.run("keys", "list", SLIPSTREAM_DATABASE_URL=moved).exit_code == 0
    again = Up(up.state, *options)
    again.until("documentation")
    assert shell.run("keys", "list").stderr == ""
    assert again.stop() == 0
