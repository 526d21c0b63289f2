"""The model store off the event loop, with the gateway's errors, audit events and change feed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gateway.errors import GatewayError
from gateway.models import store as rows
from gateway.models.pins import Pin
from gateway.models.upload_quotas import UploadQuotas
from gateway.storage.audit_events import AuditFields, AuditTarget, record_event
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.database import Database
from gateway.storage.paging import Page, PageRequest
from model_store.errors import StoreError
from model_store.manifest import Manifest
from model_store.store import ModelStore
from model_store.verification import Verifier, folder_size
from protos.errors import ErrorCode

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model and its versions."""

    name: str
    versions: list[int]
    """Ascending."""
    labels: Mapping[str, int]


class ModelService:
    """Models belong to the installation: every user sees all of them."""

    def __init__(
        self,
        db: Database,
        store: ModelStore,
        verifier: Verifier,
        quotas: UploadQuotas,
        *,
        verifications: int,
    ) -> None:
        """Verify up to `verifications` models at once; others wait, in the order they came."""
        self.quotas = quotas
        self._db = db
        self._store = store
        self._verifier = verifier
        # Not the loop's own threads: verifications take minutes, and everything else waits for them
        self._publishing = ThreadPoolExecutor(verifications, thread_name_prefix="publish")

    async def page(self, request: PageRequest) -> Page[ModelEntry]:
        """Return a page of models, ordered by name; the cursor is a name."""
        after = request.cursor or ""

        def read_page() -> Page[ModelEntry]:
            names = [name for name in self._store.names() if name > after]
            items = [self._entry(name) for name in names[: request.limit]]
            more = len(names) > request.limit
            return Page(items=items, next_cursor=items[-1].name if more else None)

        return await _in_thread(read_page)

    async def get(self, name: str) -> ModelEntry:
        """Return one model, or raise NOT_FOUND."""
        entry = await _in_thread(lambda: self._entry(name))
        if not entry.versions:
            raise GatewayError(ErrorCode.NOT_FOUND, f"there is no model '{name}' in the store")
        return entry

    async def resolve(self, name: str, spec: str = "latest") -> int:
        """Return the version that `latest`, a number or a label refers to, or raise NOT_FOUND."""
        return await _in_thread(lambda: self._store.resolve(name, spec))

    async def manifest(self, name: str, spec: str = "latest") -> Manifest:
        """Return the manifest of a version, or raise NOT_FOUND."""
        return await _in_thread(lambda: self._store.manifest(name, self._store.resolve(name, spec)))

    async def pin(self, name: str, spec: str = "latest") -> Pin:
        """Return a pin of the version that `spec` refers to now, or raise NOT_FOUND."""
        return Pin.of(await self.manifest(name, spec))

    async def publish(
        self, source: Path, name: str, version: int | None = None, *, owner: str | None = None
    ) -> Manifest:
        """Copy a model file, or a folder with model.onnx, into the store.

        `owner` is the profile whose quota counts; None for the command line, which has none.

        Raises:
            GatewayError: INVALID_MODEL, INVALID_REQUEST, CONFLICT or STORAGE_QUOTA_EXCEEDED;
                nothing is left behind.
        """

        def publish() -> Manifest:
            if owner is not None:  # others may have published while this one was received
                self.quotas.check(owner, folder_size(source))
            return self._store.publish(
                source, name, version=version, verifier=self._verifier, owner=owner
            )

        manifest = await _in_thread(publish, self._publishing)
        published = {"version": manifest.version, "sha256": manifest.sha256}
        await self._record(name, "publish", after=published)
        return manifest

    async def set_label(self, name: str, label: str, version: int) -> ModelEntry:
        """Point a label to a version."""
        old = await self._label_fields(name, label)
        await _in_thread(lambda: self._store.set_label(name, label, version))
        await self._record(name, "label", before=old, after=_audit_fields(label, version))
        return await self.get(name)

    async def delete_label(self, name: str, label: str) -> None:
        """Delete a label."""
        old = await self._label_fields(name, label)
        await _in_thread(lambda: self._store.delete_label(name, label))
        await self._record(name, "unlabel", before=old)

    async def remove(self, name: str, version: int) -> None:
        """Delete a version; raise CONFLICT while a server or a live deployment uses it."""
        manifest = await self.manifest(name, str(version))
        async with self._db.read() as session:
            users = await rows.users_of(session, name, version)
        if users:
            message = f"version {version} of '{name}' is in use by {', '.join(users)}"
            raise GatewayError(ErrorCode.CONFLICT, f"{message}: stop or delete it first")
        await _in_thread(lambda: self._store.remove(name, version))
        removed = {"version": version, "sha256": manifest.sha256}
        await self._record(name, "remove", before=removed)

    def close(self) -> None:
        """Start no further verification."""
        self._publishing.shutdown(wait=False, cancel_futures=True)

    def _entry(self, name: str) -> ModelEntry:
        return ModelEntry(
            name=name, versions=self._store.versions(name), labels=self._store.labels(name)
        )

    async def _label_fields(self, name: str, label: str) -> AuditFields:
        labels = await _in_thread(lambda: self._store.labels(name))
        return _audit_fields(label, labels.get(label))

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
            await record_event(
                session,
                action=f"model.{verb}",
                target_kind=AuditTarget.MODEL,
                target_id=name,
                target_name=name,
                before=before,
                after=after,
            )
            await record_change(session, ChangeKind.MODEL, name)


def _audit_fields(label: str, version: int | None) -> AuditFields:
    """Return the fields of a label, whose name is no key: one called `token` would be masked."""
    return {"label": f"{label}: {version or 'nothing'}"}


async def _in_thread(work: Callable[[], T], threads: ThreadPoolExecutor | None = None) -> T:
    """Run blocking work of the store on a thread, and translate its errors; codes are shared."""
    try:
        return await asyncio.get_running_loop().run_in_executor(threads, work)
    except StoreError as error:
        raise GatewayError(error.code, error.message) from error
