"""Usage queries: counts grouped and added up, with percentiles."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sqlalchemy import select

from gateway.auth.identity import Identity, Scope
from gateway.errors import GatewayError
from gateway.ids import normalize_id
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.ownership import find_owned
from gateway.storage.tables import ApiKey, Deployment
from gateway.usage.counts import TOTAL, Counts
from gateway.usage.heatmap import MAX_COLUMNS, Heatmap, HeatmapColumns
from gateway.usage.meter import OTHER_KEYS
from gateway.usage.store import DAY, MINUTE, UsageFilter, UsagePeriod, UsageStore, midnight
from protos.errors import ErrorCode

OK = "ok"
"""The code of calls and runs without an error."""
_MAX_ITEMS = 5_000


class GroupBy(StrEnum):
    """What the items of a report are grouped by."""

    DEPLOYMENT = "deployment"
    VERSION = "version"
    """By deployment and version."""
    KEY = "key"
    CODE = "code"
    """By error code, `ok` for calls and runs without an error. These items have no durations."""
    ALL = "all"
    """Not at all: one item for each step."""


class Step(StrEnum):
    """The length of time that each item covers."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    NONE = "none"
    """The whole range in one item."""


_LENGTHS = {Step.MINUTE: MINUTE, Step.HOUR: timedelta(hours=1), Step.DAY: DAY}


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """A query; fields that are None do not filter."""

    since: datetime | None = None
    """Rounded down to a whole step. Default: a day before `until`."""
    until: datetime | None = None
    """Exclusive. Default: now."""
    by: GroupBy = GroupBy.DEPLOYMENT
    step: Step = Step.NONE
    deployment_id: str | None = None
    version: int | None = None
    key_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageGroup:
    """The group that an item belongs to; fields that it is not grouped by are None."""

    deployment_id: str | None = None
    version: int | None = None
    key_id: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class UsageEntry:
    """The counts of one group between two times."""

    since: datetime
    until: datetime
    subject: UsageGroup
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """The result of a query, sorted by time and group."""

    query: UsageQuery
    since: datetime
    until: datetime
    items: Sequence[UsageEntry]
    names: Mapping[str, str] = field(default_factory=dict)
    """The names of existing deployments and keys, by id."""

    def total(self) -> Counts:
        """Return all items added up."""
        counts = Counts()
        for item in self.items:
            counts.add(item.counts)
        return counts


