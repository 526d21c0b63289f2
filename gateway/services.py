"""The management services over one database and one model store, for gateway and command line.

They are separate from the container because they need neither the web framework nor gRPC.
"""

from __future__ import annotations

import sys

from gateway.accounts.invitations import InvitationService
from gateway.accounts.passwords import PasswordService
from gateway.accounts.users import UserService
from gateway.audit.service import AuditLog
from gateway.auth.keys import KeyHasher
from gateway.auth.pepper import load_pepper
from gateway.auth.service import ApiKeyService
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
from gateway.fleet.store import FleetStore, delete_stopped
from gateway.flows.processes import build_flow_processes
from gateway.flows.revisions import FlowRevisions
from gateway.flows.service import FlowService
from gateway.models.graphs import ModelGraphs
from gateway.models.opening import open_model_store
from gateway.models.service import ModelService
from gateway.models.upload_quotas import QuotaLimits, UploadQuotas
from gateway.outbound.http import GuardedHttpClient
from gateway.search.service import SearchService
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.usage.service import UsageService
from gateway.webhooks.endpoints import EndpointLifecycle
from gateway.webhooks.secret_box import SecretBox
from model_store.graph import GraphReader
from model_store.verification import Verifier
from telemetry.instruments import Registry

_READ_GRAPH = ("-m", "inference_server.runtime.graph")
_VERIFY = ("-m", "inference_server.runtime.verify")


class Services:
    """One object of each service. Raises StorageError if the pepper cannot be loaded."""

    def __init__(self, settings: Settings, db: Database, registry: Registry | None = None) -> None:
        """Create the services; metrics are registered in `registry`, where there is one."""
        self.store = open_model_store(settings)
        self.verifier = Verifier([sys.executable, *_VERIFY])
        quotas = UploadQuotas(
            self.store,
            QuotaLimits(
                upload_bytes=settings.max_upload_bytes,
                store_bytes=settings.model_store_bytes,
                user_bytes=settings.user_model_bytes,
                user_versions=settings.user_model_versions,
            ),
        )
        self.models = ModelService(
            db,
            self.store,
            self.verifier,
            quotas,
            delete_stopped,
            verifications=settings.verifications,
        )
        self.model_graphs = ModelGraphs(
            self.models, self.store, GraphReader([sys.executable, *_READ_GRAPH])
        )
        pepper = load_pepper(settings.key_pepper, settings.state)
        self.hasher = KeyHasher(pepper)
        self.secret_box = SecretBox(pepper)
        self.keys = ApiKeyService(db, self.hasher, old_after_days=settings.key_age_warning_days)
        self.passwords = PasswordService()
        self.child_metrics = ChildMetrics(registry or Registry())
        self.flow_processes = build_flow_processes(settings, self.child_metrics)
        self.flows = FlowService(db, self.flow_processes, self.models.resolve)
        self.flow_revisions = FlowRevisions(db)
        self.flow_summaries = FlowSummaries(db)
        self.draft_checks = DraftChecker(self.models, self.flow_processes)
        self.registrations = RegistrationService(db, self.models.resolve)
        http = GuardedHttpClient(settings.webhook_allow, allow_http=settings.webhook_allow_http)
        webhook_endpoints = EndpointLifecycle(
            self.secret_box, http
        )  # which looks where a URL leads, and opens nothing
        self.users = UserService(db, self.passwords, webhook_endpoints.delete)
        self.invitations = InvitationService(db, self.hasher)
        self.snapshots = snapshots = Snapshotter(db, self.models, self.flow_processes)
        self.deployments = DeploymentService(db, self.keys, snapshots, webhook_endpoints)
        self.planner = DeploymentPlanner(db, snapshots, webhook_endpoints)
        self.fleet = InferenceServerService(
            db,
            FleetStore(db),
            self.models.resolve,
            self.flows.models_of,
            self.deployments.models_of,
        )
        self.usage = UsageService(db)
        self.advice = AdviceService(db, self.usage)
        servers = ServerPreparation(self.fleet.store)
        kept = settings.deployment_versions
        self.versions = VersionService(db, snapshots, servers, kept_versions=kept)
        self.rollouts = RolloutService(db, snapshots, servers, kept_versions=kept)
        self.examples = ExampleService(db, settings)
        self.audit = AuditLog(db)
        self.search = SearchService(db, self.models)
