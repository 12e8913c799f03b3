"""Triton's sequences on sessions: a start opens one, an end closes it, and each request feeds it.

    sequence_start --> close what has the id, open --+
                                                     +--> feed --> (sequence_end) close
    neither        --> the session must be open -----+

A sequence belongs to a model's name, not to a version of it: it stays on the version it began on
while others are loaded. Requests of one sequence that arrive while another one is worked on wait
for their turn, in the order in which they came to this process.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from app.core.errors import (
    DeadlineExceeded,
    InvalidInput,
    RnnserveError,
    SequenceConflict,
    SessionGone,
    UnknownSession,
)
from app.core.tensor import Tensor
from app.protocols.oip.call import Place, TensorCall
from app.protocols.oip.parameters import SequenceParameters
from app.protocols.oip.runs import TensorRun
from app.service.deployment import Deployment
from app.service.inference import InferenceService
from app.sessions.schema import CreateSession
from app.sessions.service import SessionService

logger = logging.getLogger(__name__)

_PLAIN = re.compile(r"[A-Za-z0-9._~-]{1,40}")
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Sequence:
    """Which sequence a request belongs to, and what it is to it.

    Attributes:
        label: the id as the client wrote it.
        session: id of its session.
        start: whether it begins one.
        end: whether it is the last one.
    """

    label: str
    session: str
    start: bool
    end: bool


def sequence_of(parameters: SequenceParameters, model: str) -> Sequence | None:
    """The sequence that a request's parameters name, or ``None``.

    Args:
        parameters: of the request.
        model: name of the model, without a version.

    Raises:
        InvalidInput: a start or an end without an id.
    """
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
    """The session of a sequence, another one for each model, kind of id and id.

    ``v2.MODEL.n.42``, ``v2.MODEL.s.text``, or ``v2.MODEL.h.DIGEST`` for a text that no session id can hold.
    """
    if isinstance(sequence, int):
        return f"v2.{model}.n.{sequence}"
    if _PLAIN.fullmatch(sequence):
        return f"v2.{model}.s.{sequence}"
    return f"v2.{model}.h.{hashlib.blake2b(sequence.encode(), digest_size=16).hexdigest()}"


class Sequences:
    """Applies requests to sequences.

    Args:
        inference: the served models.
        sessions: where sequences are kept.
        wait_s: how long a request waits for those before it.
    """

    def __init__(self, inference: InferenceService, sessions: SessionService, wait_s: float) -> None:
        self._inference = inference
        self._sessions = sessions
        self._turns = _Turns(wait_s)

    async def deployment(
        self, sequence: Sequence, asked: Deployment, owner: str, *, pinned: bool
    ) -> Deployment:
        """The version that a sequence is on.

        Args:
            sequence: of the request.
            asked: who would answer a request by itself.
            owner: of the sequence.
            pinned: whether the request named the version.

        Raises:
            InvalidInput: the sequence has not begun, or is on another version than the one named.
        """
        name = asked.manifest.name
        served = [one for one in self._inference.deployments.values() if one.manifest.name == name]
        if sequence.start or len(served) == 1:
            return asked
        try:
            info = await self._sessions.view(sequence.session, owner)
        except (UnknownSession, SessionGone):
            raise _not_begun(sequence, name) from None
        found = self._inference.deployments.get(info.model)
        if found is None or (pinned and found is not asked):
            raise InvalidInput(
                "sequence_id",
                f"sequence {sequence.label} is on {info.model}, which does not answer this; start it anew",
            )
        return found

    async def apply(self, sequence: Sequence, call: TensorCall[Any], run: TensorRun) -> list[Tensor]:
        """Feed a sequence, and begin or end it where the request says so.

        Raises:
            InvalidInput: the sequence has not begun; or the request is wrong, and changed nothing.
            SequenceConflict: another process fed it at the same time.
        """
        async with self._turns.of(sequence.session):
            place = Place(sequence.session, 1 if sequence.start else None)
            run.check(call, place)
            if sequence.start:
                tensors = await self._start(place, call, run)
            else:
                try:
                    tensors = await run.step(call, place)
                except (UnknownSession, SessionGone):
                    raise _not_begun(sequence, call.deployment.manifest.name) from None
            if sequence.end:
                await self._close(place.id, call.owner)
            return tensors

    async def _start(self, place: Place, call: TensorCall[Any], run: TensorRun) -> list[Tensor]:
        # What would be refused is refused before an older sequence of this id is ended.
        options, row = run.options(call), run.row(call)
        if row is not None:
            self._sessions.check(call.deployment, options, row)
        await self._open(place.id, call, options)
        try:
            return await run.step(call, place)
        except RnnserveError:
            await self._close(place.id, call.owner)
            raise

    async def _open(self, id: str, call: TensorCall[Any], options: dict[str, Any]) -> None:
        request = CreateSession.model_construct(model=call.model, id=id, options=options)
        for attempt in range(_ATTEMPTS):
            try:
                await self._sessions.create(request, call.owner)
                return
            except SequenceConflict:
                if attempt == _ATTEMPTS - 1:
                    raise
            with suppress(UnknownSession, SessionGone):
                await self._sessions.close(id, call.owner)

    async def _close(self, id: str, owner: str) -> None:
        """End a session; where that fails its answer is still good, and its time runs out by itself."""
        try:
            with suppress(UnknownSession, SessionGone):
                await self._sessions.close(id, owner)
        except RnnserveError as error:
            logger.warning("a sequence could not be closed and will expire: %s", error.message)


@dataclass(slots=True)
class _Turn:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class _Turns:
    """One request of a sequence at a time, in the order in which they came."""

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._held: dict[str, _Turn] = {}

    @asynccontextmanager
    async def of(self, id: str) -> AsyncIterator[None]:
        turn = self._held.setdefault(id, _Turn())
        turn.users += 1
        try:
            try:
                async with asyncio.timeout(self._wait_s):
                    await turn.lock.acquire()
            except TimeoutError:
                raise DeadlineExceeded("other requests of this sequence took too long") from None
            try:
                yield
            finally:
                turn.lock.release()
        finally:
            turn.users -= 1
            if not turn.users:
                del self._held[id]


def _not_begun(sequence: Sequence, model: str) -> InvalidInput:
    return InvalidInput(
        "sequence_id",
        f"inference request for sequence {sequence.label} to model {model!r} must specify the START flag "
        "on the first request of the sequence",
    )
