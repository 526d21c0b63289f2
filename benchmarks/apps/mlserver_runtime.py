"""MLServer: a custom runtime in the server's own process. As a program it starts the server."""

# mypy: ignore-errors
# (the package is only in an environment of its own)
from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.apps.session import open_session, ports


class Tiny(MLModel):
    """The model."""

    async def load(self) -> bool:
        """Load."""
        self.session = open_session()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run."""
        outputs = self.session.run(NumpyCodec.decode_input(payload.inputs[0]))
        return InferenceResponse(
            model_name=self.name,
            outputs=[NumpyCodec.encode_output(self.session.output, outputs)],
        )


def main() -> None:
    """Write MLServer's two settings files to this folder, and exec MLServer."""
    http, grpc, metrics = ports()
    server = {
        "host": "127.0.0.1",
        "http_port": http,
        "grpc_port": grpc,
        "metrics_port": metrics,
        "parallel_workers": 0,  # no worker process: its lowest latency
        "debug": False,
    }
    model = {"name": "tiny", "implementation": "benchmarks.apps.mlserver_runtime.Tiny"}
    Path("settings.json").write_text(json.dumps(server))
    Path("model-settings.json").write_text(json.dumps(model))
    program = str(Path(sys.executable).with_name("mlserver"))
    os.execv(program, [program, "start", "."])


if __name__ == "__main__":
    main()
