"""The real gateway behind a socket, the fast path included, and people who call it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn

from gateway.accounts.login import ClientInfo
from gateway.app import Gateway
from gateway.assembly import connection_limits
from gateway.auth.identity import Role, Scope
from gateway.boot import BootApp
from gateway.container import Container
from gateway.fast_path.clients import Clients
from gateway.fast_path.connection import HttpConnection
from gateway.settings import Settings
from gateway.storage.tables import Profile
from tests.gateway.in_process_gateway import openapi_document
from tests.gateway.uvicorn_server import UvicornServer

PASSWORD = "korrekte pferde heften"
CREDENTIALS = ("manage key", "trigger key", "session")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A client with one kind of credential."""

    role: Role
    credential: str
    client: httpx.AsyncClient

    def __str__(self) -> str:
        return f"{self.role} with a {self.credential}"


class ServedGateway:
    """A gateway that is served and whose background work does not run: nothing executes here."""

    def __init__(self, settings: Settings) -> None:
        self.container = Container(settings)
        self.db = self.container.db
        self.services = self.container.services
        self.url = ""
        self._front = BootApp()
        self._front.limits = connection_limits(settings)
        self._front.clients.proxies = self.container.proxies
        self._front.clients.on_refusal = self.container.metrics.count_refusal
        self._server: UvicornServer | None = None
        self._clients: list[httpx.AsyncClient] = []

    async def open(self, *, follows: bool = False) -> None:
        """Begin to listen; with `follows`, hear of what other processes write."""
        if follows:
            self.container.feed.start()
        self._front.app = Gateway(self.container)
        self._front.fast_route = self.container.trigger
        config = uvicorn.Config(
            self._front,
            http=HttpConnection,
            ws="none",
            lifespan="off",
            access_log=False,
            proxy_headers=False,
            log_config=None,
        )
        self._server = UvicornServer(config)
        self.url = f"http://127.0.0.1:{await self._server.begin()}"

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.url.rpartition(":")[2])

    @property
    def clients(self) -> Clients:
        """What its clients hold."""
        return self._front.clients

    async def close(self) -> None:
        """End, and give everything back."""
        for client in self._clients:
            await client.aclose()
        if self._server is not None:
            await self._server.end()
        await self.container.feed.stop()
        await self.container.rehearsals.close()
        await self.container.parser.close()
        self.services.passwords.close()
        await self.services.flow_processes.close()
        await self.db.close()

    # Any: a document
    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        return openapi_document(self.container)

    def client(self, **headers: str) -> httpx.AsyncClient:
        """Return a client that sends `headers`."""
        made = httpx.AsyncClient(base_url=self.url, headers=headers)
        self._clients.append(made)
        return made

    async def user(self, email: str, role: Role = Role.MEMBER) -> Profile:
        """Make a user with PASSWORD."""
        return await self.services.users.create(email, role, PASSWORD, by=None)

    async def browser(self, user: Profile) -> httpx.AsyncClient:
        """Return a client with a session of a user's, which sends what a page of ours would."""
        client = ClientInfo(address="127.0.0.1", user_agent=None)
        _, opened = await self.container.login.log_in(user.email, PASSWORD, client)
        made = self.client()
        made.cookies.set("slipstream_session", opened.token, domain="127.0.0.1")
        answer = await made.get("/node/session/")
        made.headers["x-csrf-token"] = answer.json()["csrf_token"]
        return made

    async def key_client(self, user: Profile, scope: Scope) -> httpx.AsyncClient:
        """Return a client with a new key of a user's."""
        issued = await self.services.keys.create(user.id, name=f"a {scope} key", scope=scope)
        return self.client(**{"x-api-key": issued.plain})

    async def other_callers(self) -> list[Caller]:
        """Return new people of each role, with each thing that lets people in."""
        callers = []
        for role in Role:
            user = await self.user(f"other.{role}@example.com", role)
            callers += [await self.caller(user, credential) for credential in CREDENTIALS]
        return callers

    async def caller(self, user: Profile, credential: str) -> Caller:
        """Return a user with one of CREDENTIALS."""
        if credential == "session":
            client = await self.browser(user)
        else:
            client = await self.key_client(user, Scope(credential.partition(" ")[0]))
        return Caller(role=Role(user.role), credential=credential, client=client)
