"""The resources of one user, created again after a call has consumed them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any
from uuid import uuid4

import httpx

from tests.system.flow_documents import failing_flow, waiting_flow
from tests.system.installation import Json, chain
from tests.system.runs import MANY_SECONDS

PASSWORD = "korrekte pferde heften"
ROWS = [[5.1, 3.5, 1.4, 0.2]]

_IRIS = {"schema": {"type": "object", "required": ["x"], "properties": {"x": {"const": ROWS}}}}
"""Configuration of a flow's input: it rejects values that the model would fail on."""

_REQUIRED_STATE = {
    "trigger_deployment": "triggered",
    "trigger_deployment_batch": "triggered",
    "get_deployment_usage": "triggered",
    "create_deployment_rollout": "untried_deployment",
    "get_deployment_rollout": "tried_deployment",
    "change_deployment_rollout": "tried_deployment",
    "delete_deployment_rollout": "tried_deployment",
    "delete_flow": "undeployed_flow",
    "cancel_flow_run": "waiting_run",
    "retry_flow_run": "failed_run",
    "end_grace_api_key": "rotated_key",
    "replay_webhook_endpoint": "enabled_webhook",
    "resume_webhook_endpoint": "enabled_webhook",
    "delete_model_version": "unserved_model",
}
"""Operations that need a resource in a certain state."""
_CONSUMING = frozenset(
    {
        *("delete_flow", "delete_deployment", "delete_inference_server", "delete_model_version"),
        *("delete_api_key", "deactivate_api_key", "rotate_api_key", "end_grace_api_key"),
        *("cancel_flow_run", "end_session", "delete_user"),
        *("create_deployment_rollout", "delete_deployment_rollout"),
    }
)
"""Operations after which a resource is gone or in another state."""
_numbers = count(1)


