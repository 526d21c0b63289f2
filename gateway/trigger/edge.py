"""The trigger route as pure ASGI: FastAPI's routing costs more than all the rest of a fast call."""

from __future__ import annotations

from time import perf_counter

from gateway.auth.authenticator import Authenticator
from gateway.auth.headers import presented_key
from gateway.auth.identity import Identity
from gateway.deployments.directory import Directory
from gateway.deployments.live import LiveDeployment
from gateway.errors import GatewayError
from gateway.ids import new_id
from gateway.metrics import GatewayMetrics
from gateway.trigger.answers import server_timing
from gateway.trigger.dispatch import Dispatcher, Trigger
from gateway.web.asgi import DisconnectedError, Receive, Scope, Send, read_body, send_answer
from gateway.web.faults import as_gateway_error
from gateway.web.problems import Answer, problem
from gateway.web.requests import request_id_of
from protos.errors import ErrorCode

PREFIX = "/node/deployment-trigger/"
_JSON = [(b"content-type", b"application/json")]


class TriggerEdge:
    """Answers `POST /node/deployment-trigger/{deployment_id}/`, with or without the last slash."""

    def __init__(
        self,
        authenticator: Authenticator,
        directory: Directory,
        dispatcher: Dispatcher,
        metrics: GatewayMetrics,
        *,
        max_body_bytes: int,
    ) -> None:
        self._authenticator = authenticator
        self._directory = directory
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._strangers = metrics.meters("", "")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        began = perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        run_id = new_id()
        request_id = request_id_of(headers, run_id)
        meters = self._strangers
        try:
            identity = await self._identify(headers)
            deployment = await self._deployment(scope["path"], identity)
            meters = self._metrics.meters(deployment.id, deployment.execution_mode)
            authenticated = perf_counter()
            body = await read_body(receive, headers, self._max_body_bytes)
            result = await self._dispatcher.dispatch(
                Trigger(
                    deployment=deployment,
                    run_id=run_id,
                    headers=headers,
                    body=body,
                    began=began,
                    authenticated=authenticated,
                )
            )
        except DisconnectedError:
            return
        except Exception as error:
            refusal = as_gateway_error(error, request_id)
            elapsed = perf_counter() - began
            answer = problem(refusal, request_id)
            timing = b"total;dur=%.3f" % (elapsed * 1e3)
        else:
            elapsed = perf_counter() - began
            answer = (result.status, _JSON, result.body)
            timing = server_timing(result.timings, elapsed)
        await self._answer(send, answer, request_id, timing)
        meters.answered(answer[0], perf_counter() - began)

    async def _identify(self, headers: dict[bytes, bytes]) -> Identity:
        key = presented_key(headers)
        known = self._authenticator.identify(key) if key else None
        return known or await self._authenticator.authenticate(key)

    async def _deployment(self, path: str, identity: Identity) -> LiveDeployment:
        deployment_id = path[len(PREFIX) :].rstrip("/")
        found = self._directory.get(deployment_id)
        if found is None or found.profile_id != identity.profile_id:
            found = await self._directory.find(deployment_id, identity.profile_id)
        if not identity.may_trigger(found.id):
            message = "this API key is limited to other deployments: use one that covers this one"
            raise GatewayError(ErrorCode.API_KEY_FORBIDDEN, message)
        return found

    @staticmethod
    async def _answer(send: Send, answer: Answer, request_id: bytes, timing: bytes) -> None:
        await send_answer(send, answer, ((b"x-request-id", request_id), (b"server-timing", timing)))
