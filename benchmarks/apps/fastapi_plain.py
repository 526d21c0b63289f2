"""FastAPI as most people write it: a pydantic body, a plain function, a dict."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.apps.session import open_session

app = FastAPI()
session = open_session()


class PredictRequest(BaseModel):
    """The body."""

    inputs: list[list[float]]


@app.post("/predict")
def predict(request: PredictRequest) -> dict[str, list[list[float]]]:
    """Run the model, in FastAPI's thread pool."""
    return {"outputs": session.run(request.inputs).tolist()}