class Resources:
    """Ids by parameter name, such as `flow_id`."""

    def __init__(
        self,
        user: httpx.Client,
        owner: httpx.Client,
        *,
        email: str,
        sessions: list[str],
        onnx: bytes,
        webhook_url: str,
    ) -> None:
        """`user` and `owner` send `manage` keys; `webhook_url` is a URL that takes webhooks.

        `sessions` are ids of sessions of the user that may be ended.
        """
        self.email = email
        """The user's e-mail address."""
        self.onnx = onnx
        """A model file."""
        self._user = user
        self._owner = owner
        self._webhook_url = webhook_url
        self._sessions = sessions
        self._victim = f"victim{next(_numbers)}"
        """A model that may be stopped, changed and deleted; calls use `iris`."""
        # Any, here and below: ids and numbers
        self._ids: dict[str, Any] = {"model": "iris", "version": 1, "number": 1, "label": "live"}
        self._factories: Mapping[str, Callable[[], str]] = {
            "flow_id": lambda: self._create("/node/flows/", chain("iris")),
            "undeployed_flow": lambda: self._create("/node/flows/", chain("iris")),
            "deployment_id": self._deployment,
            "enabled_webhook": self._deployment,  # that no other call changes
            "triggered": lambda: self._deploy(chain("iris", input=_IRIS)),
            "untried_deployment": lambda: self._deploy(chain("iris")),
            "tried_deployment": self._tried_deployment,
            "key_id": lambda: self._create("/node/api-keys/", {"name": "victim"}),
            "rotated_key": self._rotated_key,
            "session_id": self._session,
            "user_id": self._other_user,
            "name": lambda: self._publish(self._victim),
            "unserved_model": lambda: self._publish(f"victim{next(_numbers)}"),
            "server_id": self._server,
            "run_id": lambda: self._trigger(self["triggered"], {"x": ROWS}),
            "request_id": lambda: f"req_{self['run_id']}",
            "failed_run": lambda: self._trigger(self._deploy(failing_flow()), {"x": 0}),
            "waiting_run": self._waiting_run,
            "delivery_id": self._delivery,
            "registration_id": lambda: str(uuid4()),
            "owner": lambda: self._address_of(self["triggered"])[0],
            "slug": lambda: self._address_of(self["triggered"])[1],
        }

    def __contains__(self, name: str) -> bool:
        return name in self._factories or name in self._ids

    def __getitem__(self, name: str) -> Any:
        """Return the id; create the resource if it does not exist."""
        if name not in self._ids:
            self._ids[name] = self._factories[name]()
        return self._ids[name]

    def for_parameter(self, name: str, operation: str) -> Any:
        """Return the id for a parameter of an operation."""
        is_id = name == "name" or name.endswith("_id")
        return self[_REQUIRED_STATE.get(operation, name) if is_id else name]

    def forget_consumed(self, operation: str, parameters: Mapping[str, object]) -> None:
        """Forget resources consumed by a successful call, so that the next call gets new ones."""
        if operation in _CONSUMING and parameters:
            last = "name" if "name" in parameters else list(parameters)[-1]
            self._ids.pop(_REQUIRED_STATE.get(operation, last), None)

    def invitation_token(self) -> str:
        """Return the token of a new invitation of another user."""
        answer = self._owner.post(f"/node/users/{self._other_user()}/invitation/")
        assert answer.is_success, answer.text
        return str(answer.json()["url"]).partition("#token=")[2]

    def _post(self, path: str, body: Json | None = None) -> Json:
        answer = self._user.post(path, json=body)
        assert answer.is_success or answer.status_code == 500, answer.text  # the run that fails
        made: Json = answer.json()
        return made

    def _create(self, path: str, body: Json) -> str:
        return str(self._post(path, body)["id"])

    def _deploy(self, flow: Json, **settings: object) -> str:
        body = {"flow_id": self._create("/node/flows/", flow), "execution_mode": "sync", **settings}
        return self._create("/node/deployments/", body)

    def _address_of(self, deployment_id: str) -> tuple[str, str]:
        found = self._user.get(f"/node/deployments/{deployment_id}/").json()
        _, _, owner, slug = str(found["named_path"]).split("/")
        return owner, slug

    def _deployment(self) -> str:
        return self._deploy(
            chain("iris"), notification_method="webhook", callback_url=self._webhook_url
        )

    def _tried_deployment(self) -> str:
        deployment_id = self._deploy(chain("iris"))
        self._post(f"/node/deployments/{deployment_id}/rollout/", {"strategy": "canary"})
        return deployment_id

    def _trigger(self, deployment_id: str, input_data: Json) -> str:
        call = f"/node/deployment-trigger/{deployment_id}/"
        return str(self._post(call, {"input_data": input_data})["flow_run_id"])

    def _waiting_run(self) -> str:
        deployment_id = self._deploy(waiting_flow(MANY_SECONDS), execution_mode="async")
        return self._trigger(deployment_id, {"x": 1})

    def _rotated_key(self) -> str:
        key_id = self._create("/node/api-keys/", {"name": "rotated"})
        self._post(f"/node/api-keys/{key_id}/rotate/")
        return key_id

    def _session(self) -> str:
        """Return an unused session, or an unknown id when none is left."""
        return self._sessions.pop() if self._sessions else str(uuid4())

    def _other_user(self) -> str:
        body = {"email": f"victim{next(_numbers)}@example.com", "password": PASSWORD}
        return str(self._owner.post("/node/users/", json=body).json()["id"])

    def _publish(self, name: str) -> str:
        answer = self._owner.post(
            "/node/models/",
            params={"name": name, "version": 1, "visibility": "shared"},
            content=self.onnx,
            headers={"content-type": "application/octet-stream"},
        )
        assert answer.status_code in (201, 409), answer.text
        return name

    def _server(self) -> str:
        body = {"model": self["name"], "version": 1}
        answer = self._owner.post("/node/inference-servers/", json=body)
        return str(answer.json()["id"])

    def _delivery(self) -> str:
        deployment_id = self._deployment()  # a separate one that no other call deletes
        return str(self._post(f"/node/webhooks/endpoints/{deployment_id}/test/")["id"])
