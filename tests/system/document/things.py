"""What the calls are about: things of one user, made anew when a call has used them up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from schemathesis.core.transport import Response

from tests.system.installation import Json, chain

PASSWORD = "korrekte pferde heften"
VICTIM = "victim"
"""A model that may be stopped, changed and deleted; `iris` is what calls are answered by."""
_ROWS = [[5.1, 3.5, 1.4, 0.2]]
_INFER = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": _ROWS[0]}]}
_SPENT_BY_POST = ("rotate", "end-grace", "deactivate")
_numbers = count(1)


class Things:
    """Ids by the name of the parameter that they are for, such as `flow_id`.

    Two of a kind where it matters: calls that change or delete get one that nothing else needs.
    """

    def __init__(self, user: httpx.Client, owner: httpx.Client, model: Path, hook: str) -> None:
        """`user` and `owner` send `manage` keys; `hook` is a URL that takes webhooks."""
        self._user = user
        self._owner = owner
        self._model = model
        self._hook = hook
        self._known: dict[str, Any] = {}
        self._makers: Mapping[str, Callable[[], Any]] = {
            "flow_id": self._flow,
            "deployment_id": self._deployment,
            "key_id": self._key,
            "session_id": self._session,
            "user_id": self._victim,
            "server_id": self._server,
            "run_id": self._run,
            "delivery_id": self._delivery,
            "called": self._called,
            "name": self._published,
            "model": lambda: "iris",
            "version": lambda: 1,
            "number": lambda: 1,
            "label": lambda: "stable",
        }

    def __contains__(self, name: str) -> bool:
        return name in self._makers

    def __getitem__(self, name: str) -> Any:
        """Return the thing; make it where there is none. Any: an id or a number."""
        if name not in self._known:
            self._known[name] = self._makers[name]()
        return self._known[name]

    def spent(self, method: str, path: str, answer: Response) -> None:
        """Forget what that answer has used up."""
        words = path.strip("/").split("/")
        parameters = [word[1:-1] for word in words if word.startswith("{")]
        done = method == "DELETE" or words[-1] in _SPENT_BY_POST
        if 200 <= answer.status_code < 300 and done and parameters:
            spent = "name" if "name" in parameters else parameters[-1]
            self._known.pop(spent, None)

    def body(self, method: str, path: str, given: Json) -> Json:
        """Return a body that means something, where there is one; else what was `given`."""
        if path.startswith("/node/deployment-trigger/"):
            many = path.endswith("/batch/")
            return {"input_data": [{"x": _ROWS}] * 2 if many else {"x": _ROWS}}
        if path.startswith("/v2") and path.endswith("/infer"):
            return _INFER
        match method, path:
            case ("POST" | "PUT" | "PATCH", "/node/flows/" | "/node/flows/{flow_id}/"):
                return {**given, **chain("iris")}
            case "POST", "/node/inference-servers/":
                return {**given, "flow_id": None, "model": self["name"], "version": 1}
            case "POST", "/node/deployments/":
                return {"flow_id": self["flow_id"], "name": given.get("name")}
            case "POST", "/node/users/":
                email = f"user{next(_numbers)}@example.com"
                return {**given, "email": email, "password": PASSWORD}
            case "PUT", "/node/models/{name}/labels/{label}/":
                return {"version": 1}
            case _:
                known = {name: self[name] for name in given if name == "flow_id"}
                if "deployments" in given:
                    known["deployments"] = [self["deployment_id"]]
                return {**given, **known}

    def _post(self, path: str, body: Json) -> Json:
        answer = self._user.post(path, json=body)
        assert answer.is_success, answer.text
        made: Json = answer.json()
        return made

    def _flow(self) -> str:
        return str(self._post("/node/flows/", chain("iris"))["id"])

    def _deployment(self) -> str:
        body = {
            "flow_id": self._flow(),
            "execution_mode": "fast",
            "notification_method": "webhook",
            "callback_url": self._hook,
        }
        return str(self._post("/node/deployments/", body)["id"])

    def _called(self) -> str:
        body = {"flow_id": self._flow(), "execution_mode": "sync"}
        return str(self._post("/node/deployments/", body)["id"])

    def _key(self) -> str:
        return str(self._post("/node/api-keys/", {"name": "victim"})["id"])

    def _victim(self) -> str:
        body = {"email": f"victim{next(_numbers)}@example.com", "password": PASSWORD}
        answer = self._owner.post("/node/users/", json=body)
        return str(answer.json()["id"])

    def _session(self) -> str:
        page = self._user.get("/node/sessions/").json()
        return str(page["items"][-1]["id"]) if page["items"] else "none"

    def _published(self) -> str:
        answer = self._owner.post(
            "/node/models/",
            params={"name": VICTIM, "version": 1},
            content=self._model.read_bytes(),
            headers={"content-type": "application/octet-stream"},
        )
        assert answer.status_code in (201, 409), answer.text
        return VICTIM

    def _server(self) -> str:
        wish = {"model": self["name"], "version": 1}
        answer = self._owner.post("/node/inference-servers/", json=wish)
        assert answer.is_success, answer.text
        return str(answer.json()["id"])

    def _run(self) -> str:
        call = f"/node/deployment-trigger/{self['called']}/"
        return str(self._post(call, {"input_data": {"x": _ROWS}})["flow_run_id"])

    def _delivery(self) -> str:
        path = f"/node/webhooks/endpoints/{self['deployment_id']}/test/"
        return str(self._user.post(path).json().get("id", "none"))
