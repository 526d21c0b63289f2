"""The management services over one database and one model store, for gateway and command line.

They are separate from the container because they need neither the web framework nor gRPC. A service
is made, and its module imported, when it is first used: all together import a thousand modules, and
most commands use one or two of them.
"""

from __future__ import annotations

import sys
from functools import cached_property
from typing import TYPE_CHECKING

from gateway.auth.keys import KeyHasher
from gateway.auth.pepper import load_pepper
from gateway.settings import Settings
from gateway.storage.database import Database

if TYPE_CHECKING:
    from gateway.accounts.invitations import InvitationService
    from gateway.accounts.passwords import PasswordService
    from gateway.accounts.users import UserService
    from gateway.audit.service import AuditLog
    from gateway.auth.service import ApiKeyService
    from gateway.calls.service import CallLookup
    from gateway.children.metrics import ChildMetrics
    from gateway.deployments.advice_service import AdviceService
    from gateway.deployments.planner import DeploymentPlanner
    from gateway.deployments.rollouts.service import RolloutService
    from gateway.deployments.server_preparation import ServerPreparation
    from gateway.deployments.service import DeploymentService
    from gateway.deployments.snapshots import Snapshotter
    from gateway.deployments.versions import VersionService
    from gateway.drafts.flow_check import DraftChecker
    from gateway.drafts.flow_summaries import FlowSummaries
    from gateway.examples.service import ExampleService
    from gateway.fleet.registrations import RegistrationService
    from gateway.fleet.service import InferenceServerService
    from gateway.flows.processes import FlowProcesses
    from gateway.flows.revisions import FlowRevisions
    from gateway.flows.service import FlowService
    from gateway.models.graphs import ModelGraphs
    from gateway.models.service import ModelService
    from gateway.outbound.http import GuardedHttpClient
    from gateway.search.service import SearchService
    from gateway.usage.service import UsageService
    from gateway.webhooks.endpoints import EndpointLifecycle
    from gateway.webhooks.secret_box import SecretBox
    from model_store.store import ModelStore
    from model_store.verification import Verifier
    from telemetry.instruments import Registry

_READ_GRAPH = ("-m", "inference_server.runtime.graph")
_VERIFY = ("-m", "inference_server.runtime.verify")


