"""Request and response bodies of models; a version is shown as its manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, with_config

from gateway.auth.model_access import Visibility
from gateway.models.ownership import ChangedModel, ModelEntry, OwnershipChange
from gateway.models.summaries import ModelSummary
from gateway.storage.paging import Page
from gateway.storage.tables import InferenceServer
from gateway.upstream.seen_state import SeenState
from model_store.graph import GraphEdge, GraphNode, ModelGraph
from model_store.manifest import PLATFORM, File, Manifest, RowProof
from model_store.servable import ModelWarning, warnings_of
from model_store.tensor_names import NO_NAMES, TensorNames
from model_store.tensor_spec import TensorSpec

if TYPE_CHECKING:  # commands show rows without the clients of inference servers
    from gateway.upstream.servers import InferenceServers


class ModelOut(BaseModel):
    """A model."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """The name; models have no other id."""
    name: str
    """The name that flows and calls refer to."""
    versions: list[int]
    """The numbers of its versions, ascending."""
    latest: int
    """The highest of its version numbers, which `latest` stands for."""
    labels: dict[str, int]
    """Label → number of the version that it points to."""
    visibility: Visibility
    """`shared`: every user may use it; `private`: its owner, and admins and owners."""
    owner_id: str | None
    """The user it belongs to, shown to that user and to admins and owners; null: the installation,
    or not shown."""

    @classmethod
    def of(cls, entry: ModelEntry) -> Self:
        """Return the response body."""
        return cls(**_fields(entry))


class ChangedModelOut(ModelOut):
    """A model after a change."""

    deployments_of_others: int
    """Of users other than its owner: they keep calling the version that they pinned."""

    @classmethod
    def of_changed(cls, changed: ChangedModel) -> Self:
        """Return the response body."""
        return cls(**_fields(changed.entry), deployments_of_others=changed.deployments_of_others)


class ModelPage(BaseModel):
    """A page of models."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[ModelOut]
    """The models of this page, by name."""
    next_cursor: str | None
    """Send it as `cursor` to get the next page; null: this is the last one."""

    @classmethod
    def of(cls, page: Page[ModelEntry]) -> Self:
        """Return the response body."""
        items = [ModelOut.of(entry) for entry in page.items if entry.versions]
        return cls(items=items, next_cursor=page.next_cursor)


class VersionSummaryOut(BaseModel):
    """A version of a model, in short."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    version: int
    """Number of the model version."""
    size: int
    """Bytes of all its files."""
    created_at: datetime
    """When it was published (UTC)."""
    warnings: list[ModelWarning]
    """What of the model is not served."""


class ServingOut(BaseModel):
    """An inference server of a model; see `/node/inference-servers/` for the rest."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    id: str
    """Id of the inference server, as its routes take it."""
    version: int
    """Number of the model version."""
    desired: str
    """`running`, `stopped` by a user, or `asleep`: the next call starts it."""
    state: str
    """`stopped`, `booting`, `ready`, `unresponsive`, `draining` or `failed`; of several replicas,
    that of the one closest to answering calls."""
    phase: str | None
    """Of a boot: `fetching`, `spawning`, `loading` or `warming`; null: it does not boot."""
    reason: str | None
    """Why it is in this state, such as an error; null: there is nothing to say, or you do not
    manage the model."""
    ready_replicas: int
    """How many replicas are ready, with those that have registered themselves."""
    replicas: int = Field(validation_alias="replica_count")
    """How many processes are to run it now, beside those that have registered themselves."""
    memory_bytes: int | None
    """Memory that its replicas use, as last measured, in bytes; null: not known, or you do not
    manage the model."""
    expected_boot_seconds: float | None
    """How long a boot takes: the median of the last 20. Null: it has not been ready yet."""
    slow_boot_seconds: float | None
    """What nine of ten of these took at most. Null: there were fewer than ten."""
    boot_elapsed_seconds: float | None = None
    """How long it has been booting, by the gateway's clock. Null: it does not boot."""

    @classmethod
    def of(cls, row: InferenceServer, servers: InferenceServers, *, manages: bool) -> Self:
        """Convert a row; its state is that of `SeenState`.

        `manages`: whether it is for a user who manages the model.
        """
        shown, seen = cls.model_validate(row), SeenState.of(row, servers)
        if not manages:
            shown.reason = shown.memory_bytes = None
        shown.state, shown.phase = seen.state, seen.phase
        shown.boot_elapsed_seconds = seen.boot_elapsed_seconds
        return shown


