"""What an installation says of itself."""

from __future__ import annotations

from enum import StrEnum
from importlib.metadata import version
from typing import Self

from pydantic import BaseModel, ConfigDict

from gateway.deployments.schemas import SettingsIn
from gateway.settings import Settings
from gateway.storage.user_storage import StoredOfUser

VERSION = version("slipstream")


class Feature(StrEnum):
    """What an operator has turned on."""

    ANONYMOUS_V2 = "anonymous_v2"
    """`/v2` and gRPC accept calls without a key."""
    HTTP_TARGETS = "http_targets"
    """Flows and webhooks may call `http://` URLs."""
    MODEL_BUCKET = "model_bucket"
    """Models are in a bucket or a folder that several hosts share."""
    SHARED_RATE_LIMITS = "shared_rate_limits"
    """All gateways count calls together."""
    TLS = "tls"
    """REST and gRPC use TLS without a proxy."""


class InstallationLimits(BaseModel):
    """The operator's limits, which hold for everyone; null: no limit."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    max_body_bytes: int
    """The largest request body and gRPC message."""
    max_upload_bytes: int
    """The largest upload of a model version."""
    user_model_bytes: int
    """Bytes of the models that one user may have uploaded."""
    user_model_versions: int
    """Model versions that one user may have uploaded."""
    user_run_storage_bytes: int
    """Bytes of the stored runs and webhook events of one user."""
    user_definition_bytes: int
    """Bytes of the flows of one user with their revisions, and of the versions of deployments."""
    user_deployments: int
    """Deployments that one user may have."""
    user_api_keys: int
    """API keys that one user may have."""
    user_audit_bytes: int
    """Bytes of the audit events of what one user has done."""
    deployment_versions: int
    """Newest versions of a deployment that are kept, although nothing runs them."""
    infer_timeout_seconds: float
    """The longest duration of a call of `/v2` or gRPC."""
    request_timeout_seconds: float
    """Time until the response to a management request begins."""
    key_calls_per_minute: int | None
    """Limit of keys that have no `calls_per_minute` of their own."""
    key_calls_per_day: int | None
    """Limit of keys that have no `calls_per_day` of their own."""
    key_concurrent_runs: int | None
    """Limit of keys that have no `concurrent_runs` of their own."""
    key_polls_per_minute: int
    """Limit of keys that have no `polls_per_minute` of their own; 0: unlimited."""
    deployment_calls_per_minute: int | None
    """Limit of deployments that have no `calls_per_minute` of their own."""
    deployment_calls_per_day: int | None
    """Limit of deployments that have no `calls_per_day` of their own."""
    deployment_concurrent_runs: int | None
    """Limit of deployments that have no `concurrent_runs` of their own."""


class StoredAmount(BaseModel):
    """How much of something is stored."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    number: int
    """How many."""
    bytes: int
    """What they take; 0 where only the number is limited."""


class StoredOut(BaseModel):
    """What is stored of a user."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    flows: StoredAmount
    """With their revisions. They and `versions` share `user_definition_bytes`."""
    versions: StoredAmount
    """Of deployments."""
    deployments: StoredAmount
    """Without deleted ones."""
    api_keys: StoredAmount
    """Also those that are deactivated or have expired."""
    audit_events: StoredAmount
    """Of what the user has done."""


class DeploymentDefaults(SettingsIn):
    """The settings of a deployment that is created without any."""


class InfoOut(BaseModel):
    """What an installation says of itself; without a credential only the first two members."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    version: str
    """Of Slipstream."""
    setup_required: bool
    """Whether no user has a password yet: `slipstream up` prints the link to set one."""
    public_base_url: str | None = None
    """The operator's setting; null: not set, so that the address of the request is as good."""
    grpc_address: str | None = None
    """Host and port. The host is that of `public_base_url`, or else the address on which the port
    listens; 0.0.0.0 and [::] stand for all addresses of the machine."""
    features: list[Feature] | None = None
    """What the operator has turned on."""
    limits: InstallationLimits | None = None
    """What the operator allows."""
    deployment_defaults: DeploymentDefaults | None = None
    """The settings that a deployment has where it is created without them."""
    retention_days: int | None = None
    """Days that finished runs are kept."""
    stored: StoredOut | None = None
    """What is stored of the user."""

    @classmethod
    def of(cls, settings: Settings, stored: StoredOfUser, *, setup_required: bool) -> Self:
        """Return all of it, for a user of whom so much is `stored`."""
        return cls(
            version=VERSION,
            setup_required=setup_required,
            public_base_url=settings.public_base_url and settings.public_url,
            grpc_address=settings.public_grpc_address,
            features=_features(settings),
            limits=InstallationLimits.model_validate(settings),
            deployment_defaults=_DEFAULTS,
            retention_days=settings.run_retention_days,
            stored=StoredOut.model_validate(dict(stored)),
        )


_DEFAULTS = DeploymentDefaults.model_validate(SettingsIn().model_dump())


def _features(settings: Settings) -> list[Feature]:
    enabled = {
        Feature.ANONYMOUS_V2: settings.anonymous_v2,
        Feature.HTTP_TARGETS: settings.webhook_allow_http,
        Feature.MODEL_BUCKET: settings.model_store is not None,
        Feature.SHARED_RATE_LIMITS: settings.rate_limit_url is not None,
        Feature.TLS: settings.tls_certificate is not None,
    }
    return [feature for feature, is_enabled in enabled.items() if is_enabled]
