"""A deployment as a file for other programs: collections, environments and documents. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum

from gateway.examples.call_target import CallTarget, Json
from gateway.examples.choices import ExampleChoices
from gateway.examples.http_file import http_file
from gateway.examples.openapi_document import openapi_document
from gateway.examples.postman import postman_collection, postman_environment

_JSON = "application/json"
_UNSAFE = re.compile(r"[^a-z0-9]+")
_MAX_STEM = 60


class DeploymentExportFormat(StrEnum):
    """What a deployment is exported as. No format has a key in it: its variable is empty."""

    POSTMAN = "postman"
    """A collection of Postman, version 2.1."""
    POSTMAN_ENVIRONMENT = "postman-environment"
    """The variables of that collection: base_url and SLIPSTREAM_API_KEY, a secret."""
    OPENAPI = "openapi"
    """An OpenAPI 3.1 document with the deployment's own schema."""
    HTTP = "http"
    """A file of requests for editors, ending in .http."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A file."""

    filename: str
    media_type: str
    content: str


def write_export(
    target: CallTarget, choices: ExampleChoices, form: DeploymentExportFormat
) -> Export:
    """Write a deployment in one format."""
    stem = _UNSAFE.sub("-", target.name.lower())[:_MAX_STEM].strip("-") or "deployment"
    match form:
        case DeploymentExportFormat.POSTMAN:
            document = postman_collection(target, choices)
            return _document(f"{stem}.postman_collection.json", document)
        case DeploymentExportFormat.POSTMAN_ENVIRONMENT:
            return _document(f"{stem}.postman_environment.json", postman_environment(target))
        case DeploymentExportFormat.OPENAPI:
            return _document(f"{stem}.openapi.json", openapi_document(target, choices))
        case DeploymentExportFormat.HTTP:
            content = http_file(target, choices)
            return Export(filename=f"{stem}.http", media_type="text/plain", content=content)


def _document(filename: str, document: Json) -> Export:
    content = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    return Export(filename=filename, media_type=_JSON, content=content)
