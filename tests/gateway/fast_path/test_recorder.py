"""Which fast calls are recorded, where the database is away, and what is counted."""

from __future__ import annotations

import asyncio
from time import perf_counter

import pytest

from gateway.auth.identity import Identity, Role, Scope
from gateway.deployments.settings import RecordRuns, ResponseFormat
from gateway.errors import GatewayError
from gateway.fast_path.answerable_call import AnswerableCall
from gateway.fast_path.recorded_call import RecordedCall
from gateway.fast_path.recorder import RunRecorder
from gateway.fast_path.routes import ResolvedRoute
from gateway.fast_path.run_writer import MAX_WAITING
from gateway.ids import new_id, new_run_id
from gateway.metrics import GatewayMetrics
from gateway.runs.idempotency import fingerprint
from gateway.runs.run import MAX_OUTPUT_BYTES, RunStatus
from gateway.runs.store import RunStore
from gateway.storage.database import Database
from gateway.web.problems import Headers
from protos.errors import ErrorCode
from tests.gateway.fast_path.deployments import live_deployment
from tests.gateway.runs.builders import keyed, new_run

NO_DATABASE = "postgresql://postgres@127.0.0.1:1/none"
"""Refuses connections at once."""
ERROR = GatewayError(ErrorCode.INFERENCE_FAILED, "no")


class Call(AnswerableCall):
    """A fast call whose inference server has answered or failed it."""

    def __init__(self, route: ResolvedRoute, headers: dict[bytes, bytes] | None = None) -> None:
        self.route = route
        self.run_id = new_run_id()
        self.began = self.ended = perf_counter()
        self.timeout = 60.0
        self.headers = headers or {}
        self.response_format = ResponseFormat.FLAT
        self.may_be_sampled = True
        self.executed = asyncio.Event()
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def execute(self, route: ResolvedRoute, body: bytes) -> None:  # noqa: ARG002 - nothing runs
        """Tell the test, which answers in place of an inference server."""
        self.executed.set()

    def succeed(
        self,
        status: int,
        headers: Headers,
        body: bytes,
        *,
        parse_seconds: float | None = None,  # noqa: ARG002 - nothing is parsed
    ) -> None:
        self.answer.set_result(b"%d %b %b" % (status, dict(headers)[b"location"], body))

    def succeed_fast(self, output_data: bytes) -> None:
        self.answer.set_result(output_data)

    def fail(self, error: Exception) -> None:
        self.answer.set_exception(error)


def route_of(**settings: object) -> ResolvedRoute:
    """Return the route to a new fast deployment."""
    deployment = live_deployment(id=new_id(), **settings)
    identity = Identity(
        key_id="key",
        profile_id=deployment.profile_id,
        scope=Scope.TRIGGER,
        deployments=None,
        role=Role.OWNER,
    )
    return ResolvedRoute(identity, deployment, None, False, None, (), 0)


class Setup:
    """A recorder, its database, and what it counts."""

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self.answers = True
        """Whether the database does, as far as is known."""
        self.metrics = GatewayMetrics()
        self.recorder = RunRecorder(store, self.metrics, lambda: self.answers)

    def counted(self, reason: str) -> float:
        """Return how many calls have left no run for this reason."""
        return self.metrics.runs_unrecorded.child(reason).value


@pytest.fixture
async def setup(database: Database) -> Setup:
    return Setup(RunStore(database))


async def started(recording: RecordedCall, call: Call) -> None:
    """Wait until a call with an Idempotency-Key is executed."""
    recording.start(b"{}")
    await call.executed.wait()


async def failed(call: Call) -> GatewayError:
    """Return the error that a call was answered with."""
    with pytest.raises(GatewayError) as caught:
        await call.answer
    return caught.value


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_recorded_call_is_answered_when_its_run_is_written(setup: Setup) -> None:
    call = Call(route_of(record_runs=RecordRuns.ALL))
    recording = setup.recorder.begin(call)
    recording.start(b"{}")
    recording.completed(b'{"y":1}')
    assert not call.answer.done()
    assert await call.answer == b'{"y":1}'
    run = await setup.store.get(call.run_id)
    assert run is not None
    assert (run.status, run.output_data) == (RunStatus.COMPLETED, None)


async def test_the_queue_of_runs_is_bounded(setup: Setup) -> None:
    route = route_of(record_runs=RecordRuns.ALL)
    calls = [Call(route) for _ in range(MAX_WAITING + 1)]
    for call in calls:
        recording = setup.recorder.begin(call)
        recording.completed(b"{}")
    assert (await failed(calls[-1])).code is ErrorCode.RECORDING_OVERLOADED
    late = Call(route)
    with pytest.raises(GatewayError, match="nothing was executed") as refused:
        setup.recorder.begin(late).start(b"{}")
    assert refused.value.retry_after == 1
    await asyncio.gather(*(call.answer for call in calls[:-1]))


async def test_a_call_is_refused_before_its_inference_where_the_database_is_away(
    setup: Setup,
) -> None:
    setup.answers = False
    with pytest.raises(GatewayError, match="nothing was executed") as refused:
        setup.recorder.begin(Call(route_of(record_runs=RecordRuns.ALL))).start(b"{}")
    assert refused.value.code is ErrorCode.DATABASE_UNAVAILABLE


