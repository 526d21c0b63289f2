"""The model store, off the event loop, with the gateway's errors, and changes told to all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gateway.errors import GatewayError
from gateway.models import store as rows
from gateway.models.pins import Pin
from gateway.storage.audit_events import AuditFields, AuditTarget, record_event
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.database import Database
from gateway.storage.paging import Page, PageRequest
from model_store.errors import StoreError
from model_store.manifest import Manifest
from model_store.store import ModelStore
from model_store.verification import Verifier
from protos.errors import ErrorCode

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model, and the versions that there are."""

    name: str
    versions: list[int]
    """Ascending."""
    labels: Mapping[str, int]


class ModelService:
    """Models belong to the installation: every manager sees all of them."""

    def __init__(self, db: Database, store: ModelStore, verifier: Verifier) -> None:
        self._db = db
        self._store = store
        self._verifier = verifier

    async def page(self, request: PageRequest) -> Page[ModelEntry]:
        """Return a page of models in the order of their names; the cursor is a name."""
        after = request.cursor or ""

        def look() -> Page[ModelEntry]:
            names = [name for name in self._store.names() if name > after]
            items = [self._entry(name) for name in names[: request.limit]]
            more = len(names) > request.limit
            return Page(items=items, next_cursor=items[-1].name if more else None)

        return await _in_thread(look)

    async def get(self, name: str) -> ModelEntry:
        """Return one model, or raise NOT_FOUND."""
        entry = await _in_thread(lambda: self._entry(name))
        if not entry.versions:
            raise GatewayError(ErrorCode.NOT_FOUND, f"there is no model '{name}' in the store")
        return entry

    async def resolve(self, name: str, spec: str = "latest") -> int:
        """Return the version that `latest`, a number or a label means, or raise NOT_FOUND."""
        return await _in_thread(lambda: self._store.resolve(name, spec))

    async def manifest(self, name: str, spec: str = "latest") -> Manifest:
        """Return what is known about a version, or raise NOT_FOUND."""
        return await _in_thread(lambda: self._store.manifest(name, self._store.resolve(name, spec)))

    async def pin(self, name: str, spec: str = "latest") -> Pin:
        """Return the version that `spec` means now, to be kept; raise NOT_FOUND."""
        return Pin.of(await self.manifest(name, spec))

    async def publish(self, source: Path, name: str, version: int | None = None) -> Manifest:
        """Copy a model file, or a folder with model.onnx, into the store.

        Raises:
            GatewayError: INVALID_MODEL, INVALID_REQUEST or CONFLICT; nothing is left behind.
        """
        manifest = await _in_thread(
            lambda: self._store.publish(source, name, version=version, verifier=self._verifier)
        )
        published = {"version": manifest.version, "sha256": manifest.sha256}
        await self._tell(name, "publish", after=published)
        return manifest

    async def set_label(self, name: str, label: str, version: int) -> ModelEntry:
        """Let a label mean a version."""
        old = await self._labelled(name, label)
        await _in_thread(lambda: self._store.set_label(name, label, version))
        await self._tell(name, "label", before=old, after=_meaning(label, version))
        return await self.get(name)

    async def delete_label(self, name: str, label: str) -> None:
        """Forget a label."""
        old = await self._labelled(name, label)
        await _in_thread(lambda: self._store.delete_label(name, label))
        await self._tell(name, "unlabel", before=old)

    async def remove(self, name: str, version: int) -> None:
        """Delete a version; raise CONFLICT while something serves it or is deployed with it."""
        manifest = await self.manifest(name, str(version))
        async with self._db.read() as session:
            users = await rows.users_of(session, name, version)
        if users:
            message = f"version {version} of '{name}' is in use by {', '.join(users)}"
            raise GatewayError(ErrorCode.CONFLICT, f"{message}: stop or delete that first")
        await _in_thread(lambda: self._store.remove(name, version))
        removed = {"version": version, "sha256": manifest.sha256}
        await self._tell(name, "remove", before=removed)

    def _entry(self, name: str) -> ModelEntry:
        return ModelEntry(
            name=name, versions=self._store.versions(name), labels=self._store.labels(name)
        )

    async def _labelled(self, name: str, label: str) -> AuditFields:
        labels = await _in_thread(lambda: self._store.labels(name))
        return _meaning(label, labels.get(label))

    async def _tell(
        self,
        name: str,
        verb: str,
        *,
        before: AuditFields | None = None,
        after: AuditFields | None = None,
    ) -> None:
        """Write down what the store, which is files and not of the transaction, has just done."""
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


def _meaning(label: str, version: int | None) -> AuditFields:
    """Return what the trail tells of a label. Not by its name: one called `token` is no secret."""
    return {"label": f"{label}: {version or 'nothing'}"}


async def _in_thread(work: Callable[[], T]) -> T:
    """Run blocking work of the store; its errors carry the same codes as the gateway's."""
    try:
        return await asyncio.to_thread(work)
    except StoreError as error:
        raise GatewayError(error.code, error.message) from error
