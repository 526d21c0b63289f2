"""How a server wants to be asked, and where in its answer the output stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from benchmarks.model import Model, Rows, WrongAnswerError

_JSON: Mapping[str, str] = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The JSON of questions and answers. Any: documents are JSON of any kind."""

    question: Callable[[Rows], Any]
    answer: Callable[[Any], Any]
    echo: bool = False
    """The answer is the question, and not the model's output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request of which many are made."""

    path: str
    body: bytes
    headers: Mapping[str, str]
    check: Callable[[bytes], None]
    """Raises WrongAnswerError for an answer that is not right."""


ROWS = Form(question=lambda rows: {"inputs": rows}, answer=lambda said: said["outputs"])
ECHO = Form(question=ROWS.question, answer=lambda said: said, echo=True)
BARE_ARRAY = Form(question=ROWS.question, answer=lambda said: said)
FLOW = Form(
    question=lambda rows: {"input_data": {"x": rows}},
    answer=lambda said: said["output_data"]["y"],
)


def _v2_question(rows: Rows) -> dict[str, Any]:
    flat = [number for row in rows for number in row]
    shape = [len(rows), len(rows[0])]
    return {"inputs": [{"name": "x", "shape": shape, "datatype": "FP32", "data": flat}]}


def _v2_answer(said: dict[str, Any]) -> list[list[float]]:
    output = said["outputs"][0]
    rows, width = output["shape"]
    return [output["data"][at * width : (at + 1) * width] for at in range(rows)]


V2 = Form(question=_v2_question, answer=_v2_answer)


def call(form: Form, model: Model, path: str, headers: Mapping[str, str] | None = None) -> Call:
    """Return the request that asks for the model's output."""
    body = orjson.dumps(form.question(model.rows))

    def check(content: bytes) -> None:
        if form.echo:
            if content != body:
                raise WrongAnswerError(f"expected {body!r}, got {content[:300]!r}")
            return
        try:
            output = form.answer(orjson.loads(content))
        except (orjson.JSONDecodeError, LookupError, TypeError):
            raise WrongAnswerError(f"no output in {content[:300]!r}") from None
        model.check(output)

    return Call(path=path, body=body, headers={**_JSON, **(headers or {})}, check=check)
