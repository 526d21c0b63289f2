"""The servers that are compared: how each is started and what it is asked."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.forms import BARE_ARRAY, ECHO, ROWS, V2, Form

SLIPSTREAM = "slipstream"
ECHO_SERVER = "asgi-echo"
IN_PROCESS = "asgi-onnxruntime"
TUNED = "fastapi-tuned"
PYTRITON = "pytriton"
PEERS = ("litserve", "bentoml", "mlserver", "ray-serve", PYTRITON)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What can be started. {python}, {port} and {work} are filled in."""

    name: str
    what: str
    """For the table: what it is and how it is set."""
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    """What its own virtual environment gets. None: it runs in this one."""
    boot_seconds: float = 60.0
    """It has failed if it has not answered by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server(Program):
    """A server that is asked over HTTP."""

    form: Form
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)


def _uvicorn(app: str) -> tuple[str, ...]:
    options = "--loop uvloop --http httptools --lifespan off --no-access-log --log-level warning"
    address = ("--host", "127.0.0.1", "--port", "{port}")
    return ("{python}", "-m", "uvicorn", f"benchmarks.apps.{app}:app", *address, *options.split())


def _app(name: str) -> tuple[str, ...]:
    return ("{python}", "-m", f"benchmarks.apps.{name}")


_ONNX = ("onnxruntime", "numpy<3")

BASELINES = (
    Server(
        name=ECHO_SERVER,
        what="bare ASGI echo on uvicorn: no framework, no model",
        command=_uvicorn("echo"),
        form=ECHO,
        path="/",
    ),
    Server(
        name=IN_PROCESS,
        what="ASGI, orjson and ONNX Runtime in one process: no framework",
        command=_uvicorn("asgi"),
        form=ROWS,
        path="/predict",
    ),
    Server(
        name="fastapi-bare",
        what="FastAPI that checks no body: `async def (request)`, orjson, model in process",
        command=_uvicorn("fastapi_tuned"),
        form=ROWS,
        path="/bare",
    ),
    Server(
        name=TUNED,
        what="FastAPI tuned: `async def`, pydantic body, uvloop, httptools, orjson, "
        "model in process",
        command=_uvicorn("fastapi_tuned"),
        form=ROWS,
        path="/predict",
    ),
    Server(
        name="fastapi-plain",
        what="FastAPI as most people write it: `def`, pydantic body, a dict; model in process",
        command=_uvicorn("fastapi_plain"),
        form=ROWS,
        path="/predict",
    ),
)

PEER_SERVERS = (
    Server(
        name="litserve",
        what="LitServe: one worker, access log off",
        command=_app("litserve_server"),
        form=ROWS,
        path="/predict",
        packages=("litserve", *_ONNX),
    ),
    Server(
        name="bentoml",
        what="BentoML: one worker, `async def`, access log and metrics off",
        command=(
            *("{python}", "-m", "bentoml", "serve", "benchmarks.apps.bentoml_service:Tiny"),
            *("--host", "127.0.0.1", "--port", "{port}", "--quiet"),
        ),
        form=BARE_ARRAY,
        path="/predict",
        environment={"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": "{work}/bentoml"},
        packages=("bentoml", *_ONNX),
    ),
    Server(
        name="mlserver",
        what="MLServer: model in the server's process (parallel_workers=0), V2 JSON",
        command=_app("mlserver_runtime"),
        form=V2,
        path="/v2/models/tiny/infer",
        # Newer uvloops have no event loop before one runs, and MLServer asks for it.
        packages=("mlserver", "uvloop<0.22", *_ONNX),
    ),
    Server(
        name="ray-serve",
        what="Ray Serve: one replica, access log off",
        command=_app("ray_server"),
        form=ROWS,
        path="/predict",
        environment={"RAY_USAGE_STATS_ENABLED": "0"},
        packages=("ray[serve]", *_ONNX),
        boot_seconds=120.0,
    ),
    Server(
        name=PYTRITON,
        what="PyTriton: Triton's C++ front end, batching without delay, Python callable, V2 JSON",
        command=_app("pytriton_server"),
        form=V2,
        path="/v2/models/tiny/infer",
        # Triton's Python stub must find the library of the Python that it is started by.
        environment={"LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR"))},
        packages=("nvidia-pytriton", *_ONNX),
        boot_seconds=120.0,
    ),
)


def slipstream(*, state: str, path: str, key: str, form: Form) -> Server:
    """Return Slipstream itself, for a prepared state folder."""
    return Server(
        name=SLIPSTREAM,
        what="Slipstream, REST fast mode: one gateway, the model in a process of its own",
        command=(
            *(sys.executable, "-m", "slipstream", "up", "--no-demo", "--workers", "1"),
            *("--state", state, "--port", "{port}", "--grpc-port", "{second_port}"),
        ),
        form=form,
        path=path,
        headers={"X-API-Key": key},
    )
