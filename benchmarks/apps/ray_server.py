"""Ray Serve: one replica behind its HTTP proxy, access log off."""

# mypy: ignore-errors
# (the package is only in an environment of its own)
from __future__ import annotations

import signal
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from benchmarks.apps.session import open_session, ports


@serve.deployment(num_replicas=1, max_ongoing_requests=128, ray_actor_options={"num_cpus": 1})
class Tiny:
    """The model."""

    def __init__(self) -> None:
        self.session = open_session()

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Run."""
        return {"outputs": self.session.run((await request.json())["inputs"]).tolist()}


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    signals = {signal.SIGTERM, signal.SIGINT}
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20
    )
    serve.start(
        http_options={"host": "127.0.0.1", "port": ports()[0]},
        logging_config={"enable_access_log": False},
    )
    serve.run(Tiny.bind(), route_prefix="/predict")
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    signal.sigwait(signals)
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
