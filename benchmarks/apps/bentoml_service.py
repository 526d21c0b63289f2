"""BentoML: one worker, on the event loop, access log and metrics off."""

# mypy: ignore-errors
# (the package is only in an environment of its own)
# BentoML reads the annotations themselves, so this file does without `annotations`.
# ruff: noqa: I002
import bentoml
import numpy as np

from benchmarks.apps.session import open_session


@bentoml.service(
    workers=1,
    traffic={"timeout": 30},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
)
class Tiny:
    """The model."""

    def __init__(self) -> None:
        self.session = open_session()

    @bentoml.api
    async def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Run."""
        return self.session.run(inputs)
