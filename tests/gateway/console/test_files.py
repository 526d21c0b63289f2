"""The pages and files of the console, over real HTTP."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from zipfile import ZipFile

import httpx
import pytest

from gateway.console import files
from gateway.console.files import ConsoleFiles, console_folder
from gateway.settings import Settings
from gateway.storage.database import Database
from tests.gateway.served_gateway import ServedGateway
from tests.timing import TIMEOUT_SECONDS

CHECKOUT = Path(__file__).parents[3]
SCRIPT = b"console.log('a built file');"
BROTLI = b"as brotli writes it"
GZIP = gzip.compress(SCRIPT)
PAGE = b"""<!doctype html>
<meta property="csp-nonce" nonce="__SLIPSTREAM_NONCE__">
<script type="module" src="/console/assets/index-5hAsH.js" nonce="__SLIPSTREAM_NONCE__"></script>
"""
HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A built console."""
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_bytes(PAGE)
    script = folder / "assets" / "index-5hAsH.js"
    script.write_bytes(SCRIPT)
    script.with_name("index-5hAsH.js.br").write_bytes(BROTLI)
    script.with_name("index-5hAsH.js.gz").write_bytes(GZIP)
    (folder / "assets" / "inter-1b2.woff2").write_bytes(b"a font")
    (folder / "theme.js").write_bytes(b"// sets the theme")
    (folder / "favicon.svg").write_bytes(b"<svg/>")
    (tmp_path / "secret.txt").write_text("outside of the folder")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    return folder


