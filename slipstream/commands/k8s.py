"""`slipstream k8s`: manifests for Kubernetes."""

from __future__ import annotations

import re
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
_IMAGE = re.compile(r"[a-zA-Z0-9:/._@-]+")
_MAX_NAME = 52
"""Of 63 characters that a label may have: pods get a suffix."""
_MIB = 1 << 20
_PROCESS_MIB = 512
"""Of a server with a small model, with room for requests."""
_MEMORY_OF_MODEL = 4
"""Times the size of a model that loading and running it may take, as for its memory limit."""


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
    gateway: Annotated[
        str, typer.Option(help="URL of the gateways, as the pods reach it.", metavar="URL")
    ] = "http://slipstream-gateway:8080",
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Print the Deployment of a model's inference servers, which register at the gateways.

    The model store must be a bucket, which pods can reach.

    $ slipstream k8s render resnet --image registry.example.com/slipstream:0.1.0
    $ slipstream k8s render resnet --image … | kubectl apply -n slipstream -f -
    """
    _check("--image", image, _IMAGE)
    _check("--gateway", gateway, _URL)
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
    typer.echo(_rendered(found, image, store, gateway, replicas, cpu), nl=False)


def _rendered(  # noqa: PLR0917 - the placeholders of the template
    manifest: Manifest, image: str, store: str, gateway: str, replicas: int, cpu: int
) -> str:
    size = sum(file.size for file in manifest.files)
    memory = _PROCESS_MIB + _MEMORY_OF_MODEL * -(-size // _MIB)
    template = Template((files("slipstream.kubernetes") / _TEMPLATE).read_text())
    return template.substitute(
        name=_resource_name(manifest.name, manifest.version),
        model=manifest.name,
        version=manifest.version,
        image=image,
        store=store,
        gateway=gateway,
        replicas=replicas,
        cpu=cpu,
        memory=f"{memory}Mi",
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