class UsageService:
    """Reads the usage that gateways have written, which lacks the calls of the last seconds."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._store = UsageStore(db)

    async def for_actor(self, actor: Identity, query: UsageQuery) -> UsageReport:
        """Return usage of the actor's own deployments that its key covers.

        Names of keys are included only for credentials with the scope `manage`.

        Raises:
            GatewayError: INVALID_REQUEST if the times are in the wrong order or out of range,
                or if there would be too many items.
        """
        usage = await self.for_profile(
            actor.profile_id, query, deployments=actor.deployments, limit=_MAX_ITEMS
        )
        if actor.scope is Scope.MANAGE:
            return usage
        return replace(usage, names=await self._names(actor.profile_id, Deployment))

    async def for_deployment(self, actor: Identity, deployment_id: str) -> UsageReport:
        """Return the last day of one deployment by hour.

        Raises:
            GatewayError: NOT_FOUND if it is not the actor's, or the key does not cover it.
        """
        if not actor.may_trigger(deployment_id.lower()):
            message = f"there is no deployment '{deployment_id}'"
            raise GatewayError(ErrorCode.NOT_FOUND, message)
        async with self._db.read() as session:
            found = await find_owned(session, Deployment, actor.profile_id, deployment_id)
        return await self.for_actor(actor, UsageQuery(deployment_id=found.id, step=Step.HOUR))

    async def for_profile(
        self,
        profile_id: str,
        query: UsageQuery,
        *,
        deployments: Collection[str] | None = None,
        limit: int | None = None,
    ) -> UsageReport:
        """Return usage of a profile's deployments, or only of the listed ones.

        Raises:
            GatewayError: INVALID_REQUEST if the times are in the wrong order or out of range,
                or if there would be more than `limit` items.
        """
        since, until = _range(query)
        which = _filter(profile_id, query, since, until, deployments)
        counts_by_group: dict[tuple[datetime, datetime, UsageGroup], Counts] = {}
        async with aclosing(self._store.spans(which)) as spans:
            async for span in spans:
                first, last = _step_of(span, query.step, since, until)
                for subject, counts in _parts(span, query.by):
                    counts_by_group.setdefault((first, last, subject), Counts()).add(counts)
                if limit is not None and len(counts_by_group) > limit:
                    raise _too_many(limit, query.step)
        items = [UsageEntry(*key, counts) for key, counts in counts_by_group.items()]
        items.sort(key=_order)
        names = await self._names(profile_id, Deployment, ApiKey)
        return UsageReport(query=query, since=since, until=until, items=items, names=names)

    async def heatmap(
        self,
        profile_id: str,
        query: UsageQuery,
        *,
        deployments: Collection[str] | None = None,
    ) -> Heatmap:
        """Return how many calls took how long in each step, of a profile's or the listed ones.

        Raises:
            GatewayError: INVALID_REQUEST if the times are in the wrong order or out of range,
                or if there would be more than MAX_COLUMNS steps.
        """
        since, until = _range(query)
        columns = HeatmapColumns(since, until, _LENGTHS[query.step])
        if columns.steps > MAX_COLUMNS:
            message = (
                f"step: expected one that gives at most {MAX_COLUMNS} columns, {query.step} gives "
                f"{columns.steps}: take a longer one, or a shorter time"
            )
            raise GatewayError(ErrorCode.INVALID_REQUEST, message)
        which = _filter(profile_id, query, since, until, deployments)
        async with aclosing(self._store.spans(which)) as spans:
            async for span in spans:
                columns.add(span.began_at, span.length, span.counts.seconds.get(TOTAL, {}))
        return await columns.heatmap()

    async def _names(
        self, profile_id: str, *tables: type[Deployment] | type[ApiKey]
    ) -> dict[str, str]:
        async with self._db.read() as session:
            found: dict[str, str] = {}
            for table in tables:
                query = select(table.id, table.name).where(table.profile_id == profile_id)
                found.update((row.id, row.name) for row in await session.execute(query))
        return found


def _filter(
    profile_id: str,
    query: UsageQuery,
    since: datetime,
    until: datetime,
    deployments: Collection[str] | None,
) -> UsageFilter:
    return UsageFilter(
        profile_id=profile_id,
        since=since,
        until=until,
        deployments=deployments,
        deployment_id=_id(query.deployment_id),
        version=query.version,
        key_id=_id(query.key_id),
    )


def _too_many(limit: int, step: Step) -> GatewayError:
    message = (
        f"step: expected one that gives at most {limit} items, {step} gives more: "
        "take a longer one, or a shorter time"
    )
    return GatewayError(ErrorCode.INVALID_REQUEST, message)


def _range(query: UsageQuery) -> tuple[datetime, datetime]:
    try:
        until = (query.until or now()).astimezone(UTC)
        since = _floor((query.since or until - DAY), query.step)
    except OverflowError:
        message = "from, to: expected times that a calendar has in every time zone"
        raise GatewayError(ErrorCode.INVALID_REQUEST, message) from None
    if since >= until:
        message = f"from: expected a time before `to`, got {since.isoformat()}"
        raise GatewayError(ErrorCode.INVALID_REQUEST, message)
    return since, until


def _floor(moment: datetime, step: Step) -> datetime:
    day = midnight(moment)
    if step is Step.DAY:
        return day
    return moment - (moment - day) % _LENGTHS.get(step, MINUTE)


def _step_of(
    span: UsagePeriod, step: Step, since: datetime, until: datetime
) -> tuple[datetime, datetime]:
    """Return the beginning and the end of the item that a span belongs to.

    A day whose minutes have been compacted is not divided.
    """
    if step is Step.NONE:
        return since, until
    length = max(span.length, _LENGTHS[step])
    first = span.began_at - (span.began_at - midnight(span.began_at)) % length
    return first, first + length


def _parts(span: UsagePeriod, by: GroupBy) -> Sequence[tuple[UsageGroup, Counts]]:
    deployment_id, version, key_id = span.name
    match by:
        case GroupBy.DEPLOYMENT:
            return [(UsageGroup(deployment_id=deployment_id), span.counts)]
        case GroupBy.VERSION:
            return [(UsageGroup(deployment_id=deployment_id, version=version), span.counts)]
        case GroupBy.KEY:
            return [(UsageGroup(key_id=key_id), span.counts)]
        case GroupBy.CODE:
            return _codes(span.counts)
        case GroupBy.ALL:
            return [(UsageGroup(), span.counts)]


def _codes(counts: Counts) -> list[tuple[UsageGroup, Counts]]:
    fine = Counts(
        calls=counts.calls - sum(counts.errors.values()),
        runs=counts.runs - sum(counts.run_errors.values()),
    )
    found = [(UsageGroup(code=OK), fine)] if fine.calls or fine.runs else []
    for code in {**counts.errors, **counts.run_errors}:
        calls, runs = counts.errors.get(code, 0), counts.run_errors.get(code, 0)
        part = Counts(calls=calls, runs=runs)
        if calls:
            part.errors[code] = calls
        if runs:
            part.run_errors[code] = runs
        found.append((UsageGroup(code=code), part))
    return found


def _order(item: UsageEntry) -> tuple[datetime, str, int, str, str]:
    subject = item.subject
    return (
        item.since,
        subject.deployment_id or "",
        subject.version or 0,
        subject.key_id or "",
        subject.code or "",
    )


def _id(text: str | None) -> str | None:
    return text if text is None or text == OTHER_KEYS else normalize_id(text)
