"""FastAPI tuned by hand: on the event loop, orjson in and out, no validation of the answer.

pydantic validates the bodies of /predict and /pictures, which is what people use FastAPI for; /bare
skips that too.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from benchmarks.apps.session import open_session

app = FastAPI(openapi_url=None)
session = open_session()


class PredictRequest(BaseModel):
    """The body."""

    inputs: list[list[float]]


class PicturesRequest(BaseModel):
    """The body: numbers by picture, colour, row and column."""

    inputs: list[list[list[list[float]]]]


class OrjsonRequest(Request):
    """A request that parses JSON with orjson."""

    async def json(self) -> Any:
        """Return the document."""
        return orjson.loads(await self.body())


class OrjsonRoute(APIRoute):
    """A route with OrjsonRequest."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's own handler with the other request class."""
        handle = super().get_route_handler()

        async def fast(request: Request) -> Response:
            return await handle(OrjsonRequest(request.scope, request.receive))

        return fast


app.router.route_class = OrjsonRoute


@app.post("/predict")
async def predict(request: PredictRequest) -> Response:
    """Run the model on the event loop."""
    return _answer(request.inputs)


@app.post("/pictures")
async def pictures(request: PicturesRequest) -> Response:
    """Run a model over pictures on the event loop."""
    return _answer(request.inputs)


@app.post("/bare")
async def bare(request: Request) -> Response:
    """Run the model on the event loop, without validation."""
    return _answer(orjson.loads(await request.body())["inputs"])


def _answer(rows: list[Any]) -> Response:  # Any: of two or four dimensions
    content = orjson.dumps({"outputs": session.run(rows)}, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(content, media_type="application/json")