async def test_an_abandoned_call_is_not_answered_and_its_run_is_written(setup: Setup) -> None:
    call, other = (Call(route_of(record_runs=RecordRuns.ALL)) for _ in range(2))
    recording = setup.recorder.begin(call)
    recording.completed(b"{}")
    recording.abandon()
    setup.recorder.begin(other).completed(b"{}")
    await other.answer
    assert not call.answer.done()
    assert await setup.store.get(call.run_id) is not None


async def test_too_large_an_output_fails_a_call_with_a_key_as_it_cannot_be_repeated(
    setup: Setup,
) -> None:
    call = Call(route_of(), {b"idempotency-key": b"k"})
    recording = setup.recorder.begin(call)
    await started(recording, call)
    recording.completed(b"x" * (MAX_OUTPUT_BYTES + 1))
    error = await failed(call)
    assert error.code is ErrorCode.FLOW_FAILED
    assert error.details["flow_run_id"] == call.run_id


async def test_an_error_that_may_pass_is_not_repeated_for_its_key(setup: Setup) -> None:
    for code, repeated in ((ErrorCode.OVERLOADED, False), (ErrorCode.INFERENCE_FAILED, True)):
        call = Call(route_of(), {b"idempotency-key": b"k"})
        recording = setup.recorder.begin(call)
        await started(recording, call)
        recording.failed(GatewayError(code, "no"))
        assert (await failed(call)).details == {"flow_run_id": call.run_id}
        run = await setup.store.get(call.run_id)
        assert run is not None
        assert (run.idempotency_key == "k") is repeated


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_call_that_repeats_an_unfinished_run_of_another_mode_is_told_its_id(
    setup: Setup,
) -> None:
    route = route_of()
    idempotency = keyed(fingerprint=fingerprint(route.deployment.id, b"{}"))
    fields = {"deployment_id": route.deployment.id, "key_id": "key", "idempotency": idempotency}
    queued = await setup.store.create(new_run(**fields))
    call = Call(route, {b"idempotency-key": b"k"})
    setup.recorder.begin(call).start(b"{}")
    answer = (await call.answer).decode()
    assert answer.startswith(f"202 /node/flow-runs/{queued.run.id}/ ")
    assert not call.executed.is_set()


@pytest.mark.databases("sqlite", "postgresql")
async def test_the_run_of_an_abandoned_failure_is_written_before_the_end(setup: Setup) -> None:
    call = Call(route_of())
    failure = setup.recorder.fail(call, ERROR)
    assert failure is not None
    failure.abandon()
    await setup.recorder.close()
    assert not call.answer.done()
    assert await setup.store.get(call.run_id) is not None


async def test_failures_that_find_no_database_wait_for_it_and_are_counted_beyond_that(
    setup: Setup,
) -> None:
    setup.answers = False
    routes = [route_of() for _ in range(4)]
    calls = [Call(route) for route in routes for _ in range(600)]
    for call in calls:
        setup.recorder.fail(call, ERROR)
        assert (await failed(call)).details == {}
    assert setup.counted("database") == 400
    assert len(setup.recorder.degraded()) == 1
    await setup.recorder.close()
    assert await setup.store.get(calls[0].run_id) is not None
    assert await setup.store.get(calls[-1].run_id) is None


async def test_runs_that_the_end_of_the_process_leaves_unwritten_are_counted() -> None:
    gone = Database(NO_DATABASE)
    setup = Setup(RunStore(gone))
    setup.recorder.sample(route_of().deployment, [Call(route_of()) for _ in range(3)])
    await setup.recorder.close()
    await gone.close()
    assert setup.counted("database") == 3


async def test_an_abandoned_call_is_not_answered_by_the_error_of_its_look_up() -> None:
    gone = Database(NO_DATABASE)
    setup = Setup(RunStore(gone))
    abandoned, waiting = (Call(route_of(), {b"idempotency-key": b"k"}) for _ in range(2))
    recordings = [setup.recorder.begin(call) for call in (abandoned, waiting)]
    for recording in recordings:
        recording.start(b"{}")
    recordings[0].abandon()
    with pytest.raises(ConnectionRefusedError):
        await waiting.answer
    await gone.close()
    assert not abandoned.answer.done()


@pytest.mark.parametrize(("share", "low", "high"), [(1.0, 60, 60), (0.1, 1, 40), (0.0, 0, 0)])
async def test_a_sample_is_a_share_up_to_a_rate(
    setup: Setup, share: float, low: int, high: int
) -> None:
    route = route_of(record_sample=share)
    calls = [Call(route) for _ in range(150)]
    setup.recorder.sample(route.deployment, calls)
    await setup.recorder.close()
    found = [call for call in calls if await setup.store.get(call.run_id)]
    assert low <= len(found) <= high
    assert setup.counted("sample_rate") == (90 if share == 1 else 0)


@pytest.mark.parametrize("chosen", [RecordRuns.ERRORS, RecordRuns.ALL])
async def test_nothing_is_sampled_where_that_is_not_chosen(
    setup: Setup, chosen: RecordRuns
) -> None:
    route = route_of(record_runs=chosen)
    call = Call(route)
    setup.recorder.sample(route.deployment, [call])
    await setup.recorder.close()
    assert await setup.store.get(call.run_id) is None
