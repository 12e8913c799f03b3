"""Actions of tasks on sessions: answers from a state, and runs that go on from it.

    state + request --action.look---> answer
    state + request --action.start--> sequences --engine--> frames --(advance)--> steps of the session

What goes on from a state gives the same as if the whole history had been sent at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from app.core.errors import InvalidInput, SequenceConflict
from app.core.large_answers import json_of
from app.core.offload import offloaded
from app.service.catalog import Deployment
from app.service.stream import TaskStream
from app.sessions.access import SessionAccess
from app.sessions.record import LastCall, SessionRecord
from app.sessions.steps.stepping import Stepper, check_seq, digest_of
from app.tasks.model import ResumePoint
from app.tasks.session import SessionAction, SessionView


class SessionActions:
    def __init__(self, access: SessionAccess, stepper: Stepper) -> None:
        self._access = access
        self._stepper = stepper

    async def answer(self, id: str, action: SessionAction, request: Any, owner: str = "") -> bytes:
        """The whole answer as JSON bytes."""
        record = await self._access.open(id, owner)
        if action.look is not None:
            deployment = self._access.deployment(record)
            self._check(record, deployment, action)
            return await json_of(action.look(await deployment.loaded(), self._view(record), request))
        digest = _digest(request)
        stored = check_seq(record, request.seq, digest)
        if stored is not None:
            self._access.observe.session("replayed")
            return stored
        stream = await self._start(record, action, request, None)
        try:
            said = await stream.whole()
            kept = _kept(action, stream, request)
            body = await json_of(_ended(action, said, record.step + len(kept)))
            await self.advance(record, kept, digest, body, numbered=request.seq is not None)
            return body
        finally:
            stream.cancel()

    async def stream(
        self, id: str, action: SessionAction, request: Any, owner: str = "", point: ResumePoint | None = None
    ) -> SessionStream | LastFrame:
        """The same as frames; the last one comes after the session has advanced.

        ``point``: go on behind this place of an earlier answer to the same request.
        """
        record = await self._access.open(id, owner)
        digest = _digest(request)
        stored = check_seq(record, request.seq, digest)
        moved_on = point is not None and point.origin != _mark(record)
        if point is not None and (stored is not None or moved_on):
            last = _kept_frame(record, action, request, digest, point)
            if last is not None:
                return last
        if stored is not None:
            text = f"seq {request.seq} was applied before; ask without stream for its answer"
        elif moved_on:
            text = f"session {id!r} is not where the text began that this event belongs to"
        else:
            stream = await self._start(record, action, request, point)
            return SessionStream(self, record, action, request, stream)
        raise SequenceConflict(text, record.step)

    def _check(self, record: SessionRecord, deployment: Deployment, action: SessionAction) -> None:
        if action.name not in (known.name for known in deployment.task.actions):
            raise InvalidInput("id", f"session {record.id!r} is on {record.model}, which {action.lacking}")

    def _view(self, record: SessionRecord) -> SessionView:
        return SessionView(
            record.id,
            record.model,
            record.step,
            record.context,
            record.row if record.row.size else None,
            record.last,
            _mark(record),
            self._access.limits.session_max_call_steps,
        )

    async def _start(
        self, record: SessionRecord, action: SessionAction, request: Any, point: ResumePoint | None
    ) -> TaskStream:
        with self._access.inference.call(action.name, record.model) as call:
            deployment = self._access.deployment(record)
            call.asks(deployment)
            self._check(record, deployment, action)
            model = await deployment.loaded()
            assert action.start is not None
            cost_ms, view = model.milliseconds(request), self._view(record)
            start = await offloaded(cost_ms, action.start, model, view, request, point)
            return await self._access.inference.started(deployment, start, call)

    async def advance(
        self, record: SessionRecord, kept: list[Any], digest: str, body: bytes, *, numbered: bool
    ) -> None:
        """Feed what was produced to the session, as one call."""
        if not kept:
            return
        deployment = self._access.deployment(record)
        fed, _ = await self._stepper.feed(deployment, record, kept)
        call = LastCall(record.step + 1, digest, body)
        after = record.stepped(
            self._access.clock(), fed.step, fed.row, fed.last, fed.context, call, fed.memory
        )
        write = self._access.replacing(record, after, numbered=numbered)
        (written,) = await self._access.store.write([write])
        if written.behind or written.unsure:
            raise await self._stepper.lost_steps.refusal(record, written)
        if not written.ok:
            self._access.observe.session("conflict")
            now = self._access.decode(record.id, written.current, record.owner)
            raise SequenceConflict(
                f"session {record.id!r} moved on while the text was generated; it was not kept", now.step
            )
        self._access.observe.session_steps(record.model, fed.step - record.step)


@dataclass(frozen=True, slots=True, eq=False)
class SessionStream:
    """Frames of an action that goes on from a session."""

    actions: SessionActions
    record: SessionRecord
    action: SessionAction
    request: Any
    inner: TaskStream

    async def __aiter__(self) -> AsyncIterator[Any]:
        frames: list[BaseModel] = []
        async for frame in self.inner:
            last = not isinstance(frame, self.action.frames[:-1])
            if last or self.request.advance:
                frames.append(frame)
            if last:
                frame = await self._finish(frames)
            yield frame

    async def _finish(self, frames: list[BaseModel]) -> BaseModel:
        """The last frame, once the session has advanced where that was asked for."""
        kept = _kept(self.action, self.inner, self.request)
        step = self.record.step + len(kept)
        if kept:
            body = await json_of(_ended(self.action, self.inner.assembler.answer(frames), step))
            numbered = self.request.seq is not None
            await self.actions.advance(self.record, kept, _digest(self.request), body, numbered=numbered)
        return _ended(self.action, frames[-1], step)

    @property
    def event_id(self) -> str | None:
        return self.inner.event_id

    def stop(self) -> None:
        """End the stream early; the session keeps what was given out."""
        self.inner.stop()

    def cancel(self) -> None:
        """Give the stream up; the session stays as it was."""
        self.inner.cancel()


@dataclass(frozen=True, slots=True, eq=False)
class LastFrame:
    """The last frame again, of a stream whose session has advanced and whose reader lost that frame alone."""

    frame: BaseModel
    event_id: str

    async def __aiter__(self) -> AsyncIterator[Any]:
        yield self.frame

    def cancel(self) -> None:
        pass


def _kept_frame(
    record: SessionRecord, action: SessionAction, request: Any, digest: str, point: ResumePoint
) -> LastFrame | None:
    call = record.call
    if (
        action.again is None
        or call is None
        or call.digest != digest
        or not point.is_of(request, record.model)
    ):
        return None
    found = action.again(call.answer, point)
    return None if found is None else LastFrame(*found)


def _kept(action: SessionAction, stream: TaskStream, request: Any) -> list[Any]:
    return action.kept(stream.assembler) if request.advance and action.kept is not None else []


def _ended(action: SessionAction, said: BaseModel, step: int) -> BaseModel:
    return said if action.ending is None else action.ending(said, step)


def _mark(record: SessionRecord) -> str:
    """Tells one state from all others."""
    digest = hashlib.blake2b(digest_size=4)
    last = b"" if record.last is None else record.last.tobytes()
    for part in (record.graph.encode(), record.row.tobytes(), last):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def _digest(request: BaseModel) -> str:
    return digest_of(request.model_dump(exclude={"stream", "seq"}))
