"""What is promised of every setting, package and file."""

from __future__ import annotations

import ast
import re

import pytest

from gateway.settings import Settings
from tests.architecture.repository import PACKAGES, ROOT, files, modules

OF_THE_COMMAND = {
    "BEHIND_PROXY",
    "INSECURE",
    "JOINED",
    "NO_DEMO",
    "API_KEY",
    "WEBHOOK_SECRET",
    "MODELS_PER_PROCESS",
    "LABELS",
    "LOG_FILE_BYTES",
    "MEMORY_BYTES",
    "WORKER_CONCURRENCY",
    "WORKER_IDLE_SECONDS",
}
"""Settings of `slipstream` that no gateway reads."""

VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "shared", "base", "core"}

OF_A_MACHINE = re.compile(rb"(?<![\w.])/(?:home|root|Users|work|workspace|mnt|srv)/\w")

ROW = re.compile(r"^\| `SLIPSTREAM_([A-Z0-9_]+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)


def rows() -> dict[str, tuple[str, str]]:
    """Return the table of docs/configuration.md: name → default and meaning."""
    found = ROW.findall((ROOT / "docs" / "configuration.md").read_text())
    assert len(found) == len({name for name, _, _ in found})
    return {name: (default, meaning) for name, default, meaning in found}


def test_every_setting_has_its_row_in_the_documentation_and_every_row_its_setting() -> None:
    assert set(rows()) == {name.upper() for name in Settings.model_fields} | OF_THE_COMMAND


def test_every_setting_says_what_it_is_for() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith((".", "?")), name


def test_defaults_are_documented_as_they_are() -> None:
    for name, (documented, _) in rows().items():
        field = Settings.model_fields.get(name.lower())
        if field is None or field.default is None:
            continue
        if field.default is False:
            expected = "off"
        elif field.default == ():
            expected = "none"
        elif isinstance(field.default, int) and field.default >= 2**20:
            whole, mebibytes = divmod(field.default >> 20, 1024)
            expected = f"{mebibytes} MiB" if mebibytes else f"{whole} GiB"
        elif isinstance(field.default, tuple):
            expected = ",".join(f"{number:g}" for number in field.default)
        elif isinstance(field.default, float):
            expected = f"{field.default:g}"
        else:
            expected = str(field.default)
        assert documented.strip("`") == expected, name


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_what_it_is(package: str) -> None:
    found = [path for path in modules(package) if path.name == "__init__.py"]
    assert found
    for path in found:
        assert ast.get_docstring(ast.parse(path.read_text())), path.relative_to(ROOT)


def test_every_folder_of_modules_is_a_package() -> None:
    for path in modules(*PACKAGES, "tests"):
        if path.parent.name != "versions" and "migrations" not in path.parts:
            assert (path.parent / "__init__.py").exists(), path.relative_to(ROOT)


def test_no_module_has_a_name_that_says_nothing() -> None:
    for path in modules(*PACKAGES, "tests"):
        stem = path.parent.name if path.name == "__init__.py" else path.stem
        assert stem not in VAGUE, path.relative_to(ROOT)


def test_no_file_knows_a_path_of_somebodys_machine() -> None:
    looked_at = 0
    for path in files():
        found = OF_A_MACHINE.search(path.read_bytes())
        assert found is None, f"{path.relative_to(ROOT)}: {found}"
        looked_at += 1
    assert looked_at > 150
