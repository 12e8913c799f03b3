"""A session's history: snapshots, going back to one, and going on with another model version."""

from __future__ import annotations

from typing import Any

from app.bundle.manifest import TOKENIZER_FILE, Manifest
from app.core.errors import InvalidInput, ModelMismatch
from app.sessions.access import SessionAccess, iso
from app.sessions.record import NO_ROW, SessionRecord, decode_record, store_key
from app.sessions.schema import SessionInfo, SnapshotInfo, SnapshotList
from app.sessions.stores.store import SessionStore, Snapshot, Write


class SessionHistory:
    def __init__(self, access: SessionAccess) -> None:
        self._access = access

    async def snapshots(self, id: str, owner: str = "") -> SnapshotList:
        await self._access.open(id, owner)
        return SnapshotList.model_construct(
            snapshots=[
                _snapshot_info(snapshot)
                for snapshot in await self._access.store.call(SessionStore.snapshots, store_key(id, owner))
            ]
        )

    async def snapshot(self, id: str, name: str | None = None, owner: str = "") -> SnapshotInfo:
        """Keep the state, under the number of its step where no name is given."""

        def name_of(record: SessionRecord) -> str:
            return name or f"step-{record.step}"

        async def change(record: SessionRecord) -> Write:
            name = name_of(record)
            # A snapshot is a write, so none can come between this look and the write below.
            kept = await self._access.store.call(SessionStore.snapshots, record.key)
            if any(snapshot.name == name for snapshot in kept):
                raise InvalidInput("name", f"session {id!r} has a snapshot named {name!r} already")
            most = self._access.limits.session_max_snapshots
            if sum(not snapshot.automatic for snapshot in kept) >= most:
                text = f"a session keeps at most {most} named snapshots"
                raise InvalidInput("name", text, allowed={"max": most})
            return self._access.replacing(record, record.after(self._access.clock()), name)

        record = await self._access.change(id, owner, change)
        self._access.observe.session("snapshot")
        return _snapshot_info(Snapshot(name_of(record), record.step, False, record.updated_at))

    async def rewind(self, id: str, to: str | int, owner: str = "") -> SessionInfo:
        """Go back to a snapshot, by name or step, or to the start (0)."""
        begun = await self._access.open(id, owner)
        # A snapshot that was taken at the start may be of a model that the session has left since.
        from_start = to == 0 and begun.origin is not None
        target = None if from_start else await self._target(id, to, owner)

        async def change(record: SessionRecord) -> Write:
            if target is None:
                if record.origin is None:
                    raise InvalidInput("to", "this session was opened from a state, so it has no step 0")
                fields: dict[str, Any] = {"step": 0, "row": NO_ROW, "last": None, "context": record.origin}
                fields["memory"] = {}
            elif (target.model, target.graph) != (record.model, record.graph):
                raise ModelMismatch(
                    f"that snapshot belongs to {target.model}, the session is on {record.model}"
                )
            else:
                fields = {
                    name: getattr(target, name) for name in ("step", "row", "last", "context", "memory")
                }
            after = record.after(self._access.clock(), call=None, **fields)
            return self._access.replacing(record, after)

        record = await self._access.change(id, owner, change)
        self._access.observe.session("rewound")
        return self._access.info(record)

    async def migrate(self, id: str, model: str, owner: str = "") -> SessionInfo:
        """Go on with another version of the model, when its rows mean the same."""
        record = await self._access.open(id, owner)
        old = self._access.deployment(record).manifest
        new = self._access.inference.find(old.task, model).manifest
        difference = _difference(old, new)
        if difference is not None:
            raise ModelMismatch(f"a session cannot go from {old.reference} to {new.reference}: {difference}")

        async def change(record: SessionRecord) -> Write:
            after = record.after(self._access.clock(), model=new.reference, graph=new.networks)
            return self._access.replacing(record, after)

        record = await self._access.change(id, owner, change)
        self._access.observe.session("migrated")
        return self._access.info(record)

    async def _target(self, id: str, to: str | int, owner: str) -> SessionRecord | None:
        """The record to go back to; ``None`` for the start."""
        key = store_key(id, owner)
        kept = await self._access.store.call(SessionStore.snapshots, key)
        found = next((snapshot for snapshot in reversed(kept) if to in (snapshot.name, snapshot.step)), None)
        if found is None and to == 0:
            return None
        held = None
        if found is not None:
            held = await self._access.store.call(SessionStore.snapshot, key, found.name)
        if held is None:
            points = ["0 (the start)", *(f"{snapshot.name} (step {snapshot.step})" for snapshot in kept)]
            raise InvalidInput(
                "to",
                f"session {id!r} can go back to {', '.join(points)}",
                allowed=[0, *(snapshot.name for snapshot in kept)],
            )
        return decode_record(id, held.record)


def _snapshot_info(snapshot: Snapshot) -> SnapshotInfo:
    return SnapshotInfo.model_construct(
        name=snapshot.name,
        step=snapshot.step,
        automatic=snapshot.automatic,
        created_at=iso(snapshot.created_at),
    )


def _difference(old: Manifest, new: Manifest) -> str | None:
    """Why a row of one model means nothing to the other, or ``None``."""
    if old.row != new.row:
        return "their state rows are laid out differently"
    if old.graph.input != new.graph.input or old.graph.outputs != new.graph.outputs:
        return "their inputs or outputs differ"
    if old.spec != new.spec:
        return f"they differ in what their outputs mean ({old.task})"
    if old.files.get(TOKENIZER_FILE) != new.files.get(TOKENIZER_FILE):
        return "their tokenizers differ"
    return None
