"""Triton's sequences on sessions: a start opens one, an end closes it, and each request feeds it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from weakref import WeakValueDictionary

from app.core.errors import (
    DeadlineExceeded,
    InvalidInput,
    RnnserveError,
    SequenceConflict,
    SessionGone,
    UnknownSession,
)
from app.protocols.oip.run import TensorCall, TensorRuns
from app.protocols.oip.schema import SequenceParameters
from app.service.catalog import Deployment
from app.service.inference import InferenceService
from app.sessions.schema import CreateSession
from app.tasks.tensor_table import Tensor

logger = logging.getLogger(__name__)

_PLAIN = re.compile(r"[A-Za-z0-9._~-]{1,40}")
_ATTEMPTS = 5
_ENDED = (UnknownSession, SessionGone)


@dataclass(frozen=True, slots=True)
class Sequence:
    id: str
    session: str
    start: bool
    end: bool


def sequence_of(parameters: SequenceParameters, model: str) -> Sequence | None:
    given = parameters.sequence_id
    if given in (0, ""):
        if parameters.sequence_start or parameters.sequence_end:
            raise InvalidInput(
                "sequence_id",
                f"inference request to model {model!r} must specify a non-zero or non-empty correlation ID",
            )
        return None
    return Sequence(str(given), session_id(given, model), parameters.sequence_start, parameters.sequence_end)


def session_id(sequence: int | str, model: str) -> str:
    """``v2.MODEL.n.42``, ``v2.MODEL.s.text``, or ``v2.MODEL.h.DIGEST`` for what no session id can hold."""
    if isinstance(sequence, int):
        return f"v2.{model}.n.{sequence}"
    if _PLAIN.fullmatch(sequence):
        return f"v2.{model}.s.{sequence}"
    return f"v2.{model}.h.{hashlib.blake2b(sequence.encode(), digest_size=16).hexdigest()}"


class Sequences:
    """Applies requests to sequences; each waits at most ``wait_s`` for those before it."""

    def __init__(self, inference: InferenceService, runs: TensorRuns, wait_s: float) -> None:
        self._inference = inference
        self._runs = runs
        self._wait_s = wait_s
        # Whoever holds or awaits a lock keeps it here.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def deployment(
        self, sequence: Sequence, asked: Deployment, owner: str, *, pinned: bool
    ) -> Deployment:
        """The version that a sequence is on; ``asked`` is who would answer a request by itself."""
        sessions, name = self._runs.sessions, asked.manifest.name
        served = self._inference.catalog.deployments
        if sequence.start or len(self._inference.catalog.versions(name)) == 1:
            return asked
        try:
            info = await sessions.view(sequence.session, owner)
        except _ENDED:
            raise _not_begun(sequence, name) from None
        found = served.get(info.model)
        if found is None or (pinned and found is not asked):
            raise InvalidInput(
                "sequence_id",
                f"sequence {sequence.id} is on {info.model}, which does not answer this; start it anew",
            )
        return found

    async def apply(self, sequence: Sequence, call: TensorCall) -> list[Tensor]:
        """Feed a sequence, and begin or end it where the request says so; a wrong request changes nothing."""
        async with self._turn(sequence.session):
            seq = 1 if sequence.start else None
            feed = self._runs.plan(call, seq)
            if sequence.start:
                # What would be refused is refused before an older sequence of this id is ended.
                await self._open(sequence.session, call, feed[0])
            try:
                tensors = await self._runs.step(call, feed, sequence.session, seq)
            except RnnserveError as error:
                if sequence.start:
                    await self._close(sequence.session, call.owner)
                elif isinstance(error, _ENDED):
                    raise _not_begun(sequence, call.deployment.manifest.name) from None
                raise
            if sequence.end:
                await self._close(sequence.session, call.owner)
            return tensors

    @asynccontextmanager
    async def _turn(self, session: str) -> AsyncIterator[None]:
        """One request of a sequence at a time, in the order in which they came to this process."""
        lock = self._locks.setdefault(session, asyncio.Lock())
        try:
            async with asyncio.timeout(self._wait_s):
                await lock.acquire()
        except TimeoutError:
            raise DeadlineExceeded("other requests of this sequence took too long") from None
        try:
            yield
        finally:
            lock.release()

    async def _open(self, id: str, call: TensorCall, row: object) -> None:
        sessions, options = self._runs.sessions, call.table.options(call.parameters)
        if row is not None:
            await sessions.check(call.deployment, options, row)
        model = call.deployment.manifest.reference
        request = CreateSession.model_construct(model=model, id=id, options=options)
        for attempt in range(_ATTEMPTS):
            try:
                await sessions.create(request, call.owner)
                return
            except SequenceConflict:
                if attempt == _ATTEMPTS - 1:
                    raise
            with suppress(*_ENDED):
                await sessions.close(id, call.owner)

    async def _close(self, id: str, owner: str) -> None:
        """End a session; where that fails its answer is still good, and it expires by itself."""
        try:
            with suppress(*_ENDED):
                await self._runs.sessions.close(id, owner)
        except RnnserveError as error:
            logger.warning("a sequence could not be closed and will expire: %s", error.message)


def _not_begun(sequence: Sequence, model: str) -> InvalidInput:
    return InvalidInput(
        "sequence_id",
        f"inference request for sequence {sequence.id} to model {model!r} must specify the START flag "
        "on the first request of the sequence",
    )
