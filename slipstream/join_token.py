"""The join token: what a machine needs to become a host of an installation. It is a secret."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gateway.auth.pepper import load_pepper
from gateway.broker.broker import BrokerKind
from gateway.settings import SECRETS, Settings
from gateway.storage.database import parse_url, sqlite_file
from slipstream.failures import UnusableError
from slipstream.settings import PEPPER_VARIABLE, PREFIX, is_shared
from slipstream.workspace import broker_of

_BEGIN = "slipstream-join-"
_FILE = "_FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinToken:
    """The variables that all hosts share, and the token of their inference servers, if any."""

    variables: Mapping[str, str] = field(repr=False)
    inference_token: str | None = field(default=None, repr=False)

    def encode(self) -> str:
        """Return it as one word."""
        content = json.dumps(asdict(self)).encode()
        return _BEGIN + base64.urlsafe_b64encode(content).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> JoinToken:
        """Return the token of what `encode` returned; raise UnusableError for anything else."""
        word = text.strip()
        with suppress(ValueError, TypeError, AttributeError, binascii.Error):
            content = word.removeprefix(_BEGIN)
            read = cls(**json.loads(base64.urlsafe_b64decode(content + "=" * (-len(content) % 4))))
            if word.startswith(_BEGIN) and all(map(is_shared, read.variables)):
                return read
        message = f"TOKEN: expected what `slipstream hosts token` prints, {_BEGIN}…"
        raise UnusableError(f"{message}, got {len(word)} characters of something else")

    @classmethod
    def of(
        cls, settings: Settings, variables: Mapping[str, str], inference_tokens: Path | None
    ) -> JoinToken:
        """Return the token of an installation.

        Variables that name other files of a machine are left out.

        Args:
            settings: those of the installation. Files with secrets have been read.
            variables: that its processes share.
            inference_tokens: file whose first line its gateways send to inference servers.

        Raises:
            UnusableError: as `check_shared`.
        """
        check_shared(settings)
        secrets = {f"{PREFIX}{name.upper()}": getattr(settings, name) for name in SECRETS}
        secrets[PEPPER_VARIABLE] = load_pepper(settings.key_pepper, settings.state).decode()
        shared = {name: text for name, text in variables.items() if not names_file(name)}
        shared |= {name: text for name, text in secrets.items() if text}
        return cls(variables=shared, inference_token=_first_line(inference_tokens))


def check_shared(settings: Settings) -> None:
    """Check that several machines can have these settings.

    Raises:
        UnusableError: database or broker are files of one machine, or a secret is missing.
        StorageError: the URL of the database cannot be read.
    """
    if sqlite_file(parse_url(settings.database)):
        message = "expected SLIPSTREAM_DATABASE_URL=postgresql://…, got SQLite"
        raise UnusableError(f"{message}: a file serves one machine")
    if broker_of(settings).kind is BrokerKind.FOLDER:
        message = "expected SLIPSTREAM_BROKER_URL=redis://… or amqp://…, got none"
        raise UnusableError(f"{message}: a folder serves one machine")
    if not settings.key_pepper and not (settings.state / "pepper").exists():
        message = f"{settings.state} is not the state folder of the installation"
        raise UnusableError(f"{message}, as there is no pepper: choose it with --state")


def names_file(variable: str) -> bool:
    """Whether a variable names a file of one machine."""
    return variable.endswith(_FILE)


def _first_line(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text().strip().splitlines()[0]
    except (OSError, UnicodeDecodeError, IndexError) as error:
        message = f"SLIPSTREAM_UPSTREAM_TOKEN_FILE: {file} cannot be read: {error}"
        raise UnusableError(message) from None
