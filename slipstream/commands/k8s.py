"""`slipstream k8s`: manifests for Kubernetes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from importlib.resources import files
from string import Template
from typing import Annotated

import typer

from model_store.manifest import Manifest
from slipstream import options
from slipstream.session import open_session

commands = typer.Typer(no_args_is_help=True)

_TEMPLATE = "inference-server.yaml"
_FOLDER = re.compile(r"^file:|^/")
_URL = re.compile(r"[a-zA-Z0-9:/._?=&%@,-]+")
_SECRET = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_IMAGE = re.compile(r"[a-zA-Z0-9:/._@-]+")
_MAX_NAME = 52
"""Of 63 characters that a label may have: pods get a suffix."""
_MIB = 1 << 20
_PROCESS_MIB = 512
"""Of a server with a small model, with room for requests."""
_MEMORY_OF_MODEL = 4
"""Times the size of a model that loading and running it may take, as for its memory limit."""
_MARGIN_MIB = 256
"""Of the cache, beside the model."""
_SCRATCH_MIB = 1024 + 256
"""Of /tmp, and of logs."""
_PROGRESS_SECONDS = 600
"""After which a rollout that does not go on has failed, for a small model: as Kubernetes' own."""
_MIB_PER_SECOND = 10
"""Of a slow bucket: larger models have longer."""
_TLS = {
    "arguments": """\
            - --tls-certificate=/etc/slipstream-tls/tls.crt
            - --tls-key=/etc/slipstream-tls/tls.key
""",
    "mount": """\
            - {name: tls, mountPath: /etc/slipstream-tls, readOnly: true}
""",
    "volume": """\
        - name: tls
          secret:
            secretName: {secret}
            defaultMode: 0440
""",
}
"""Lines of the template."""


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the commands."""
    application.add_typer(commands, name=noun, help=text)
    commands.callback()(lambda: None)  # else the only command would have no name


@commands.command("render")
def render(
    model: Annotated[str, typer.Argument(help="Name of the model.", metavar="MODEL")],
    *,
    image: Annotated[str, typer.Option(help="The image of Slipstream.", metavar="IMAGE")],
    version: Annotated[
        str, typer.Option(help="A number, a label or `latest`: what that is now.")
    ] = "latest",
    replicas: Annotated[int, typer.Option(help="Pods.", min=0, max=100)] = 2,
    cpu: Annotated[int, typer.Option(help="Cores that each pod requests.", min=1)] = 1,
    autoscaled: Annotated[
        bool,
        typer.Option(
            "--autoscaled",
            help="Print no number of pods: a HorizontalPodAutoscaler of yours sets it.",
        ),
    ] = False,
    gateway: Annotated[
        str, typer.Option(help="URL of the gateways, as the pods reach it.", metavar="URL")
    ] = "http://slipstream-gateway:8080",
    tls: Annotated[
        str | None,
        typer.Option(
            help="A secret with tls.crt and tls.key: gateways and Prometheus call the pods by TLS.",
            metavar="NAME",
        ),
    ] = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Print the Deployment of a model's inference servers, which register at the gateways.

    The model store must be a bucket, which pods can reach. Without --tls, tokens and tensors
    cross the network between gateways and pods in the clear.

    $ slipstream k8s render resnet --image registry.example.com/slipstream:0.1.0
    $ slipstream k8s render resnet --image … | kubectl apply -n slipstream -f -
    """
    _check("--image", image, _IMAGE)
    _check("--gateway", gateway, _URL)
    if tls is not None:
        _check("--tls", tls, _SECRET)
    with open_session(state, as_json=False) as session:
        settings = session.workspace.settings
        store = settings.model_store
        if store is None or _FOLDER.match(store):
            raise typer.BadParameter(
                "the model store is a folder of this machine, which pods cannot reach: "
                "set SLIPSTREAM_MODEL_STORE to the URL of a bucket",
                param_hint="SLIPSTREAM_MODEL_STORE",
            )
        _check("SLIPSTREAM_MODEL_STORE", store, _URL)
        found = session.run(session.services.models.manifest(None, model, version))
        session.terminal.warn(_in_the_clear(gateway, tls))
    rendered = _rendered(
        found,
        tls,
        image=image,
        store=store,
        gateway=gateway,
        replicas="" if autoscaled else f"  replicas: {replicas}\n",
        cpu=str(cpu),
    )
    typer.echo(rendered, nl=False)


def _rendered(manifest: Manifest, tls: str | None, **given: str) -> str:
    """Fill in the template: what was `given`, and what the model's size and TLS ask for."""
    size = -(-manifest.size // _MIB)
    memory = _PROCESS_MIB + _MEMORY_OF_MODEL * size
    cache = size + _MARGIN_MIB
    lines = _TLS if tls else {}
    template = Template((files("slipstream.kubernetes") / _TEMPLATE).read_text())
    return template.substitute(
        name=_resource_name(manifest.name, manifest.version),
        model=manifest.name,
        version=manifest.version,
        memory=f"{memory}Mi",
        cache=f"{cache}Mi",
        cache_bytes=cache * _MIB,
        disk=f"{cache + _SCRATCH_MIB}Mi",
        progress=_PROGRESS_SECONDS + size // _MIB_PER_SECOND,
        scheme="HTTPS" if tls else "HTTP",
        tls_arguments=lines.get("arguments", ""),
        tls_mount=lines.get("mount", ""),
        tls_volume=lines.get("volume", "").format(secret=tls),
        **given,
    )


def _in_the_clear(gateway: str, tls: str | None) -> Iterator[str]:
    """Yield what crosses the network without TLS."""
    if tls is None:
        yield (
            "gateways send the pods' token and tensors in the clear: use --tls, or a network that "
            "encrypts"
        )
    if not gateway.startswith("https:"):
        yield (
            "pods send their API key of scope serve in the clear: use --gateway https://…, or a "
            "network that encrypts"
        )


def _resource_name(model: str, version: int) -> str:
    """Return a name that Kubernetes accepts, and another one for each model version."""
    plain = f"slipstream-{model}-v{version}"
    name = re.sub(r"[^a-z0-9-]+", "-", plain.lower()).strip("-")
    if name == plain and len(name) <= _MAX_NAME:
        return name
    digest = blake2b(plain.encode(), digest_size=4).hexdigest()
    return f"{name[: _MAX_NAME - len(digest) - 1].rstrip('-')}-{digest}"


def _check(what: str, text: str, allowed: re.Pattern[str]) -> None:
    """Refuse what would not be a plain text in YAML."""
    if not allowed.fullmatch(text):
        raise typer.BadParameter(f"expected {allowed.pattern}, got {text!r}", param_hint=what)
