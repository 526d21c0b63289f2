"""FastAPI tuned by hand: on the event loop, orjson in and out, no validation of the answer.

/predict and /pictures still have their body checked by pydantic, which is what people use FastAPI
for; /bare does without that as well, and is FastAPI in little more than name.
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


class Question(BaseModel):
    """The body."""

    inputs: list[list[float]]


class Pictures(BaseModel):
    """The body with numbers by picture, colour, line and column."""

    inputs: list[list[list[list[float]]]]


class FastRequest(Request):
    """A request whose JSON is read by orjson."""

    async def json(self) -> Any:
        """Return the document."""
        return orjson.loads(await self.body())


class FastRoute(APIRoute):
    """A route that hands on fast requests."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's own handler behind the other request class."""
        handle = super().get_route_handler()

        async def fast(request: Request) -> Response:
            return await handle(FastRequest(request.scope, request.receive))

        return fast


app.router.route_class = FastRoute


@app.post("/predict")
async def predict(question: Question) -> Response:
    """Run the model on the event loop."""
    return _answer(question.inputs)


@app.post("/pictures")
async def pictures(question: Pictures) -> Response:
    """Run a model over pictures on the event loop."""
    return _answer(question.inputs)


@app.post("/bare")
async def bare(request: Request) -> Response:
    """Run the model on the event loop, for a body that nobody checks."""
    return _answer(orjson.loads(await request.body())["inputs"])


def _answer(rows: list[Any]) -> Response:  # Any: of two or four dimensions
    content = orjson.dumps({"outputs": session.run(rows)}, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(content, media_type="application/json")
