"""Attacks on an installation by unauthenticated clients and by members all fail."""

from __future__ import annotations

import gzip
import json
import socket
import sqlite3
from contextlib import closing

import httpx
import pytest

from gateway.auth import keys
from tests.system.flow_documents import echo_flow
from tests.system.installation import Installation, chain
from tests.timing import TIMEOUT_SECONDS

EVIL = "evil.example"
BOMBS = {
    "deep arrays": b'{"input_data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "an endless beginning": b"[" * 1_000_000,
    "many names": json.dumps({"input_data": {f"k{at}": at for at in range(200_000)}}).encode(),
    "one name many times": b'{"input_data": {' + b'"x":1,' * 200_000 + b'"x":1}}',
    "an endless number": b'{"input_data": {"x": ' + b"9" * 100_000 + b"}}",
    "an exponent": b'{"input_data": {"x": 1e999999999}}',
    "a fraction": b'{"input_data": {"x": 0.' + b"1" * 1_000_000 + b"}}",
    "half a character": b'{"input_data": {"x": "\\ud800"}}',
    "a zip bomb": gzip.compress(b"0" * 10_000_000),
    "binary": bytes(range(256)) * 1_000,
}
PATHS = [
    "/node/deployment-trigger/{}/",
    "/v2/models/iris/infer",
    "/node/session/",
    pytest.param("/node/flows/", marks=pytest.mark.long),  # read as the one before
]


@pytest.fixture(scope="module")
def iris(installation: Installation) -> str:
    """A fast deployment."""
    return installation.deploy(chain("iris"))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("bomb", BOMBS)
