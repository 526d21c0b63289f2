"""The composition root of a gateway process: creates its objects and passes them to each other.

Management services, which the command line uses too, are in `services.py`. Features with several
objects have functions of their own, such as `build_limits` and `build_execution`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from datetime import timedelta

from prometheus_client.registry import Collector

from gateway.accounts.build import build_accounts
from gateway.auth.authentication import Authentication
from gateway.auth.key_authenticator import KeyAuthenticator
from gateway.auth.metrics_access import MetricsAccess
from gateway.auth.proxies import TrustedProxies
from gateway.auth.sessions import SessionService
from gateway.body_parsing.parser import build_parser
from gateway.broker.broker import parse_broker_url
from gateway.broker.worker_files import WorkerCollector
from gateway.call_watches.service import WatchService
from gateway.call_watches.watches import DeploymentWatches
from gateway.calls.recorder import CallRecorder
from gateway.calls.store import CallStore
from gateway.certificate import Certificate
from gateway.console.files import ConsoleFiles, console_folder
from gateway.deployments.deployment_cache import DeploymentCache
from gateway.deployments.metrics_cleanup import API_KEYS, DEPLOYMENTS, MetricsCleanup
from gateway.deployments.rollouts.watch import RolloutWatch
from gateway.drafts.flow_tests import FlowTester
from gateway.execution.build import build_execution
from gateway.execution.lease_owner import is_here
from gateway.execution.tracing import dropped_spans, open_tracer
from gateway.fast_path.accounting import Accounting
from gateway.fast_path.call_log import CallLog
from gateway.fast_path.call_spans import CallSpans
from gateway.fast_path.deployment_call import CallServices
from gateway.fast_path.recorder import RunRecorder
from gateway.fast_path.routes import RouteResolver
from gateway.fast_path.trigger_call import TriggerRoute
from gateway.fleet.exposition import FleetCollector
from gateway.fleet.host_watch import HostWatch
from gateway.fleet.hosts import HostStore
from gateway.fleet.processes import ProcessAnnouncer, ProcessStore
from gateway.fleet.registrations import Leases
from gateway.fleet.scrape_targets import ScrapeTargets
from gateway.fleet.service_process import SeenProcess
from gateway.fleet.supervisor_metrics import BootMetrics, SupervisorMetrics
from gateway.fleet.waker import Waker
from gateway.fleet.watcher import FleetWatcher
from gateway.limits.request_limits import build_limits
from gateway.live_updates.service import LiveUpdates
from gateway.metrics import GatewayMetrics
from gateway.models.summaries import ModelSummaries
from gateway.oip.access import ModelAccess
from gateway.oip.call_trace import CallTraces
from gateway.oip.data_plane import DataPlane
from gateway.oip.grpc_server import ListeningServer, start_grpc_server
from gateway.oip.grpc_service import InferenceService
from gateway.oip.rest import V2App
from gateway.process_metrics import BuildInfo, ProcessMetrics
from gateway.readiness import Readiness
from gateway.rehearsals.service import RehearsalService
from gateway.runs.service import RunService
from gateway.runs.stream_places import StreamPlaces
from gateway.services import Services
from gateway.settings import Settings
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.database import Database
from gateway.storage.user_storage import UserLimits
from gateway.system.service import SystemService
from gateway.trigger.batch_calls import BatchCalls
from gateway.trigger.run_calls import RunCalls
from gateway.upstream.crashes import CrashWatch
from gateway.upstream.credentials import UpstreamCredentials
from gateway.upstream.servers import InferenceServers
from gateway.usage.writer import UsageWriter
from gateway.webhooks.dispatcher import build_dispatcher
from gateway.webhooks.service import WebhookService
from telemetry.snapshots import SharedRegistry
from transport.bearer_tokens import BearerTokens

_DELIVERY_SECONDS = 0.5
"""For deliveries of webhooks that are in flight, at least; another process repeats the others."""


class Container:
    """All objects of one gateway process, created on its event loop."""

    # One statement or two for each part: it is the composition root.
    def __init__(  # noqa: PLR0915
        self, settings: Settings, certificate: Certificate | None = None
    ) -> None:
        self.settings = settings
        self._certificate = certificate
        self.metrics = GatewayMetrics(max_series=settings.metrics_max_series)
        self.db = Database(
            settings.database,
            UserLimits.of(settings),
            on_refusal=self.metrics.count_refusal,
            refuses_while_away=True,
            registry=self.metrics.registry,
        )
        self.feed = ChangeFeed(self.db)
        registry = self.metrics.registry
        self.services = Services(settings, self.db, registry)
        name = f"gateway-{os.getpid()}"
        self.shared = SharedRegistry(registry, settings.run / "metrics", name)

        self.waker = Waker(self.services.fleet.store)
        self.servers = InferenceServers(
            max_message_bytes=settings.max_body_bytes,
            drain_seconds=settings.drain_seconds,
            call_seconds=settings.infer_timeout_seconds,
            on_wake=self.waker.wake,
            credentials=UpstreamCredentials.from_settings(settings),
            unresponsive_seconds=settings.unresponsive_seconds,
            crashes=CrashWatch(self.metrics.count_suspended_key),
        )
        self.watcher = FleetWatcher(
            self.services.fleet.store, self.feed, self.servers, Leases(self.db)
        )
        self.model_summaries = ModelSummaries(self.db, self.services.models, self.feed)
        self.worker_metrics = WorkerCollector(settings.run)
        self.fleet_metrics = FleetCollector(self.servers)
        SupervisorMetrics(registry)  # counted there, and shown by this process
        BootMetrics(registry).show_only(self.servers.exists)
        self.hosts = HostStore(self.db)
        self.processes = ProcessStore(self.db)
        self.scrape_targets = ScrapeTargets(self.servers, self.hosts, self.processes, is_here)
        self.system = SystemService(
            self.db,
            self.hosts,
            self.services.models,
            parse_broker_url(
                settings.broker_url, folder=settings.broker_folder, prefix=settings.queue_prefix
            ),
            store_limit_bytes=settings.model_store_bytes,
            broker_connected=lambda: not self.execution.launcher.publisher.lost,
        )
        self.host_watch = HostWatch(self.hosts, self.processes)

        hasher = self.services.hasher
        self.sessions = SessionService(
            self.db,
            hasher,
            self.feed,
            idle=timedelta(hours=settings.session_idle_hours),
            lifetime=timedelta(days=settings.session_days),
        )
        self.login, self.setup, self.invitations = build_accounts(
            self.db, hasher, self.services.passwords, self.sessions, self.metrics.count_refusal
        )
        self.console = ConsoleFiles(console_folder())
        authenticator = KeyAuthenticator(self.db, hasher, self.feed)
        self.key_usage = authenticator.usage
        self.limits = build_limits(settings, registry)
        self.authentication = Authentication(
            authenticator, self.sessions, origins=settings.console_origins
        )
        self.proxies = TrustedProxies(settings.trusted_proxies)
        tokens = settings.metrics_token_file
        self.metrics_access = MetricsAccess(self.proxies, BearerTokens(tokens) if tokens else None)

        self.deployment_cache = DeploymentCache(self.db, self.feed)
        self.metrics_cleanups = [
            MetricsCleanup(self.db, self.feed, remove, self.shared, of)
            for of, remove in (
                (DEPLOYMENTS, self.metrics.remove_deployment),
                (API_KEYS, self.metrics.remove_key),
            )
        ]
        self.tracer = open_tracer(settings, "slipstream-gateway", dropped_spans(registry))
        self.webhook_dispatcher = build_dispatcher(
            settings, self.db, self.services.secret_box, registry=registry, tracer=self.tracer
        )
        self.webhooks = WebhookService(self.db, self.services.secret_box, self.webhook_dispatcher)
        self.execution = build_execution(
            settings,
            self.db,
            self.feed,
            self.servers,
            self.metrics,
            webhooks=self.webhook_dispatcher,
            processes=self.services.flow_processes,
            tracer=self.tracer,
        )
        self.process_metrics = ProcessMetrics(
            registry,
            name,
            self.db,
            self.execution.launcher.publisher,
            self.execution.pool,
            database_answers=self.feed.database_answers,
        )
        self.parser = build_parser(self.services.child_metrics)
        self.runs = RunService(
            self.db,
            self.execution.store,
            self.execution.waiter,
            self.deployment_cache,
            self.execution.launcher.launch,
            processes=self.services.flow_processes,
            parser=self.parser,
            rate_limiter=self.limits.rate_limiter,
            retention_days=settings.run_retention_days,
        )
        self.run_stream_places = StreamPlaces(settings.key_event_streams)

        self.flow_tests = FlowTester(
            self.db,
            self.execution.store,
            self.services.models,
            self.execution.launcher.launch,
            processes=self.services.flow_processes,
            parser=self.parser,
            rate_limiter=self.limits.rate_limiter,
        )
        self.rehearsals = RehearsalService(
            self.db,
            self.execution.store,
            self.services.snapshots,
            self.flow_tests,
            self.parser,
        )
        self.rollout_watch = RolloutWatch(self.services.rollouts, self.metrics)
        self.usage = UsageWriter(
            self.db,
            self.metrics,
            self.rollout_watch.count_runs,
            minute_hours=settings.usage_minute_hours,
            days=settings.usage_retention_days,
        )
        self.recorder = RunRecorder(self.execution.store, self.metrics, self.feed.database_answers)
        self.call_watches = DeploymentWatches(WatchService(self.db, hasher), self.feed)
        self.live_updates = LiveUpdates(self.db, self.feed, session_idle=self.sessions.idle)
        self.call_recorder = CallRecorder(
            CallStore(self.db, kept_minutes=settings.call_retention_minutes),
            self.deployment_cache.get,
            registry,
            gateway=f"{name}@{socket.gethostname()}",
            min_seconds=settings.kept_call_min_seconds,
        )
        min_seconds = settings.call_log_min_seconds
        self.accounting = Accounting(
            self.metrics,
            self.usage.meter,
            self.key_usage,
            self.recorder,
            watches=self.call_watches,
            kept_calls=self.call_recorder,
            spans=None if self.tracer is None else CallSpans(self.tracer),
            call_log=None if min_seconds is None else CallLog(min_seconds),
        )
        call_services = CallServices(
            resolver=RouteResolver(
                authenticator,
                self.authentication,
                self.deployment_cache,
                self.limits,
                proxies=self.proxies,
                rollouts=self.rollout_watch,
            ),
            servers=self.servers,
            parser=self.parser,
            accounting=self.accounting,
            recorder=self.recorder,
            runs=RunCalls(self.execution),
            batches=BatchCalls(),
            watches=self.call_watches,
            tracer=self.tracer,
        )
        self.trigger = TriggerRoute(call_services, max_body_bytes=settings.max_body_bytes)
        self.readiness = Readiness(
            self.servers,
            database_answers=self.feed.database_answers,
            broker_connected=lambda: not self.execution.launcher.publisher.lost,
            disk_problem=self.db.disk_problem,
            unrecorded_runs=self.recorder.degraded,
        )
        model_access = ModelAccess(
            authenticator, self.authentication, self.limits, anonymous=settings.anonymous_v2
        )
        plane = DataPlane(
            self.servers,
            self.readiness,
            self.metrics,
            timeout_seconds=settings.infer_timeout_seconds,
        )
        traces = CallTraces(self.tracer)
        self.v2 = V2App(
            plane,
            model_access,
            self.proxies,
            self.metrics,
            self.parser,
            traces=traces,
            max_body_bytes=settings.max_body_bytes,
        )
        self._grpc_service = InferenceService(
            plane, model_access, self.proxies, self.metrics, traces
        )
        self._grpc_server: ListeningServer | None = None
        self._grpc_drain: asyncio.Task[None] | None = None
        self._drain_until: float | None = None
        self._announcer: ProcessAnnouncer | None = None

    async def start(self) -> None:
        """Follow the change feed, and connect to the inference servers.

        Raises:
            StorageError: the database cannot be used.
        """
        self.feed.start()
        self.watcher.start()
        await self.watcher.loaded.wait()
        self.readiness.servers_known(has_hosts=await self.services.fleet.store.has_hosts())
        await self.execution.start()
        self.webhook_dispatcher.start()
        self.recorder.start()
        self.usage.start()
        self.key_usage.start()
        self.process_metrics.start()
        self.shared.start()
        for cleanup in self.metrics_cleanups:
            cleanup.start()
        self.rollout_watch.start()
        self.host_watch.start()
        self.call_watches.start()
        self.call_recorder.start()
        self.live_updates.start()
        self.metrics_access.start()

    async def open_grpc_port(self, listen_fd: int | None = None) -> None:
        """Listen on a socket that listens already, or else on the port of the settings.

        Raises:
            OSError: the gRPC port is in use.
        """
        if self._drain_until is None:
            self._grpc_server = await start_grpc_server(
                self._grpc_service, self.readiness, self.settings, self._certificate, listen_fd
            )

    def announce(self, look: Callable[[], SeenProcess]) -> None:
        """Let others know of this process, as `look` sees it: no supervisor does that."""
        self._announcer = ProcessAnnouncer(self.processes, lambda: [look()])
        self._announcer.start()

    def drain(self) -> None:
        """Begin to stop: end the waits of clients that can repeat the request, and drain gRPC."""
        seconds = self.settings.drain_seconds
        self._drain_until = asyncio.get_running_loop().time() + seconds
        self.runs.drain()
        self.rehearsals.drain()
        self.live_updates.drain()
        if self._grpc_server is not None:
            self._grpc_drain = asyncio.create_task(self._grpc_server.drain(seconds))

    async def end_calls(self) -> None:
        """End the runs of this process when their time is over, and all waits for runs."""
        await self.execution.end_runs(self._drain_seconds_left())

    async def close(self) -> None:
        """Release everything, after `drain` and `end_calls`."""
        if self._grpc_drain is not None:
            await self._grpc_drain
        self.accounting.drain()
        await self.rehearsals.close()
        await self.recorder.close()
        await self.key_usage.close()
        await asyncio.gather(
            self.call_watches.close(), self.call_recorder.close(), self.live_updates.stop()
        )
        await self.execution.close()
        await self.services.close()
        await self.webhook_dispatcher.close(max(_DELIVERY_SECONDS, self._drain_seconds_left()))
        await self.usage.close()
        await self.watcher.stop()
        await self.servers.close()
        await self.parser.close()
        await self.waker.stop()
        await self.feed.stop()
        for cleanup in self.metrics_cleanups:
            await cleanup.stop()
        await self.rollout_watch.stop()
        await self.host_watch.stop()
        await self.limits.close()
        await self.process_metrics.stop()
        if self.tracer is not None:
            await self.tracer.close()
        await self.shared.close()
        await self.metrics_access.stop()
        self.services.passwords.close()
        self.services.store.close()
        self.services.models.close()
        self.services.model_graphs.close()
        if self._announcer is not None:
            await self._announcer.stop()
        await self.db.close()

    def metric_collectors(self) -> list[Collector]:
        """Return what `/metrics` has, except the names of deployments (`deployment_info`)."""
        return [
            self.shared,
            BuildInfo(),
            self.fleet_metrics,
            self.host_watch,
            self.worker_metrics,
            self.execution.metrics,
            self.webhook_dispatcher.metrics,
        ]

    def reasons(self) -> Sequence[str]:
        """Return why the gateway is not ready; an empty sequence means ready."""
        return [*self.readiness.reasons(), *self.execution.preloader.reasons()]

    def _drain_seconds_left(self) -> float:
        if self._drain_until is None:
            return 0.0
        return max(0.0, self._drain_until - asyncio.get_running_loop().time())
