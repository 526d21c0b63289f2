"""The model store off the event loop, with the gateway's errors, audit events and change feed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, Unpack

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.model_access import ModelUser, Visibility, load_model_user, not_yours
from gateway.errors import GatewayError
from gateway.models import store as rows
from gateway.models.audit_events import label_fields, ownership_fields, record_model
from gateway.models.ownership import (
    ChangedModel,
    ModelEntry,
    OwnershipChange,
    change_ownership,
    check_may_publish,
    entry_of,
)
from gateway.models.pins import Pin
from gateway.models.upload_quotas import UploadQuotas
from gateway.storage.audit_events import AuditFields
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.database import Database
from gateway.storage.paging import Page, PageRequest
from gateway.storage.sql import seconds_from_now
from gateway.storage.tables import Model
from gateway.storage.user_storage import check_room
from model_store.errors import StoreError
from model_store.folder_store import FolderStore
from model_store.manifest import Manifest
from model_store.store import ModelStore
from model_store.tensor_names import NO_NAMES, TensorNames
from model_store.verification import Verifier, folder_size
from protos.errors import ErrorCode

_QUESTIONS = 8
"""To the store at once."""
_CLAIMED_SECONDS = 120.0
"""For which a new model is its first publisher's, who needs less to write the version."""
_CLAIM_SECONDS = 15.0
"""To write whose a new model is: longer than a busy database takes."""

T = TypeVar("T")

DeleteStoppedServers = Callable[[AsyncSession, str, int], Awaitable[None]]
"""Deletes the stopped inference servers of a model version, in the caller's transaction."""


