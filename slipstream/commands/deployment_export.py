"""`slipstream deployments export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.errors import GatewayError
from gateway.examples.exports import DeploymentExportFormat
from protos.errors import ErrorCode
from slipstream import options
from slipstream.commands.deployment_versions import DeploymentId
from slipstream.session import open_session


def add_to(commands: typer.Typer) -> None:
    """Add the command."""
    commands.command("export")(export)


def export(
    deployment_id: DeploymentId,
    *,
    form: Annotated[
        DeploymentExportFormat, typer.Option("--format", help="What to export it as.")
    ] = DeploymentExportFormat.POSTMAN,
    version: Annotated[
        int | None, typer.Option(min=1, help="Call this version; default: the live one.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="File to write; default: its own name, here.")
    ] = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Write a deployment as a file for another program: Postman, OpenAPI, or requests (.http).

    No file has a key in it: its variable SLIPSTREAM_API_KEY is empty. Existing files are replaced.

    $ slipstream deployments export 0b9c… --format postman
    $ slipstream deployments export 0b9c… --format openapi --output iris.json
    """
    with open_session(state, as_json=as_json) as session:
        work = session.services.examples.export(
            session.profile_id, deployment_id, form, version=version, url=session.public_url
        )
        written = session.run(work)
        file = output or Path(written.filename)
        try:
            file.write_text(written.content, encoding="utf-8")
        except OSError as error:
            message = f"--output: cannot write {file}: {error.strerror}"
            raise GatewayError(ErrorCode.VALIDATION_FAILED, message) from None
        document = {"file": str(file), "media_type": written.media_type}
        session.terminal.show(document, f"Written: {file}")
