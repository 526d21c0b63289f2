"""A store with small models, and inference servers that serve them."""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc.aio
import pytest
import pytest_asyncio

from model_store.folder_store import FolderStore
from model_store.verification import Verifier
from protos.datatypes import DATATYPES
from tests import onnx_models
from tests.inference_server.process import InferenceProcess, running
from tests.older_release import make_unservable
from tests.stub import InferenceStub

NUMERIC = tuple(name for name in DATATYPES if name != "BYTES")
TYPED = tuple(name for name, datatype in DATATYPES.items() if datatype.contents)

MODELS: Mapping[str, Callable[[Path], Path]] = {
    "mixed": onnx_models.mixed,
    "mlp": onnx_models.mlp,
    "copies_rows": onnx_models.copies_rows,
    "numeric": functools.partial(onnx_models.identities, datatypes=NUMERIC),
    "typed": functools.partial(onnx_models.identities, datatypes=TYPED),
    "narrowing": onnx_models.narrowing,
    "bfloat_and_text": functools.partial(onnx_models.identities, datatypes=["BF16", "BYTES"]),
    "any_rank": functools.partial(onnx_models.identity, shape=None),
    "scalar": onnx_models.scalar,
    "optional": onnx_models.optional_input,
    "optional_type": onnx_models.optional_type,
    "sequence": onnx_models.identity,
    "maps": onnx_models.map_output,
    "text_maps": functools.partial(onnx_models.map_output, labels=["no", "yes", "ü"]),
    "float8": functools.partial(onnx_models.float8_output, alone=False),
    "gather": onnx_models.fails_at_run,
    "fill": onnx_models.fill,
    "loop": onnx_models.loop,
    "recurrent": onnx_models.recurrent,
    "endless": functools.partial(onnx_models.loop, trips=10**15),
    "one_long_operator": onnx_models.one_long_operator,
    "slow_to_load": functools.partial(onnx_models.slow_to_load, seconds=2.0),
    "slow_to_run": functools.partial(onnx_models.slow_to_run, seconds=0.3),
}

Publish = Callable[[str], Path]
StartServer = Callable[..., InferenceProcess]


@pytest.fixture(scope="session")
def publish(tmp_path_factory: pytest.TempPathFactory) -> Publish:
    """Put one of MODELS into the store, as version 1 of its name; return the store's folder."""
    folder = tmp_path_factory.mktemp("models")
    store = FolderStore(folder / "store")
    verifier = Verifier((sys.executable, "-m", "inference_server.runtime.verify"))

    @functools.cache
    def published(name: str) -> Path:
        store.publish(MODELS[name](folder / f"{name}.onnx"), name, verifier=verifier)
        if name == "sequence":
            make_unservable(folder / "store", name)
        return folder / "store"

    return published


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """A folder for Unix sockets: pytest's own are too long for them."""
    with TemporaryDirectory(prefix="ss-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def shared_server(publish: Publish) -> Iterator[StartServer]:
    """Return a server of a model that all tests share; tests must not change its state."""
    with ExitStack() as servers:
        folder = Path(servers.enter_context(TemporaryDirectory(prefix="ss-")))

        @functools.cache
        def serve(model: str) -> InferenceProcess:
            arguments = ("--tcp", "127.0.0.1:0")
            return servers.enter_context(running(publish(model), model, folder, arguments))

        yield serve


@pytest.fixture
def start_server(publish: Publish) -> Iterator[StartServer]:
    """Start a server for one test: `start_server("mlp", "--threads", "1", until="listening")`."""
    with ExitStack() as servers:

        def serve(model: str, *arguments: str, until: str = "ready") -> InferenceProcess:
            folder = Path(servers.enter_context(TemporaryDirectory(prefix="ss-")))
            started = running(publish(model), model, folder, arguments, until=until)
            return servers.enter_context(started)

        yield serve


Connect = Callable[[InferenceProcess], InferenceStub]


@pytest_asyncio.fixture
async def connect() -> AsyncIterator[Connect]:
    """Return a stub on a new channel to a server's Unix socket; closed after the test."""
    channels: list[grpc.aio.Channel] = []

    def connected(server: InferenceProcess) -> InferenceStub:
        channels.append(grpc.aio.insecure_channel(server.address))
        return InferenceStub(channels[-1])

    yield connected
    for channel in channels:
        await channel.close()