class ModelService:
    """The models that a user may use, see `auth/model_access.py`.

    `profile_id` is the user's; None is the operator, who may use and manage all models. A model
    that a user may not use is answered like one that does not exist.
    """

    def __init__(
        self,
        db: Database,
        store: ModelStore,
        verifier: Verifier,
        quotas: UploadQuotas,
        delete_stopped_servers: DeleteStoppedServers,
        *,
        verifications: int,
    ) -> None:
        """Verify up to `verifications` models at once; others wait, in the order they came."""
        self.quotas = quotas
        self._db = db
        self._store = store
        # What a hidden model is looked up in: the answer is that for an unknown one, by
        # construction
        self._empty_store = FolderStore(store.root / ".hidden")
        self._verifier = verifier
        self._delete_stopped_servers = delete_stopped_servers
        # Not the loop's own threads, for which everything else waits: verifications take minutes,
        # and a store that hangs takes what its time-outs allow
        self._publishing = ThreadPoolExecutor(verifications, thread_name_prefix="publish")
        self._asking = ThreadPoolExecutor(_QUESTIONS, thread_name_prefix="model store")

    async def page(
        self, profile_id: str | None, request: PageRequest, *, containing: str = ""
    ) -> Page[ModelEntry]:
        """Return a page of models, ordered by name; the cursor is a name.

        With `containing`, only those whose names contain it, in upper or lower case.
        """
        after, part = request.cursor or "", containing.lower()
        async with self._db.read() as session:
            user = await load_model_user(session, profile_id)
            hidden = await rows.names_hidden_from(session, user)

        def known() -> list[str]:
            names = (name for name in self._store.names(after) if part in name.lower())
            return list(islice((it for it in names if it not in hidden), request.limit + 1))

        names = await self._ask(known)
        shown = names[: request.limit]
        async with self._db.read() as session:
            found = await rows.models_named(session, shown)
        contents = await self._ask(lambda: self._store.contents(shown))
        items = [
            entry_of(name, *contents[name], found.get(name), user)
            for name in shown
            if user.may_use(found.get(name))  # it may have become private meanwhile
        ]
        more = len(names) > request.limit
        return Page(items=items, next_cursor=shown[-1] if more else None)

    async def get(self, profile_id: str | None, name: str) -> ModelEntry:
        """Return one model, or raise NOT_FOUND."""
        user, row = await self._look_up(profile_id, name)
        store = self._store_for(user, row)
        entry = await self._ask(lambda: _entry(store, name, row, user))
        if not entry.versions:
            raise GatewayError(ErrorCode.NOT_FOUND, f"there is no model '{name}' in the store")
        return entry

    async def resolve(self, profile_id: str | None, name: str, spec: str = "latest") -> int:
        """Return the version that `latest`, a number or a label refers to, or raise NOT_FOUND."""
        store = self._store_for(*await self._look_up(profile_id, name))
        return await self._ask(lambda: store.resolve(name, spec))

    async def manifest(self, profile_id: str | None, name: str, spec: str = "latest") -> Manifest:
        """Return the manifest of a version, or raise NOT_FOUND."""
        store = self._store_for(*await self._look_up(profile_id, name))
        return await self._ask(lambda: store.manifest(name, store.resolve(name, spec)))

    async def pin(self, profile_id: str | None, name: str, spec: str = "latest") -> Pin:
        """Return a pin of the version that `spec` refers to now, or raise NOT_FOUND."""
        return Pin.of(await self.manifest(profile_id, name, spec))

    async def publish(
        self,
        profile_id: str | None,
        source: Path,
        name: str,
        version: int | None = None,
        *,
        visibility: Visibility | None = None,
        owner_id: str | None = None,
        names: TensorNames = NO_NAMES,
    ) -> Manifest:
        """Verify and publish a version, by default the next one; `names` are those of its tensors.

        A new model belongs to the user, whose quota counts, and is private unless `visibility` says
        otherwise. The operator's belongs to `owner_id` (None: to the installation) and is shared.

        Raises:
            GatewayError: INVALID_MODEL, INVALID_REQUEST, CONFLICT, ROLE_FORBIDDEN as
                `check_may_publish`, or STORAGE_QUOTA_EXCEEDED; nothing is left behind.
        """
        if profile_id is not None:
            owner_id = profile_id
        private = Visibility.PRIVATE if profile_id is not None else Visibility.SHARED
        new = Model(name=name, owner_id=owner_id, visibility=visibility or private)
        loop = asyncio.get_running_loop()
        await self._check_room(profile_id)
        if await self._ask(lambda: self._store.versions(name)):
            await self._check_may_publish(profile_id, name, visibility)

        def admit() -> None:
            # Neither needs another thread: all of them may be waiting for the store's lock
            if self._store.versions(name):  # perhaps of another user, who was faster
                allowed = self._check_may_publish(profile_id, name, visibility)
            else:
                allowed = self._claim(new)
            _wait_for(allowed, loop)

        def publish() -> Manifest:
            if profile_id is not None:  # others may have published while this one was received
                self.quotas.check(profile_id, folder_size(source))
            return self._store.publish(
                source,
                name,
                version=version,
                verifier=self._verifier,
                names=names,
                owner=profile_id,
                admit=admit,
            )

        manifest = await _in_thread(self._publishing, publish)
        published = {"version": manifest.version, "sha256": manifest.sha256}
        await self._record(name, "publish", after=published)
        return manifest

    async def change(
        self, profile_id: str | None, name: str, **change: Unpack[OwnershipChange]
    ) -> ChangedModel:
        """Change whose a model is, which administrators may, and who may use it.

        Deployments that pinned a version before keep calling it. They need access for what is new
        to them: to be redeployed, or to have an older version promoted.

        Raises:
            GatewayError: NOT_FOUND; ROLE_FORBIDDEN; VALIDATION_FAILED for an unknown owner.
        """
        store = await self._managed_store(profile_id, name)
        if not await self._ask(lambda: store.versions(name)):
            raise GatewayError(ErrorCode.NOT_FOUND, f"there is no model '{name}' in the store")
        async with self._db.write() as session:
            user = await load_model_user(session, profile_id)
            others = await change_ownership(session, user, name, change)
        return ChangedModel(entry=await self.get(profile_id, name), deployments_of_others=others)

    async def set_label(
        self, profile_id: str | None, name: str, label: str, version: int
    ) -> ModelEntry:
        """Point a label to a version.

        Raises:
            GatewayError: NOT_FOUND, ROLE_FORBIDDEN; STORAGE_QUOTA_EXCEEDED as `check_room`.
        """
        store = await self._managed_store(profile_id, name)
        await self._check_room(profile_id)
        old = await self._ask(lambda: store.labels(name).get(label))
        await self._ask(lambda: store.set_label(name, label, version))
        before, after = label_fields(label, old), label_fields(label, version)
        await self._record(name, "label", before=before, after=after)
        return await self.get(profile_id, name)

    async def delete_label(self, profile_id: str | None, name: str, label: str) -> None:
        """Delete a label; raise NOT_FOUND or ROLE_FORBIDDEN."""
        store = await self._managed_store(profile_id, name)
        old = await self._ask(lambda: store.labels(name).get(label))
        await self._ask(lambda: store.delete_label(name, label))
        await self._record(name, "unlabel", before=label_fields(label, old))

    async def remove(self, profile_id: str | None, name: str, version: int) -> None:
        """Delete a version.

        Raises:
            GatewayError: NOT_FOUND; ROLE_FORBIDDEN; CONFLICT while a server or a live deployment
                uses it, or a label points to it.
        """
        store = await self._managed_store(profile_id, name)
        manifest = await self._ask(lambda: store.manifest(name, version))
        async with self._db.read() as session:
            user = await load_model_user(session, profile_id)
            row = await rows.find_model(session, name)
            users = await rows.users_of(session, name, version, user)
        if users:
            message = f"version {version} of '{name}' is in use by {', '.join(users)}"
            raise GatewayError(ErrorCode.CONFLICT, f"{message}: stop or delete it first")
        await self._ask(lambda: store.remove(name, version))
        removed = {"version": version, "sha256": manifest.sha256}
        async with self._db.write() as session:
            await record_model(session, "remove", name, row, before=removed)
            # The name's next owner is not to find it
            await self._delete_stopped_servers(session, name, version)
            record_change(session, ChangeKind.MODEL, name)

    async def stored_bytes(self) -> int:
        """Return what all versions take; raise MODEL_STORE_UNAVAILABLE."""
        return (await self._ask(self._store.usage)).total_bytes

    def close(self) -> None:
        """Start nothing more."""
        for threads in (self._publishing, self._asking):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, work: Callable[[], T]) -> T:
        """Return what the store says; raises as `_in_thread`."""
        return await _in_thread(self._asking, work)

    async def _look_up(self, profile_id: str | None, name: str) -> tuple[ModelUser, Model | None]:
        async with self._db.read() as session:
            user = await load_model_user(session, profile_id)
            return user, await rows.find_model(session, name)

    def _store_for(self, user: ModelUser, row: Model | None) -> ModelStore:
        """Return the store as `user` sees it: an empty one in place of a hidden model."""
        return self._store if user.may_use(row) else self._empty_store

    async def _managed_store(self, profile_id: str | None, name: str) -> ModelStore:
        """Return the store for a change; raise ROLE_FORBIDDEN for a model of another user."""
        user, row = await self._look_up(profile_id, name)
        store = self._store_for(user, row)
        if await self._ask(lambda: store.versions(name)) and not user.may_manage(row):
            raise not_yours(name)
        return store

    async def _check_room(self, profile_id: str | None) -> None:
        """Raise as `check_room`, before the store is changed."""
        if profile_id is not None:
            async with self._db.read() as session:
                await check_room(session, profile_id)

    async def _check_may_publish(
        self, profile_id: str | None, name: str, visibility: Visibility | None
    ) -> None:
        """Raise as `check_may_publish`, for a model that exists."""
        user, row = await self._look_up(profile_id, name)
        check_may_publish(user, name, row, visibility)

    async def _claim(self, new: Model) -> None:
        """Write the row of a model that has no version yet; raise CONFLICT if another upload has.

        Where the store is a bucket, uploads to other hosts may publish the same name now.
        """
        claimed = GatewayError(
            ErrorCode.CONFLICT,
            f"another upload is publishing the first version of '{new.name}': send this one again "
            f"in {_CLAIMED_SECONDS:.0f} s, or choose another name",
        )
        try:
            async with self._db.write() as session:
                row = await rows.find_model(session, new.name, lock=True)
                new.updated_at = (await session.execute(select(seconds_from_now()))).scalar_one()
                if row is not None and self._store.is_remote:
                    age = (new.updated_at - row.updated_at).total_seconds()
                    if row.owner_id != new.owner_id and age < _CLAIMED_SECONDS:
                        raise claimed
                await session.merge(new)
                record_change(session, ChangeKind.MODEL, new.name)
        except IntegrityError:  # at the same time, on another host
            raise claimed from None

    async def _record(
        self,
        name: str,
        verb: str,
        *,
        before: AuditFields | None = None,
        after: AuditFields | None = None,
    ) -> None:
        """Record what was just done to the store, whose files are not part of a transaction."""
        async with self._db.write() as session:
            row = await rows.find_model(session, name)
            if verb == "publish":
                after = {**(after or {}), **ownership_fields(row)}
            await record_model(session, verb, name, row, before=before, after=after)
            record_change(session, ChangeKind.MODEL, name)


def _entry(store: ModelStore, name: str, row: Model | None, user: ModelUser) -> ModelEntry:
    return entry_of(name, store.versions(name), store.labels(name), row, user)


def _wait_for(work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> None:
    """Run a coroutine on the loop, from a thread. Any: nothing is sent into it."""
    running = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        running.result(_CLAIM_SECONDS)
    except TimeoutError:
        running.cancel()
        message = f"the database has not answered for {_CLAIM_SECONDS:.0f} s: send the upload again"
        raise GatewayError(ErrorCode.DATABASE_UNAVAILABLE, message) from None


async def _in_thread(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """Run blocking work of the store on a thread, and translate its errors; codes are shared."""
    try:
        return await asyncio.get_running_loop().run_in_executor(threads, work)
    except StoreError as error:
        raise GatewayError(error.code, error.message) from error
