"""What the processes import, tried out: import-linter sees only what is written at the top."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT, modules

pytestmark = pytest.mark.processes

LEAN = ("inference_server", "model_store", "telemetry", "protos", "transport")
REFUSED = ("fastapi", "starlette", "celery", "sqlalchemy", "rich", "gateway", "slipstream")
DEVELOPERS_ONLY = ("protos.generate",)

REFUSE = """
import sys

refused = sys.argv.pop(1).split(",")

class Refuser:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise AssertionError(f"{name} was imported")
        return None

sys.meta_path.insert(0, Refuser())
"""

IMPORT_ALL = f"""{REFUSE}
import importlib
wanted = sys.argv[1].split(",")
for name in wanted:
    importlib.import_module(name)
print(len(wanted))
"""

RUN_COMMAND = f"""{REFUSE}
from slipstream.__main__ import main
main()
"""

LIST_IMPORTED = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(*{name.partition(".")[0] for name in sys.modules})
"""


def names(*packages: str) -> list[str]:
    """Return the dotted names of all modules of some packages."""
    found = []
    for path in sorted(modules(*packages)):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return [name for name in found if name not in DEVELOPERS_ONLY]


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python of its own."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_inference_server_and_the_store_need_no_web_framework_and_no_gateway() -> None:
    wanted = names(*LEAN)
    assert {"inference_server.__main__", "inference_server.runtime.verify"} < set(wanted)
    assert {"model_store.store", "protos.status", "telemetry.logs"} < set(wanted)
    ended = run(IMPORT_ALL, ",".join(REFUSED), ",".join(wanted))
    assert (ended.stdout, ended.stderr) == (f"{len(wanted)}\n", "")


def test_the_gateway_starts_without_grpc_redis_and_rich() -> None:
    ended = run(IMPORT_ALL, "grpc,redis,rich", "gateway.assembly")
    assert (ended.stdout, ended.stderr) == ("1\n", "")


def test_the_refusal_itself_works() -> None:
    ended = run(IMPORT_ALL, ",".join(REFUSED), "model_store,gateway.auth.access")
    assert ended.returncode == 1
    assert "AssertionError: gateway was imported" in ended.stderr


@pytest.mark.parametrize("module", ["gateway.boot", "gateway.__main__"])
def test_a_gateways_port_answers_before_anything_heavy_is_imported(module: str) -> None:
    ended = run(LIST_IMPORTED, module)
    imported = set(ended.stdout.split())
    assert {"gateway", "orjson"} <= imported
    heavy = {"fastapi", "starlette", "pydantic", "sqlalchemy", "alembic", "grpc", "google"}
    assert not imported & (heavy | {"numpy", "onnxruntime", "structlog", "model_store"})


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory with a database."""
    folder = tmp_path_factory.mktemp("state")
    made = run(RUN_COMMAND, "numpy", "migrate", "--state", str(folder))
    assert made.returncode == 0, made.stderr
    return folder


@pytest.mark.parametrize("command", ["deployments", "keys", "models", "runs"])
def test_lists_import_neither_clients_nor_numbers(command: str, state: Path) -> None:
    heavy = "numpy,aiohttp,fastapi,starlette,google,ml_dtypes,celery,grpc,jinja2,alembic"
    listed = run(RUN_COMMAND, heavy, command, "list", "--state", str(state))
    assert listed.returncode == 0, listed.stderr
