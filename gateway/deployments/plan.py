"""What becomes of a deployment that is about to be made, and what was checked of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.deployments.deployment_warnings import DeploymentWarning
from gateway.deployments.fast_plan import find_plan
from gateway.deployments.live_deployment import read_pins
from gateway.deployments.readiness import Readiness, ReadinessState
from gateway.deployments.settings import ExecutionMode
from gateway.flows.spec import parse_flow
from gateway.storage.tables import ApiKey, Deployment, DeploymentVersion

_PROXY_SECONDS = 55
"""Common proxies end a request after 60 seconds."""


class KeyChoice(StrEnum):
    """Which API key a new deployment gets."""

    AUTO = "auto"
    """One for all deployments, if no active key covers the new one."""
    NEW = "new"
    """One for this deployment only."""
    NONE = "none"


class CheckCode(StrEnum):
    """What a check is about."""

    FLOW = "flow"
    MODE = "mode"
    DURATION = "duration"
    WEBHOOK = "webhook"
    SLUG = "slug"
    SERVER = "server"
    API_KEY = "api_key"


class CheckResult(StrEnum):
    """What a check has found."""

    OK = "ok"
    WARNING = "warning"
    """It can be deployed, and calls may fail."""
    ERROR = "error"
    """It cannot be deployed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What is made with a deployment."""

    start_server: bool = False
    """Whether its inference servers are started, also those that a user has stopped. In mode fast
    those that are missing are started anyway."""
    api_key: KeyChoice = KeyChoice.AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentCheck:
    """One thing that was checked."""

    code: CheckCode
    result: CheckResult
    message: str
    field: str | None = None
    """The setting that it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FastPossibility:
    """Whether mode fast is possible."""

    possible: bool
    reason: str | None = None
    """Why not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentPlan:
    """What was found out of a deployment that is made, or could be."""

    name: str
    mode: ExecutionMode
    fast: FastPossibility
    checks: Sequence[DeploymentCheck]
    # Any: as in `DeploymentVersion.models`
    models: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[DeploymentWarning] = ()
    readiness: Readiness | None = None
    creates_key: bool = False
    covering_keys: Sequence[ApiKey] = ()
    """The active keys that can call it already."""

    @property
    def deployable(self) -> bool:
        """Whether no check has found an error."""
        return all(check.result is not CheckResult.ERROR for check in self.checks)


def failed(code: CheckCode, message: str, *, field: str | None = None) -> DeploymentCheck:
    """Return a check that has found an error."""
    return DeploymentCheck(code=code, result=CheckResult.ERROR, message=message, field=field)


def creates_key(launch: Launch, covering_keys: Sequence[ApiKey]) -> bool:
    """Whether a deployment with these active keys gets a new one."""
    if launch.api_key is KeyChoice.AUTO:
        return not covering_keys
    return launch.api_key is KeyChoice.NEW


def plan_deployment(
    row: Deployment,
    version: DeploymentVersion,
    launch: Launch,
    *,
    readiness: Readiness | None,
    warnings: Sequence[DeploymentWarning],
    covering_keys: Sequence[ApiKey],
    faults: Sequence[DeploymentCheck] = (),
) -> DeploymentPlan:
    """Return what becomes of a deployment; `faults` of its settings have been found already."""
    plan = find_plan(parse_flow(version.definition), read_pins(version))
    fast = FastPossibility(
        possible=not isinstance(plan, str), reason=plan if isinstance(plan, str) else None
    )
    checks = (
        _ok(CheckCode.FLOW, "the flow can be deployed"),
        _mode(row, fast),
        _duration(row),
        *faults,
        _server(row, launch, readiness),
        _key(launch, covering_keys),
    )
    return DeploymentPlan(
        name=row.name,
        mode=ExecutionMode(row.execution_mode),
        fast=fast,
        checks=[check for check in checks if check is not None],
        models=version.models,
        warnings=warnings,
        readiness=readiness,
        creates_key=creates_key(launch, covering_keys),
        covering_keys=covering_keys,
    )


def _ok(code: CheckCode, message: str) -> DeploymentCheck:
    return DeploymentCheck(code=code, result=CheckResult.OK, message=message)


def _warning(code: CheckCode, message: str, *, field: str) -> DeploymentCheck:
    return DeploymentCheck(code=code, result=CheckResult.WARNING, message=message, field=field)


def _mode(row: Deployment, fast: FastPossibility) -> DeploymentCheck | None:
    if row.execution_mode != ExecutionMode.FAST:
        return None
    if fast.possible:
        return _ok(CheckCode.MODE, "the flow fits mode fast")
    message = f"mode fast is not possible: {fast.reason}"
    return failed(CheckCode.MODE, message, field="execution_mode")


def _duration(row: Deployment) -> DeploymentCheck | None:
    if row.execution_mode != ExecutionMode.SYNC or row.timeout_seconds <= _PROXY_SECONDS:
        return None
    message = (
        f"runs may take up to {row.timeout_seconds} s, and proxies often end a request after 60 s: "
        "callers of long runs send `Prefer: wait=55`, or the mode is async"
    )
    return _warning(CheckCode.DURATION, message, field="timeout_seconds")


def _server(row: Deployment, launch: Launch, readiness: Readiness | None) -> DeploymentCheck | None:
    if readiness is None:
        return None
    if readiness.state not in (ReadinessState.STOPPED, ReadinessState.FAILED):
        return _ok(CheckCode.SERVER, f"the inference server is {readiness.state}")
    is_missing = readiness.server_id is None and row.execution_mode == ExecutionMode.FAST
    if launch.start_server or is_missing:
        return _ok(CheckCode.SERVER, "the inference server is started with the deployment")
    message = f"the inference server is {readiness.state}: calls fail until it is started"
    return _warning(CheckCode.SERVER, message, field="start_server")


def _key(launch: Launch, covering: Sequence[ApiKey]) -> DeploymentCheck:
    if creates_key(launch, covering):
        scope = "this deployment" if launch.api_key is KeyChoice.NEW else "all your deployments"
        return _ok(CheckCode.API_KEY, f"a key for {scope} is created, and shown once")
    if covering:
        return _ok(CheckCode.API_KEY, f"the key '{covering[0].name}' can call it")
    message = "no active key covers it: calls need a session, or a key that is created later"
    return _warning(CheckCode.API_KEY, message, field="api_key")