class UsedByOut(BaseModel):
    """A deployment that calls a model, in its live version or in one that a rollout tries."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    deployment_id: str
    """Id of the deployment, as its routes take it."""
    name: str
    """Name of the deployment."""
    version: int
    """Number of the model version that it calls."""


class SignatureOut(BaseModel):
    """What a model takes and returns."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    inputs: list[TensorSpec]
    """The tensors that calls give."""
    outputs: list[TensorSpec]
    """The tensors that calls get."""

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Return the response body."""
        return cls(inputs=list(manifest.inputs), outputs=list(manifest.outputs))


class ModelSummaryOut(BaseModel):
    """A model with what a list shows of it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """The name; models have no other id."""
    name: str
    """The name that flows and calls refer to."""
    latest: int
    """The highest of its version numbers, which `latest` stands for."""
    version_count: int
    """How many versions it has."""
    versions: list[VersionSummaryOut]
    """The newest five, the newest first."""
    labels: dict[str, int]
    """Label → number of the version that it points to."""
    visibility: Visibility
    """`shared`: every user may use it; `private`: its owner, and admins and owners."""
    owner_id: str | None
    """As in `ModelOut`."""
    signature: SignatureOut | None
    """Of the latest version; null: its manifest is damaged."""
    serving: list[ServingOut]
    """Its inference servers, those of the newest versions first."""
    used_by: list[UsedByOut]
    """Your deployments."""
    used_by_others: int
    """How many deployments of other users there are."""

    @classmethod
    def of(cls, summary: ModelSummary, servers: InferenceServers) -> Self:
        """Return the response body."""
        entry, manifests = summary.entry, summary.manifests
        members = _fields(entry)
        latest = manifests.get(entry.versions[-1])
        return cls(
            **{name: value for name, value in members.items() if name != "versions"},
            version_count=len(entry.versions),
            versions=[
                VersionSummaryOut(
                    version=number,
                    size=manifest.size,
                    created_at=datetime.fromisoformat(manifest.created_at),
                    warnings=list(warnings_of(manifest)),
                )
                for number, manifest in manifests.items()
            ],
            signature=None if latest is None else SignatureOut.of(latest),
            serving=[
                ServingOut.of(row, servers, manages=summary.manages) for row in summary.servers
            ],
            used_by=[UsedByOut.model_validate(pinned) for pinned in summary.used_by],
            used_by_others=summary.used_by_others,
        )


class ModelSummaryPage(BaseModel):
    """A page of summaries."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[ModelSummaryOut]
    """The models of this page, by name."""
    next_cursor: str | None
    """Send it as `cursor` to get the next page; null: this is the last one."""

    @classmethod
    def of(cls, page: Page[ModelSummary], servers: InferenceServers) -> Self:
        """Return the response body."""
        items = [ModelSummaryOut.of(each, servers) for each in page.items if each.entry.versions]
        return cls(items=items, next_cursor=page.next_cursor)


class ModelPatch(BaseModel):
    """Changes to a model; omitted members stay as they are."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"visibility": "shared"}]},
    )

    visibility: Visibility = Visibility.PRIVATE
    """Who may use it."""
    owner_id: str | None = None
    """The id of its new owner; null: the installation. Only for admins and owners."""

    def change(self) -> OwnershipChange:
        """Return the members that were sent."""
        change: OwnershipChange = {}
        if "visibility" in self.model_fields_set:
            change["visibility"] = self.visibility
        if "owner_id" in self.model_fields_set:
            change["owner_id"] = self.owner_id
        return change


@with_config(use_attribute_docstrings=True)
@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestOut(Manifest):
    """A version: its manifest, and what of the model is not served."""

    # The members of Manifest once more: Pydantic reads the descriptions of this class only.
    name: str
    """Name of the model."""
    version: int
    """Number of the model version."""
    created_at: str
    """When it was published (UTC, ISO 8601)."""
    sha256: str
    """Of model.onnx, in hexadecimal."""
    files: tuple[File, ...]
    """model.onnx first, then its external data."""
    inputs: tuple[TensorSpec, ...]
    """The tensors that calls give."""
    outputs: tuple[TensorSpec, ...]
    """The tensors that calls get."""
    unsupported_inputs: Mapping[str, str]
    """Inputs that calls cannot give: name → ONNX type, such as `seq(tensor(float))`."""
    unsupported_outputs: Mapping[str, str]
    """Outputs that calls do not get: name → ONNX type, such as `seq(tensor(float))`."""
    opset: Mapping[str, int]
    """Operator set → version; the standard set is `ai.onnx`."""
    ir_version: int
    """The version of the ONNX format in which the file is written."""
    producer: str
    """The tool that wrote the model, with its version if known; may be empty."""
    bounded_by_shapes: bool = False
    """Whether the shapes of the inputs bound the work of a run, whatever the inputs' values are;
    false also where that is not known."""
    rows: RowProof | None = None
    """Whether calls can share a run; null: it was not checked."""
    names: TensorNames = NO_NAMES
    """Of columns and classes, as its publisher has given them; `inputs` and `outputs` have them."""
    platform: str = PLATFORM
    """The platform's name in the Open Inference Protocol."""
    warnings: Sequence[ModelWarning] = ()
    """What of the model is not served."""

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Return the response body."""
        members = {field.name: getattr(manifest, field.name) for field in fields(manifest)}
        return cls(**members, warnings=warnings_of(manifest))


class ModelGraphOut(BaseModel):
    """The operators of a model, and how they are connected."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    ops: dict[str, int]
    """Operator → how many there are, those within other ones included."""
    nodes: list[GraphNode]
    """The first 400: inputs, then operators in their order, then outputs."""
    edges: list[GraphEdge]
    """Between these; `source` and `target` are places in `nodes`, from 0 on."""
    folded: int
    """How many nodes are left out."""
    reason: str | None
    """Why there is nothing. Null: there is."""

    @classmethod
    def of(cls, graph: ModelGraph) -> Self:
        """Return the response body."""
        return cls.model_validate(graph)


class LabelIn(BaseModel):
    """The version that a label points to."""

    model_config = ConfigDict(
        use_attribute_docstrings=True, json_schema_extra={"examples": [{"version": 1}]}
    )

    version: int = Field(ge=1)
    """Number of the model version."""


# Any: the members of ModelOut
def _fields(entry: ModelEntry) -> dict[str, Any]:
    return {
        "id": entry.name,
        "name": entry.name,
        "versions": entry.versions,
        "latest": entry.versions[-1],
        "labels": dict(entry.labels),
        "visibility": entry.visibility,
        "owner_id": entry.owner_id,
    }
