"""How examples of each language are named, installed, run and highlighted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.examples.choices import Language, Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageProfile:
    """What is the same in all examples of a language."""

    title: str
    template: str
    lexer: str
    """Name of its lexer in Pygments."""
    extension: str
    run: str
    """The command that runs the file `{filename}`."""
    install: str | None
    webhook_install: str | None = None
    """What a receiver of webhooks needs instead."""

    def filename(self, variant: Variant) -> str:
        """Return the name of an example's file."""
        stem = "receive_webhooks" if variant is Variant.WEBHOOK else "call_deployment"
        return stem + self.extension


PROFILES: Mapping[Language, LanguageProfile] = {
    Language.CURL: LanguageProfile(
        title="cURL",
        template="curl.jinja",
        lexer="bash",
        extension=".sh",
        run="sh {filename}",
        install=None,
    ),
    Language.PYTHON: LanguageProfile(
        title="Python",
        template="python.jinja",
        lexer="python",
        extension=".py",
        run="python {filename}",
        install="pip install requests",
        webhook_install="pip install standardwebhooks",
    ),
    Language.JAVASCRIPT: LanguageProfile(
        title="JavaScript",
        template="javascript.jinja",
        lexer="javascript",
        extension=".mjs",
        run="node {filename}",
        install=None,
        webhook_install="npm install standardwebhooks",
    ),
    Language.TYPESCRIPT: LanguageProfile(
        title="TypeScript",
        template="javascript.jinja",
        lexer="typescript",
        extension=".mts",
        run="npx tsx {filename}",
        install="npm install --save-dev tsx @types/node",
        webhook_install="npm install standardwebhooks && npm install --save-dev tsx @types/node",
    ),
    Language.GO: LanguageProfile(
        title="Go",
        template="go.jinja",
        lexer="go",
        extension=".go",
        run="go run {filename}",
        install=None,
        webhook_install=(
            "go mod init receiver && "
            "go get github.com/standard-webhooks/standard-webhooks/libraries/go"
        ),
    ),
    Language.HTTPIE: LanguageProfile(
        title="HTTPie",
        template="httpie.jinja",
        lexer="bash",
        extension=".sh",
        run="sh {filename}",
        install="pip install httpie",
    ),
    Language.GRPC_PYTHON: LanguageProfile(
        title="Python, gRPC",
        template="grpc_python.jinja",
        lexer="python",
        extension=".py",
        run="python {filename}",
        install="pip install 'tritonclient[grpc]' numpy",
    ),
}
