"""The built console, in memory, and the responses that serve it.

`make console` writes `index.html`, files in `assets/` whose names contain a hash of their content,
and some without one. Beside a file may lie its compressed forms, `.br` and `.gz`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import anyio
import anyio.to_thread
from fastapi import Response
from starlette.datastructures import Headers

from gateway.errors import GatewayError
from gateway.storage.etags import matches_none
from protos.errors import ErrorCode

NONCE_PLACEHOLDER = b"__SLIPSTREAM_NONCE__"
"""In `index.html`; the build writes it where a nonce belongs."""
MAX_BYTES = 64 * 1024 * 1024
"""Of all files together: they are held in memory."""
_NONCE_BYTES = 16
_INDEX = "index.html"
_HASHED = "assets/"
_ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""Of `Content-Encoding`, the smallest first, and how the files end."""
_IDENTITY = "identity"
_REFUSED = re.compile(r"q=0(\.0{0,3})?")
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
"""Not those of `mimetypes`, which differ with the files of the operating system."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{nonce}; img-src 'self' blob: data:; "
    "font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_FILE_POLICY = _POLICY.format(nonce="")
"""For all other files: a script of a worker is under its own policy, not under the page's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file in all its encodings."""

    content_type: str
    is_hashed: bool
    """Whether its name changes with its content."""
    bodies: Mapping[str, bytes]
    etags: Mapping[str, str]


class ConsoleFiles:
    """Serves the files of a folder, which is read when the first of them is requested."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: Mapping[str, _File] | None = None
        self._lock = anyio.Lock()

    async def answer(self, path: str, headers: Headers) -> Response:
        """Return the response to a request for `path`, relative to the console's.

        A path without a file extension is a screen of the console: its script shows it.

        Raises:
            GatewayError: NOT_FOUND for a file that does not exist; CONSOLE_NOT_BUILT.
        """
        files = await self._all()
        if path == _INDEX or "." not in path.rpartition("/")[2]:
            return _page(files[_INDEX].bodies[_IDENTITY])
        file = files.get(path)
        if file is None:
            raise GatewayError(ErrorCode.NOT_FOUND, f"the console has no file '{path[:200]}'")
        return _file(file, headers)

    async def _all(self) -> Mapping[str, _File]:
        if self._files is None:
            async with self._lock:
                if self._files is None:
                    self._files = await anyio.to_thread.run_sync(_read, self._folder)
        return self._files


def console_folder() -> Path:
    """Return where the built console is: in an installed package, or else in the checkout."""
    packaged = Path(__file__).parent / "dist"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "console" / "dist"


def _page(html: bytes) -> Response:
    nonce = secrets.token_urlsafe(_NONCE_BYTES)
    return Response(
        html.replace(NONCE_PLACEHOLDER, nonce.encode()),
        headers={
            "content-type": _TYPES[".html"],
            "content-security-policy": _POLICY.format(nonce=f" 'nonce-{nonce}'"),
            "cache-control": "no-store",
        },
    )


def _file(file: _File, headers: Headers) -> Response:
    encoding = _chosen(file, ",".join(headers.getlist("accept-encoding")))
    etag = file.etags[encoding]
    shown = {
        "content-security-policy": _FILE_POLICY,
        "cache-control": "public, max-age=31536000, immutable" if file.is_hashed else "no-cache",
        "vary": "Accept-Encoding",
        "etag": etag,
    }
    if not matches_none(etag, headers.getlist("if-none-match")):
        return Response(status_code=304, headers=shown)
    shown["content-type"] = file.content_type
    if encoding != _IDENTITY:
        shown["content-encoding"] = encoding
    return Response(file.bodies[encoding], headers=shown)


def _chosen(file: _File, accept_encoding: str) -> str:
    """Return the smallest encoding that the file has and the client accepts."""
    accepted: dict[str, bool] = {}
    for part in accept_encoding.lower().split(","):
        name, _, weight = part.partition(";")
        accepted[name.strip()] = _REFUSED.fullmatch(weight.strip()) is None
    for encoding in _ENCODINGS:
        if encoding in file.bodies and accepted.get(encoding, accepted.get("*", False)):
            return encoding
    return _IDENTITY


def _read(folder: Path) -> Mapping[str, _File]:
    """Read all files of a folder. The keys are relative paths: nothing else can be requested.

    Raises:
        GatewayError: CONSOLE_NOT_BUILT if it has no `index.html`, or is too large.
    """
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    if folder / _INDEX not in paths:
        message = "the console is not built: run `make console` in the checkout, then reload"
        raise GatewayError(ErrorCode.CONSOLE_NOT_BUILT, message)
    total = sum(path.stat().st_size for path in paths)
    if total > MAX_BYTES:
        message = f"the built console: expected at most {MAX_BYTES} bytes, got {total}: build again"
        raise GatewayError(ErrorCode.CONSOLE_NOT_BUILT, message)
    contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    compressed = tuple(_ENCODINGS.values())
    return {
        name: _with_encodings(name, contents) for name in contents if not name.endswith(compressed)
    }


def _with_encodings(name: str, contents: Mapping[str, bytes]) -> _File:
    bodies = {_IDENTITY: contents[name]}
    for encoding, ending in _ENCODINGS.items():
        if name + ending in contents:
            bodies[encoding] = contents[name + ending]
    return _File(
        content_type=_TYPES.get(Path(name).suffix, "application/octet-stream"),
        is_hashed=name.startswith(_HASHED),
        bodies=bodies,
        etags={encoding: f'"{sha256(body).hexdigest()[:32]}"' for encoding, body in bodies.items()},
    )