def test_malformed_bodies_do_not_harm_the_gateway(
    installation: Installation, iris: str, path: str, bomb: str
) -> None:
    before = {child.pid for child in installation.up.gateways()}
    headers = {"Content-Type": "application/json"}
    if bomb == "a zip bomb":
        headers["Content-Encoding"] = "gzip"
    answer = installation.http.post(path.format(iris), content=BOMBS[bomb], headers=headers)
    assert answer.status_code in {400, 413, 415, 422}, answer.text[:1_000]
    assert "Traceback" not in answer.text
    assert len(answer.content) < 100_000, "the response does not contain the input"
    assert {child.pid for child in installation.up.gateways()} == before
    good = installation.trigger(iris, json={"input_data": {"x": [[5.1, 3.5, 1.4, 0.2]]}})
    assert good.status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/node/session/", b'{"email": "\\ud800@example.com", "password": "secret"}'),
        ("/node/deployments/", b'{"flow_id": "\\ud800"}'),
        ("/node/api-keys/", b'{"name": "a", "deployments": ["\\udc00"]}'),
        ("/node/deployments/", b'{"flow_id": "\xed\xa0\x80"}'),
    ],
)
def test_half_a_character_is_no_json(installation: Installation, path: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = installation.http.post(path, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json"), answer.text


@pytest.mark.parametrize("path", ["/node/usage/", "/node/audit/"])
@pytest.mark.parametrize(
    "limit", [{"from": "9999-12-31T23:59:59-23:59"}, {"to": "0001-01-01T00:00:00+23:59"}]
)
def test_a_time_at_the_end_of_the_calendar_is_refused(
    installation: Installation, path: str, limit: dict[str, str]
) -> None:
    answer = installation.http.get(path, params=limit)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed"), answer.text


@pytest.mark.parametrize(
    "name",
    [
        *("%2e%2e", "..%2f..%2fpepper", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "a%00b"),
        *(".staging", "iris%2f1", "C:%5cboot.ini", "iris%0a", "~root", "%ff%fe"),
    ],
)
def test_a_model_name_cannot_be_a_path(installation: Installation, name: str) -> None:
    state = installation.up.state
    files = {path.relative_to(state) for path in (state / "models").rglob("*")}
    url = installation.up.url
    model = (state / "models" / "iris" / "1" / "model.onnx").read_bytes()
    good = {  # valid except for the name
        "PUT": ("application/json", b'{"version": 1}'),
        "POST": ("application/octet-stream", model),
    }
    for method, path in (
        ("GET", f"/node/models/{name}/"),
        ("GET", f"/node/models/{name}/versions/1/"),
        ("GET", f"/node/models/iris/versions/{name}/"),
        ("DELETE", f"/node/models/{name}/versions/1/"),
        ("PUT", f"/node/models/iris/labels/{name}/"),
        ("GET", f"/v2/models/{name}"),
        ("GET", f"/v2/models/iris/versions/{name}"),
        ("POST", f"/node/models/?name={name}"),
    ):
        kind, body = good.get(method, ("text/plain", b""))
        headers = {"Content-Type": kind}
        answer = installation.http.request(method, url + path, content=body, headers=headers)
        assert answer.status_code in {400, 404, 405, 422}, path
        assert "root:" not in answer.text
    assert {path.relative_to(state) for path in (state / "models").rglob("*")} == files


def send_raw(installation: Installation, *lines: str) -> bytes:
    """Send a raw head without a body; return the whole response."""
    text = "\r\n".join([*lines, "Connection: close", "", ""])
    with closing(socket.create_connection(("127.0.0.1", installation.up.port))) as connection:
        connection.settimeout(TIMEOUT_SECONDS)
        connection.sendall(text.encode("latin-1"))
        response = b""
        while part := connection.recv(65_536):
            response += part
    return response


@pytest.mark.parametrize(
    "target",
    [
        *("/", f"//{EVIL}/", f"//{EVIL}/node/flows", f"/\\{EVIL}", f"/node/flows?next=//{EVIL}"),
        *("/docs", "/docs/", "/node/flows", f"http://{EVIL}/node/flows", "/node/session?url=//x"),
    ],
)
def test_the_host_header_causes_no_redirect(installation: Installation, target: str) -> None:
    response = send_raw(
        installation,
        f"GET {target} HTTP/1.1",
        f"Host: {EVIL}",
        f"X-Forwarded-Host: {EVIL}",
        f"X-API-Key: {installation.key}",
    )
    head = response.partition(b"\r\n\r\n")[0].lower()
    assert int(response.split(b" ")[1]) not in range(300, 400)
    assert b"location:" not in head
    assert EVIL.encode() not in head


def test_the_url_of_a_run_does_not_depend_on_the_host_header(installation: Installation) -> None:
    deployment = installation.deploy(echo_flow(), execution_mode="async", deployment_type="server")
    answer = installation.trigger(
        deployment, json={"input_data": {"param1": "1"}}, headers={"Host": EVIL}
    )
    assert answer.status_code == 202
    assert EVIL not in answer.text + repr(answer.headers)


def test_input_cannot_inject_headers_or_log_lines(installation: Installation, iris: str) -> None:
    forged = '{"event": "forged", "level": "info"}'
    encoded = httpx.QueryParams({"x": f"a\r\nSet-Cookie: forged=1\r\n\r\n{forged}\n"})
    text = str(encoded).removeprefix("x=")
    for path in (f"/node/flows/{text}/", f"/v2/models/{text}", f"/node/models/?name={text}"):
        for method in ("GET", "POST", "DELETE"):
            answer = installation.http.request(method, installation.up.url + path)
            assert "forged" not in repr(answer.headers)
    echoed = {"input_data": {"x": f"\r\nSet-Cookie: forged=1\n{forged}\n"}}
    assert "forged" not in repr(installation.trigger(iris, json=echoed).headers)
    response = send_raw(
        installation,
        "GET /livez HTTP/1.1",
        "Host: x",
        "X-Request-ID: a\tb\x85forged",
    )
    assert b"forged" not in response.partition(b"\r\n\r\n")[0]
    lines = [json.loads(line) for line in installation.up.errors.splitlines()]
    assert lines
    assert not [line for line in lines if line.get("event") == "forged"]


def test_a_stored_session_hash_is_not_a_valid_cookie(installation: Installation) -> None:
    email = "stolen@example.com"
    password = "korrekte pferde heften"
    installation.post("/node/users/", {"email": email, "password": password})
    logged_in = httpx.post(
        f"{installation.up.url}/node/session/", json={"email": email, "password": password}
    )
    (name, token) = next(iter(logged_in.cookies.items()))
    with closing(sqlite3.connect(installation.up.state / "slipstream.db")) as database:
        hashes = [row[0] for row in database.execute("SELECT token_hash FROM console_sessions")]
        rows = database.execute("SELECT id, token_hash FROM console_sessions").fetchall()
    assert hashes
    assert token not in repr(rows)
    for stolen in [*hashes, *(row[0] for row in rows)]:
        shown = httpx.get(
            f"{installation.up.url}/node/session/", headers={"Cookie": f"{name}={stolen}"}
        )
        assert shown.status_code == 401
    shown = httpx.get(f"{installation.up.url}/node/session/", headers={"Cookie": f"{name}={token}"})
    assert shown.status_code == 200


def test_unknown_ids_and_ids_of_other_users_get_the_same_response(
    installation: Installation, iris: str
) -> None:
    """Neither unknown keys nor valid ones can tell unknown ids from ids of other users."""
    unknown_id = "00000000-0000-4000-8000-000000000000"
    for path in (f"/node/deployment-trigger/{iris}/", f"/node/deployment-trigger/{unknown_id}/"):
        unknown = {"X-API-Key": keys.generate_key()}
        assert installation.http.post(path, json={}, headers=unknown).status_code == 401
    who = {"email": "curious@example.com", "password": "the password of an unknown user"}
    assert installation.post("/node/users/", who)["role"] == "member"
    with httpx.Client(base_url=installation.up.url) as member:
        opened = member.post("/node/session/", json=who)
        member.headers["X-CSRF-Token"] = opened.json()["csrf_token"]
        answers = [
            member.request(method, path.format(which), json={})
            for which in (iris, unknown_id)
            for method, path in (
                ("GET", "/node/deployments/{}/"),
                ("PATCH", "/node/deployments/{}/"),
                ("DELETE", "/node/deployments/{}/"),
                ("POST", "/node/deployment-trigger/{}/"),
            )
        ]
    found = [
        (answer.status_code, answer.text.replace(iris, "ID").replace(unknown_id, "ID"))
        for answer in answers
    ]
    without_ids = [(status, json.loads(text) | {"request_id": ""}) for status, text in found]
    assert without_ids[:4] == without_ids[4:]
    assert {status for status, _ in found} == {404}