class Services:
    """One object of each service. Raises StorageError if the pepper cannot be loaded."""

    def __init__(self, settings: Settings, db: Database, registry: Registry | None = None) -> None:
        """Keep what the services need; metrics are registered in `registry`, where there is one."""
        self._settings = settings
        self._db = db
        self._registry = registry
        self._pepper = load_pepper(settings.key_pepper, settings.state)
        self.hasher = KeyHasher(self._pepper)

    async def close(self) -> None:
        """End the processes that services have started."""
        if "flow_processes" in vars(self):
            await self.flow_processes.close()

    @cached_property
    def store(self) -> ModelStore:
        """Where the files of models are."""
        from gateway.models.opening import open_model_store

        return open_model_store(self._settings)

    @cached_property
    def verifier(self) -> Verifier:
        """Loads new models once, in a process of their own."""
        from model_store.verification import Verifier

        return Verifier([sys.executable, *_VERIFY])

    @cached_property
    def models(self) -> ModelService:
        """The model store with its owners and quotas."""
        from gateway.fleet.store import delete_stopped
        from gateway.models.service import ModelService
        from gateway.models.upload_quotas import QuotaLimits, UploadQuotas

        settings = self._settings
        quotas = UploadQuotas(
            self.store,
            QuotaLimits(
                upload_bytes=settings.max_upload_bytes,
                store_bytes=settings.model_store_bytes,
                user_bytes=settings.user_model_bytes,
                user_versions=settings.user_model_versions,
            ),
        )
        return ModelService(
            self._db,
            self.store,
            self.verifier,
            quotas,
            delete_stopped,
            verifications=settings.verifications,
        )

    @cached_property
    def model_graphs(self) -> ModelGraphs:
        """The graphs of models, for display."""
        from gateway.models.graphs import ModelGraphs
        from model_store.graph import GraphReader

        return ModelGraphs(self.models, self.store, GraphReader([sys.executable, *_READ_GRAPH]))

    @cached_property
    def secret_box(self) -> SecretBox:
        """Encrypts the secrets of webhooks."""
        from gateway.webhooks.secret_box import SecretBox

        return SecretBox(self._pepper)

    @cached_property
    def keys(self) -> ApiKeyService:
        """API keys."""
        from gateway.auth.service import ApiKeyService

        return ApiKeyService(
            self._db, self.hasher, old_after_days=self._settings.key_age_warning_days
        )

    @cached_property
    def passwords(self) -> PasswordService:
        """Hashes of passwords."""
        from gateway.accounts.passwords import PasswordService

        return PasswordService()

    @cached_property
    def child_metrics(self) -> ChildMetrics:
        """Metrics of the processes that services start."""
        from gateway.children.metrics import ChildMetrics
        from telemetry.instruments import Registry

        return ChildMetrics(self._registry or Registry())

    @cached_property
    def flow_processes(self) -> FlowProcesses:
        """The processes in which flows are compiled."""
        from gateway.flows.processes import build_flow_processes

        return build_flow_processes(self._settings, self.child_metrics)

    @cached_property
    def flows(self) -> FlowService:
        """Flows."""
        from gateway.flows.service import FlowService

        return FlowService(self._db, self.flow_processes, self.models.resolve)

    @cached_property
    def flow_revisions(self) -> FlowRevisions:
        """Earlier revisions of flows."""
        from gateway.flows.revisions import FlowRevisions

        return FlowRevisions(self._db)

    @cached_property
    def flow_summaries(self) -> FlowSummaries:
        """What lists show of flows."""
        from gateway.drafts.flow_summaries import FlowSummaries

        return FlowSummaries(self._db)

    @cached_property
    def draft_checks(self) -> DraftChecker:
        """Checks of flows that are not stored."""
        from gateway.drafts.flow_check import DraftChecker

        return DraftChecker(self.models, self.flow_processes)

    @cached_property
    def registrations(self) -> RegistrationService:
        """Inference servers that others run."""
        from gateway.fleet.registrations import RegistrationService

        return RegistrationService(self._db, self.models.resolve)

    @cached_property
    def _outbound(self) -> GuardedHttpClient:
        from gateway.outbound.http import GuardedHttpClient

        settings = self._settings
        return GuardedHttpClient(settings.webhook_allow, allow_http=settings.webhook_allow_http)

    @cached_property
    def _webhook_endpoints(self) -> EndpointLifecycle:
        from gateway.webhooks.endpoints import EndpointLifecycle

        async def check_target(url: str) -> None:  # looks where it leads, and opens nothing
            await self._outbound.check(url)

        return EndpointLifecycle(self.secret_box, check_target)

    @cached_property
    def users(self) -> UserService:
        """Users."""
        from gateway.accounts.users import UserService

        return UserService(self._db, self.passwords, self._webhook_endpoints.delete)

    @cached_property
    def invitations(self) -> InvitationService:
        """Invitations of users."""
        from gateway.accounts.invitations import InvitationService

        return InvitationService(self._db, self.hasher)

    @cached_property
    def snapshots(self) -> Snapshotter:
        """Makes versions of deployments from flows."""
        from gateway.deployments.snapshots import Snapshotter

        return Snapshotter(self._db, self.models, self.flow_processes)

    @cached_property
    def deployments(self) -> DeploymentService:
        """Deployments."""
        from gateway.deployments.service import DeploymentService

        return DeploymentService(self._db, self.keys, self.snapshots, self._webhook_endpoints)

    @cached_property
    def planner(self) -> DeploymentPlanner:
        """Shows what a deployment would become."""
        from gateway.deployments.planner import DeploymentPlanner

        return DeploymentPlanner(self._db, self.snapshots, self._webhook_endpoints)

    @cached_property
    def fleet(self) -> InferenceServerService:
        """Inference servers."""
        from gateway.fleet.service import InferenceServerService
        from gateway.fleet.store import FleetStore

        return InferenceServerService(
            self._db,
            FleetStore(self._db),
            self.models.resolve,
            self.flows.models_of,
            self.deployments.models_of,
        )

    @cached_property
    def usage(self) -> UsageService:
        """Usage of deployments, versions and keys."""
        from gateway.usage.service import UsageService

        return UsageService(self._db)

    @cached_property
    def advice(self) -> AdviceService:
        """Advice on settings of deployments."""
        from gateway.deployments.advice_service import AdviceService

        return AdviceService(self._db, self.usage)

    @cached_property
    def _server_preparation(self) -> ServerPreparation:
        from gateway.deployments.server_preparation import ServerPreparation

        return ServerPreparation(self.fleet.store)

    @cached_property
    def versions(self) -> VersionService:
        """Versions of deployments."""
        from gateway.deployments.versions import VersionService

        return VersionService(
            self._db,
            self.snapshots,
            self._server_preparation,
            kept_versions=self._settings.deployment_versions,
        )

    @cached_property
    def rollouts(self) -> RolloutService:
        """Canaries and shadows of deployments."""
        from gateway.deployments.rollouts.service import RolloutService

        return RolloutService(
            self._db,
            self.snapshots,
            self._server_preparation,
            kept_versions=self._settings.deployment_versions,
        )

    @cached_property
    def examples(self) -> ExampleService:
        """Example code of deployments."""
        from gateway.examples.service import ExampleService

        return ExampleService(self._db, self._settings)

    @cached_property
    def calls(self) -> CallLookup:
        """Calls that failed or took long."""
        from gateway.calls.service import CallLookup

        return CallLookup(
            self._db,
            kept_minutes=self._settings.call_retention_minutes,
            min_seconds=self._settings.kept_call_min_seconds,
        )

    @cached_property
    def audit(self) -> AuditLog:
        """The audit log."""
        from gateway.audit.service import AuditLog

        return AuditLog(self._db)

    @cached_property
    def search(self) -> SearchService:
        """Search by name, id and masked key."""
        from gateway.search.service import SearchService

        return SearchService(self._db, self.models)