@pytest.fixture
async def browser(
    database: Database, settings: Settings, dist: Path
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway that has this console."""
    served = ServedGateway(settings)
    served.container.console = ConsoleFiles(dist)
    await served.open()
    yield served.client()
    await served.close()


def problem(answer: httpx.Response) -> tuple[int, str, str]:
    """Return status, media type and code."""
    return answer.status_code, answer.headers["content-type"], answer.json()["code"]


NOT_FOUND = (404, "application/problem+json", "not_found")


async def test_browsers_are_sent_to_the_console_and_programs_are_not(
    browser: httpx.AsyncClient,
) -> None:
    for path in ("/", "/console"):
        answer = await browser.get(path, headers=HTML)
        assert (answer.status_code, answer.headers["location"]) == (303, "/console/")
    assert problem(await browser.get("/")) == NOT_FOUND
    assert problem(await browser.get("/", headers={"accept": "application/json"})) == NOT_FOUND


@pytest.mark.parametrize(
    "path", ["", "login", "flows/019b/edit?node=a.b", "deployments/1/code", "index.html"]
)
async def test_each_screen_is_the_same_page_with_a_nonce_of_its_own(
    browser: httpx.AsyncClient, path: str
) -> None:
    nonces = set()
    for _ in range(2):
        answer = await browser.get(f"/console/{path}", headers=HTML)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        (nonce,) = set(re.findall(r'nonce="([\w-]+)"', answer.text))
        assert f"style-src 'self' 'nonce-{nonce}';" in policy
        assert len(nonce) == 22, "128 bits in base64"
        assert answer.content == PAGE.replace(b"__SLIPSTREAM_NONCE__", nonce.encode())
        nonces.add(nonce)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "etag" not in answer.headers
    assert len(nonces) == 2


async def test_the_policy_allows_nothing_but_files_of_the_gateway(
    browser: httpx.AsyncClient,
) -> None:
    policy = (await browser.get("/console/")).headers["content-security-policy"]
    directives = dict(part.split(" ", 1) for part in policy.split("; "))
    nonce = directives.pop("style-src").removeprefix("'self' 'nonce-").removesuffix("'")
    assert re.fullmatch(r"[\w-]{22}", nonce)
    assert directives == {
        "default-src": "'none'",
        "script-src": "'self'",
        "img-src": "'self' blob: data:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "worker-src": "'self'",
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "object-src": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("br;q=0, gzip", "gzip"),
        ("gzip;q=0.5, br;q=0.000", "gzip"),
        ("*", "br"),
        ("*;q=0", None),
        ("deflate", None),
        ("", None),
    ],
)
async def test_hashed_files_are_kept_for_a_year_in_an_encoding_that_the_client_accepts(
    browser: httpx.AsyncClient, accepted: str, encoding: str | None
) -> None:
    body = {"br": BROTLI, "gzip": GZIP, None: SCRIPT}[encoding]
    headers = {"accept-encoding": accepted}
    path = "/console/assets/index-5hAsH.js"
    async with browser.stream("GET", path, headers=headers) as answer:
        assert b"".join([part async for part in answer.aiter_raw()]) == body
    assert answer.status_code == 200
    assert answer.headers.get("content-encoding") == encoding
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers["content-length"] == str(len(body))
    assert "nonce" not in answer.headers["content-security-policy"]
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    headers["if-none-match"] = answer.headers["etag"]
    async with browser.stream("GET", path, headers=headers) as again:
        assert not b"".join([part async for part in again.aiter_raw()])
    assert again.status_code == 304
    for name in ("etag", "cache-control", "vary", "content-security-policy"):
        assert again.headers[name] == answer.headers[name], name


async def test_each_encoding_has_an_etag_of_its_own(browser: httpx.AsyncClient) -> None:
    etags = set()
    for accepted in ("br", "gzip", "identity"):
        headers = {"accept-encoding": accepted}
        answer = await browser.head("/console/assets/index-5hAsH.js", headers=headers)
        etags.add(answer.headers["etag"])
    assert len(etags) == 3


async def test_files_without_a_hash_in_their_names_are_validated_each_time(
    browser: httpx.AsyncClient,
) -> None:
    for name, media in (
        ("theme.js", "text/javascript; charset=utf-8"),
        ("favicon.svg", "image/svg+xml"),
    ):
        answer = await browser.get(f"/console/{name}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["content-type"] == media
        assert answer.headers["etag"]
    assert (await browser.get("/console/assets/inter-1b2.woff2")).headers[
        "content-type"
    ] == "font/woff2"


@pytest.mark.parametrize("path", ["/console/", "/console/assets/index-5hAsH.js"])
async def test_head_has_the_headers_of_get_and_no_body(
    browser: httpx.AsyncClient, path: str
) -> None:
    browser.headers["accept-encoding"] = "gzip"
    shown, head = await browser.get(path), await browser.head(path)
    assert head.status_code == 200
    assert not head.content
    varying = {"date", "x-request-id", "server-timing", "content-security-policy"}
    assert {name: value for name, value in head.headers.items() if name not in varying} == {
        name: value for name, value in shown.headers.items() if name not in varying
    }


@pytest.mark.parametrize(
    "path",
    [
        "/console/assets/gone-0.js",
        "/console/index-5hAsH.js",
        "/console/assets/index-5hAsH.js.br",
        "/console/link.txt",
        "/console/../secret.txt",
        "/console/assets/../../secret.txt",
        "/console/..%2fsecret.txt",
        "/console/%2e%2e/secret.txt",
        "/console/..%5csecret.txt",
        "/console//etc/host.conf",
        "/console/theme.js%00",
        "/console/theme.js/",
    ],
)
async def test_only_files_of_the_folder_are_served(browser: httpx.AsyncClient, path: str) -> None:
    url = httpx.URL(str(browser.base_url)).copy_with(raw_path=path.encode())
    answer = await browser.send(httpx.Request("GET", url))
    if path == "/console/theme.js/":  # a screen, to the gateway
        assert answer.headers["content-type"].startswith("text/html")
    else:
        assert problem(answer) == NOT_FOUND
        assert answer.headers["cache-control"] == "no-store"
    assert "outside of the folder" not in answer.text


async def test_other_methods_are_not_allowed(browser: httpx.AsyncClient) -> None:
    for path in ("/", "/console", "/console/", "/console/login", "/console/theme.js"):
        answer = await browser.post(path)
        assert problem(answer) == (405, "application/problem+json", "method_not_allowed")
        assert answer.headers["allow"] == "GET, HEAD"


async def test_a_console_that_is_built_while_the_gateway_runs_is_served(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "later"
    served = ServedGateway(settings)
    served.container.console = ConsoleFiles(folder)
    await served.open()
    client = served.client()
    for path in ("/console/", "/console/login", "/console/assets/a-1.js"):
        answer = await client.get(path, headers=HTML)
        assert problem(answer) == (404, "application/problem+json", "console_not_built")
        assert "make console" in answer.json()["message"]
    folder.mkdir()
    (folder / "index.html").write_bytes(PAGE)
    assert (await client.get("/console/")).status_code == 200
    await served.close()


async def test_a_folder_that_is_too_large_for_memory_is_refused(
    browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 100)
    answer = await browser.get("/console/")
    assert problem(answer) == (404, "application/problem+json", "console_not_built")
    assert "at most 100 bytes" in answer.json()["message"]


def test_the_folder_is_in_the_package_or_else_in_the_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(files, "__file__", str(tmp_path / "gateway" / "console" / "files.py"))
    assert console_folder() == tmp_path / "console" / "dist"
    packaged = tmp_path / "gateway" / "console" / "dist"
    packaged.mkdir(parents=True)
    assert console_folder() == packaged


@pytest.mark.processes
def test_a_wheel_has_the_console_where_it_was_built(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "gateway").mkdir(parents=True)
    (source / "gateway" / "__init__.py").write_text("")
    for name in ("pyproject.toml", "README.md", ".gitignore"):
        shutil.copy(CHECKOUT / name, source)
    assert wheel(source, tmp_path / "without") == {"gateway/__init__.py"}
    assets = source / "console" / "dist" / "assets"
    assets.mkdir(parents=True)
    (assets / "index-1.js.br").write_bytes(BROTLI)
    (assets.parent / "index.html").write_bytes(PAGE)
    (source / "console" / "package.json").write_text("{}")
    assert wheel(source, tmp_path / "with") == {
        "gateway/__init__.py",
        "gateway/console/dist/index.html",
        "gateway/console/dist/assets/index-1.js.br",
    }


def wheel(source: Path, target: Path) -> set[str]:
    """Build a wheel, and return the names of its files, without its metadata."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=TIMEOUT_SECONDS)
    (built,) = target.glob("*.whl")
    with ZipFile(built) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}
