"""The servers that are compared: how each is started, and how it is called."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.calls import BARE_ARRAY, FLOW, ROWS, V2, HttpCall, JsonFormat, echo_call, json_call
from benchmarks.models import OnnxModel

SLIPSTREAM = "slipstream"
ECHO = "asgi-echo"
IN_PROCESS = "asgi-onnxruntime"
TUNED = "fastapi-tuned"
PYTRITON = "pytriton"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program to start. {python}, {port}, {second_port} and {work} are filled in."""

    name: str
    what: str
    """Description for the report."""
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    """Installed into an environment of its own; empty: it runs in this one."""
    boot_seconds: float = 60.0
    """It must answer within that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpServer(Program):
    """A server that is called over HTTP."""

    path: str
    form: JsonFormat | None
    """None for a server that echoes the body."""
    headers: Mapping[str, str] = field(default_factory=dict)

    def call(self, model: OnnxModel) -> HttpCall:
        """Return the call for the model's output."""
        if self.form is None:
            return echo_call(model, self.path)
        return json_call(self.form, model, self.path, self.headers)


def _uvicorn(app: str) -> tuple[str, ...]:
    options = "--loop uvloop --http httptools --lifespan off --no-access-log --log-level warning"
    address = ("--host", "127.0.0.1", "--port", "{port}")
    return ("{python}", "-m", "uvicorn", f"benchmarks.apps.{app}:app", *address, *options.split())


def _app(name: str) -> tuple[str, ...]:
    return ("{python}", "-m", f"benchmarks.apps.{name}")


_ONNX = ("onnxruntime", "numpy<3")

BASELINES = (
    HttpServer(
        name=ECHO,
        what="bare ASGI echo on uvicorn: no framework, no model",
        command=_uvicorn("echo"),
        form=None,
        path="/",
    ),
    HttpServer(
        name=IN_PROCESS,
        what="ASGI, orjson and ONNX Runtime in one process: no framework",
        command=_uvicorn("asgi"),
        form=ROWS,
        path="/predict",
    ),
    HttpServer(
        name="fastapi-bare",
        what="FastAPI without body validation: `async def (request)`, orjson, model in process",
        command=_uvicorn("fastapi_tuned"),
        form=ROWS,
        path="/bare",
    ),
    HttpServer(
        name=TUNED,
        what="FastAPI tuned: `async def`, pydantic body, uvloop, httptools, orjson, "
        "model in process",
        command=_uvicorn("fastapi_tuned"),
        form=ROWS,
        path="/predict",
    ),
    HttpServer(
        name="fastapi-plain",
        what="FastAPI as most people write it: `def`, pydantic body, a dict; model in process",
        command=_uvicorn("fastapi_plain"),
        form=ROWS,
        path="/predict",
    ),
)

PEERS = (
    HttpServer(
        name="litserve",
        what="LitServe: one worker, access log off",
        command=_app("litserve_server"),
        form=ROWS,
        path="/predict",
        packages=("litserve", *_ONNX),
    ),
    HttpServer(
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
    HttpServer(
        name="mlserver",
        what="MLServer: model in the server's process (parallel_workers=0), V2 JSON",
        command=_app("mlserver_runtime"),
        form=V2,
        path="/v2/models/tiny/infer",
        # MLServer asks for an event loop before one runs; newer uvloops raise then.
        packages=("mlserver", "uvloop<0.22", *_ONNX),
    ),
    HttpServer(
        name="ray-serve",
        what="Ray Serve: one replica, access log off",
        command=_app("ray_server"),
        form=ROWS,
        path="/predict",
        environment={"RAY_USAGE_STATS_ENABLED": "0"},
        packages=("ray[serve]", *_ONNX),
        boot_seconds=120.0,
    ),
    HttpServer(
        name=PYTRITON,
        what="PyTriton: Triton's C++ front end, batching without delay, Python callable, V2 JSON",
        command=_app("pytriton_server"),
        form=V2,
        path="/v2/models/tiny/infer",
        # Triton's Python stub looks for the library of the Python that starts it.
        environment={"LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR"))},
        packages=("nvidia-pytriton", *_ONNX),
        boot_seconds=120.0,
    ),
)


def baseline(name: str) -> HttpServer:
    """Return one of BASELINES."""
    return next(server for server in BASELINES if server.name == name)


def slipstream(
    *, state: str, path: str, key: str, settings: Mapping[str, str] | None = None
) -> HttpServer:
    """Return Slipstream on a prepared state folder; `settings` are environment variables."""
    return HttpServer(
        name=SLIPSTREAM,
        what="Slipstream, REST fast mode: one gateway, the model in a process of its own",
        command=(
            *(sys.executable, "-m", "slipstream", "up", "--no-demo", "--workers", "1"),
            *("--state", state, "--port", "{port}", "--grpc-port", "{second_port}"),
        ),
        form=FLOW,
        path=path,
        headers={"X-API-Key": key},
        environment=settings or {},
    )
