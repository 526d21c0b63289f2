"""How a new deployment is called: a complete curl line, and short programs."""

from __future__ import annotations

import json
from collections.abc import Iterator

from rich.text import Text

from gateway.deployments.schemas import NewDeploymentOut
from gateway.deployments.version_schemas import VersionOut
from gateway.examples.generator import MAX_LITERAL_BYTES
from gateway.examples.notes import INPUT_FILE
from slipstream.gateway_address import serve_options
from slipstream.session import CommandSession
from slipstream.supervisor.running_supervisor import running_supervisor
from slipstream.trigger_call import TriggerCall


def call_lines(
    session: CommandSession, out: NewDeploymentOut, *, programs: bool = False
) -> Iterator[Text]:
    """Yield the key of a new deployment, and a curl line with it and an example of an input.

    With `programs` also the same in Python and JavaScript.
    """
    if out.api_key is None:
        return
    service = session.services.versions
    version = VersionOut.of(session.run(service.get(session.profile_id, out.id, out.version)))
    settings = session.workspace.settings
    gateway = serve_options(settings.state)
    call = TriggerCall(
        host=gateway.host,
        port=gateway.port,
        path=out.named_path or out.trigger_path,
        key=out.api_key.key,
        input_data=version.input_example or {},
        tls=gateway.tls,
        public_url=settings.public_url if settings.public_base_url else None,
    )
    url = out.named_url or out.trigger_url
    yield Text(f"API key for this deployment, shown only once: {out.api_key.key}")
    is_long = len(json.dumps(call.input_data, ensure_ascii=False).encode()) > MAX_LITERAL_BYTES
    # a Text, as the brackets of JSON look like markup
    yield Text(f"\n{call.curl(INPUT_FILE if is_long else None)}\n")
    if programs and not is_long and (gateway.tls is None or call.public_url is not None):
        yield Text(f"In Python:\n\n{call.python(url)}\n")
        yield Text(f"In JavaScript:\n\n{call.javascript(url)}\n")
    if is_long:
        code = f"slipstream deployments code {out.id} --json"
        yield Text(f"To write {INPUT_FILE}: {code} | jq -r .input_file.content > {INPUT_FILE}")
    if running_supervisor(settings.state) is None:
        yield Text("Nothing answers there before it runs: slipstream up")
