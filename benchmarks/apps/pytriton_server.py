"""PyTriton: Triton's C++ front end and batcher, the model as a Python callable."""

# mypy: ignore-errors
# (the package is only in an environment of its own)
from __future__ import annotations

import signal

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from benchmarks.apps.session import open_session, ports

STOP = {signal.SIGTERM, signal.SIGINT}


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    session = open_session()

    @batch
    def run(x: np.ndarray) -> dict[str, np.ndarray]:
        return {"y": session.run(x)}

    http, grpc, metrics = ports()
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=http,
        grpc_address="127.0.0.1",
        grpc_port=grpc,
        metrics_address="127.0.0.1",
        metrics_port=metrics,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="tiny",
            infer_func=run,
            inputs=[Tensor(name="x", dtype=np.float32, shape=(4,))],
            outputs=[Tensor(name="y", dtype=np.float32, shape=(3,))],
            # Waiting requests are batched; none is delayed for a batch to fill.
            config=ModelConfig(
                max_batch_size=64, batcher=DynamicBatcher(max_queue_delay_microseconds=0)
            ),
        )
        triton.run()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
        signal.sigwait(STOP)


if __name__ == "__main__":
    main()
