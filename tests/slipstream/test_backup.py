"""`slipstream backup`: consistent, complete or absent, and readable by its owner only."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from model_store.backup import copy_store
from model_store.folder_store import FolderStore
from tests import onnx_models
from tests.slipstream.cli import Cli
from tests.timing import TIMEOUT_SECONDS


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Cli:
    """A state folder with two versions of a model, a label and a key."""
    folder = tmp_path_factory.mktemp("original")
    cli = Cli.of_template(folder / "state", sqlite_template)
    model = str(onnx_models.mlp(folder / "mlp.onnx"))
    cli.answer("models", "add", model, "--name", "mlp")
    cli.answer("models", "add", model, "--name", "mlp")
    cli.answer("models", "label", "mlp", "stable", "--version", "1")
    cli.answer("keys", "create", "--name", "shop")
    return cli


@pytest.fixture
def filled(original: Cli, new_cli: Cli) -> Cli:
    """A copy of it."""
    return original.copy(new_cli.state)


def test_the_backup_is_a_state_folder(filled: Cli, tmp_path: Path) -> None:
    target = tmp_path / "backups" / "monday"
    made = filled.answer("backup", str(target))
    assert (made["folder"], made["database"], made["models"], made["pepper"]) == (
        str(target),
        True,
        2,
        True,
    )
    assert made["missing"] == []
    copy = Cli(target)
    for words in (("keys", "list"), ("models", "list"), ("models", "show", "mlp")):
        assert copy.answer(*words) == filled.answer(*words)
    assert copy.answer("doctor")["healthy"] is True
    assert target.stat().st_mode & 0o077 == 0


def test_what_is_kept_elsewhere_is_named(
    filled: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = filled.run("backup", str(tmp_path / "without"), "--no-pepper")
    assert f"the pepper: it is in {filled.state}/pepper" in without.stderr
    assert not (tmp_path / "without" / "pepper").exists()
    monkeypatch.setenv("SLIPSTREAM_KEY_PEPPER", "a pepper of the environment")
    monkeypatch.setenv("SLIPSTREAM_DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/there")
    made = filled.answer("backup", str(tmp_path / "elsewhere"))
    assert (made["database"], made["pepper"]) == (False, False)
    database, pepper = made["missing"]
    assert "127.0.0.1:1/there: copy it with pg_dump" in database
    assert "secret" not in database
    assert "SLIPSTREAM_KEY_PEPPER" in pepper


def test_a_database_in_use_is_copied_as_it_is_at_one_moment(filled: Cli, tmp_path: Path) -> None:
    file, stop, written = filled.state / "slipstream.db", threading.Event(), threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(file, timeout=TIMEOUT_SECONDS)) as connection:
            connection.execute("CREATE TABLE pairs (half INTEGER, content BLOB)")
            while not stop.is_set():
                with connection:  # both halves, or none
                    for half in (1, 2):
                        connection.execute("INSERT INTO pairs VALUES (?, zeroblob(65536))", [half])
                written.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert written.wait(TIMEOUT_SECONDS)
        filled.answer("backup", str(tmp_path / "copy"))
    finally:
        stop.set()
        writer.join()
    with closing(sqlite3.connect(tmp_path / "copy" / "slipstream.db")) as copy:
        counts = copy.execute("SELECT count(*) FROM pairs GROUP BY half").fetchall()
        assert counts[0] == counts[1]
        assert counts[0][0] >= 1
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_backup_that_fails_leaves_nothing_and_none_is_overwritten(
    filled: Cli, tmp_path: Path
) -> None:
    target = tmp_path / "copy"
    target.mkdir()
    assert filled.refusal("backup", str(target)) == (1, "conflict")
    assert not list(target.iterdir())
    target.rmdir()
    database = filled.state / "slipstream.db"
    database.write_bytes(b"no database, whatever it may be " * 100)
    assert filled.refusal("backup", str(target)) == (3, "unusable")
    assert not target.exists()
    assert not list(tmp_path.glob(".copy*"))
    nowhere = Cli(tmp_path / "nowhere")
    assert nowhere.refusal("backup", str(target)) == (3, "unusable")
    assert not nowhere.state.exists()


def test_a_version_that_is_removed_meanwhile_is_left_out(
    filled: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(filled.state / "models")
    copytree = shutil.copytree

    def remove_first(source: Path, target: Path) -> object:
        if source.name == "2":
            store.remove("mlp", 2)
        return copytree(source, target)

    monkeypatch.setattr("model_store.backup.shutil.copytree", remove_first)
    assert copy_store(store, tmp_path / "copy") == 1
    copy = FolderStore(tmp_path / "copy")
    assert (copy.versions("mlp"), copy.labels("mlp")) == ([1], {"stable": 1})
