"""Callers of every mode, each with one call at a time; they retry a key until it is answered."""

from __future__ import annotations

import asyncio
from random import Random
from uuid import uuid4

import httpx

from tests.chaos.call_log import TERMINAL, Call, CallLog, Json

_TIMEOUT_SECONDS = 90.0
_PAUSE_SECONDS = 0.1
_MAX_PAUSE = 1.0
_RETRIED = frozenset({429, 503})


class Callers:
    """Makes calls until stopped and records them in the call log."""

    def __init__(
        self,
        url: str,
        key: str,
        call_log: CallLog,
        random: Random,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Call `url` with a `manage` key, by default over connections of our own."""
        self.stopping = asyncio.Event()
        self._call_log = call_log
        self._random = random
        self.http = httpx.AsyncClient(
            base_url=url,
            headers={"X-API-Key": key},
            timeout=_TIMEOUT_SECONDS,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=50),
            transport=transport,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self.http.aclose()

    async def sync(self, pair: str, deployment: str) -> None:
        """Call repeatedly; a 202 names the run that a stopping gateway left to others."""
        while not self.stopping.is_set():
            call = self._open(pair, deployment)
            answer = await self.call_until_answered(call)
            if answer is not None and answer.status_code == httpx.codes.ACCEPTED:
                call.final = await self._poll(call, answer.json()["flow_run_id"])
            elif answer is not None and answer.is_success:
                call.final = answer.json()
            await self._pause()

    async def accepted(self, pair: str, deployment: str) -> None:
        """Call repeatedly, polling each run until it has ended."""
        while not self.stopping.is_set():
            call = self._open(pair, deployment)
            answer = await self.call_until_answered(call)
            if answer is not None and answer.is_success:
                call.final = await self._poll(call, answer.json()["flow_run_id"])
            await self._pause()

    async def fast(self, pair: str, deployment: str) -> None:
        """Call repeatedly without retries, as for fast calls."""
        body = {"input_data": {"x": [[5.1, 3.5, 1.4, 0.2]]}}
        while not self.stopping.is_set():
            answer = await self._post(pair, deployment, body, {})
            if answer is not None and "flow_run_id" in (document := _document(answer)):
                self._call_log.fast_run_ids.add(document["flow_run_id"])
            await self._pause()

    async def call_until_answered(
        self, call: Call, *, tries: int | None = None
    ) -> httpx.Response | None:
        """Retry with the same key until there is a final response; None if stopped."""
        headers = {"Idempotency-Key": call.key}
        while tries is None or tries > 0:
            tries = tries and tries - 1
            answer = await self._post(call.pair, call.deployment, call.body, headers)
            if answer is None:
                call.dropped += 1
            elif answer.status_code not in _RETRIED:
                if "flow_run_id" in (document := _document(answer)):
                    call.run_ids.append(document["flow_run_id"])
                return answer
            if tries is None and self.stopping.is_set():
                return None
            await asyncio.sleep(_retry_after(answer))
        return None

    async def _post(
        self, pair: str, deployment: str, body: Json, headers: dict[str, str]
    ) -> httpx.Response | None:
        """Call once; return None if the connection broke."""
        path = f"/node/deployment-trigger/{deployment}/"
        try:
            answer = await self.http.post(path, json=body, headers=headers)
        except httpx.TransportError as error:
            self._call_log.answered(pair, type(error).__name__)
            return None
        document = _document(answer)
        if not document or (answer.is_error and not document.get("message")):
            self._call_log.not_json.append(f"{pair}: {answer.status_code} {answer.text[:200]}")
        code = f" {document.get('code')}" if answer.is_error else ""
        self._call_log.answered(pair, f"{answer.status_code}{code}")
        return answer

    async def _poll(self, call: Call, run_id: str) -> Json | None:
        while True:
            try:
                answer = await self.http.get(f"/node/flow-runs/{run_id}/", params={"wait": 2})
            except httpx.TransportError:
                answer = None
            if answer is not None:
                if answer.status_code in {404, 410}:
                    self._call_log.lost.append(run_id)
                    return None
                run = _document(answer)
                if run.get("status") in TERMINAL:
                    self._call_log.answered(call.pair, f"polled: {_outcome(run)}")
                    return run
            if self.stopping.is_set():
                return None
            await asyncio.sleep(_PAUSE_SECONDS)

    def _open(self, pair: str, deployment: str) -> Call:
        key = str(uuid4())
        body = {"input_data": {"x": [[5.1, 3.5, 1.4, 0.2]], "token": key}}
        return self._call_log.open(pair, deployment, key, body)

    async def _pause(self) -> None:
        await asyncio.sleep(self._random.uniform(0, 2 * _PAUSE_SECONDS))


def _document(answer: httpx.Response) -> Json:
    """Return the body, or an empty dict if it is not a JSON object."""
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _retry_after(answer: httpx.Response | None) -> float:
    value = answer.headers.get("retry-after", "") if answer is not None else ""
    return min(float(value), _MAX_PAUSE) if value.isdecimal() else 2 * _PAUSE_SECONDS


def _outcome(run: Json) -> str:
    return f"failed {run['error']['code']}" if run["status"] == "failed" else str(run["status"])
