"""Generating from a session's state.

    state + prompt --task.resume--> sequences --engine--> frames --(advance)--> steps of the session

A state that has consumed tokens knows the distribution of the next one: its last output. So the
first token is drawn from that, and the engine goes on from there; text and seed are the same
as if the whole history had been sent as a prompt.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from app.core.errors import InvalidInput, RnnserveError, SequenceConflict
from app.core.ports import Ticket
from app.core.sequence import Event, Finished, FinishReason, SequenceRequest, Token, Tokens, Usage
from app.runtime.sampling import SamplingBatch, draw
from app.service.call import Call, RequestObserver, outcome_of
from app.service.generation import GenerationStream, whole_answer
from app.service.inference import Deployment, InferenceService, draw_seed
from app.service.resume import ResumePoint, first_point, origin_mark
from app.service.run import Run
from app.sessions.access import SessionAccess, stored_of
from app.sessions.limits import SessionLimits
from app.sessions.observer import SessionObserver
from app.sessions.record import LastCall, SessionRecord
from app.sessions.schema import GenerateFromState, SessionDoneFrame, SessionText
from app.sessions.steps.stepping import Stepper, advanced, check_seq, digest_of
from app.sessions.stores.store import AsyncStore, Write
from app.tasks.decoded.schema import DoneFrame, Frame
from app.tasks.generate.schema import GenerateAnswer
from app.tasks.generate.task import GenerateTask


class SessionGenerator:
    """Generates from sessions.

    Args:
        access: opens sessions.
        inference: the served models.
        stepper: applies what was generated.
        store: where sessions are.
        limits: of a call.
        observe: counts sessions.
        requests: counts requests.
    """

    def __init__(
        self,
        access: SessionAccess,
        inference: InferenceService,
        stepper: Stepper,
        store: AsyncStore,
        limits: SessionLimits,
        observe: SessionObserver,
        requests: RequestObserver,
    ) -> None:
        self._access = access
        self._inference = inference
        self._stepper = stepper
        self._store = store
        self._limits = limits
        self._observe = observe
        self._requests = requests

    async def generate(self, id: str, request: GenerateFromState, owner: str = "") -> bytes:
        """The whole answer, a :class:`SessionText` as JSON bytes.

        Raises:
            InvalidInput: the session's model generates no text, or a field is wrong.
            SequenceConflict: ``seq`` is not the next one, or the session moved on meanwhile.
        """
        record = await self._access.open(id, owner)
        stored = check_seq(record, request.seq, _digest(request))
        if stored is not None:
            self._observe.session("replayed")
            return stored
        stream = self._start(record, request, None)
        try:
            answer = await whole_answer(aiter(stream), request)
            body = _as_text(answer, _step_after(record, request, stream))
            if request.advance:
                await self._advance(record, stream.tokens, request, body)
            return body
        finally:
            stream.cancel()

    async def stream(
        self, id: str, request: GenerateFromState, owner: str = "", point: ResumePoint | None = None
    ) -> SessionStream:
        """The same as frames; the done frame comes after the session has advanced.

        Args:
            id: of the session.
            request: what to continue, and how.
            owner: of the session.
            point: go on behind this place of an earlier answer to the same request.

        Raises:
            SequenceConflict: the session has moved on since, or ``seq`` is not the next one.
        """
        record = await self._access.open(id, owner)
        if check_seq(record, request.seq, _digest(request)) is not None:
            raise SequenceConflict(
                f"seq {request.seq} was applied before; ask without stream for its answer",
                step=record.step,
                expected=record.step + 1,
            )
        if point is not None and point.origin != _origin(record):
            raise SequenceConflict(
                f"session {id!r} is not where the text began that this event belongs to",
                step=record.step,
                expected=record.step + 1,
            )
        return SessionStream(self, record, request, self._start(record, request, point))

    async def finish(
        self, record: SessionRecord, request: GenerateFromState, stream: GenerationStream, frames: list[Frame]
    ) -> SessionDoneFrame:
        """Advance the session after the last frame, where that was asked for."""
        step = _step_after(record, request, stream)
        if request.advance:
            answer = await whole_answer(_each([*stream.skipped, *frames]), request)
            await self._advance(record, stream.tokens, request, _as_text(answer, step))
        return SessionDoneFrame.model_construct(**dict(frames[-1]), step=step)

    def _start(
        self, record: SessionRecord, request: GenerateFromState, point: ResumePoint | None
    ) -> GenerationStream:
        call = Call(self._requests, "generate", record.model)
        try:
            deployment = self._access.deployment(record)
            call.model = deployment.manifest.reference
            task = deployment.task
            if not isinstance(task, GenerateTask):
                raise InvalidInput(
                    "id", f"session {record.id!r} is on {record.model}, which generates no text"
                )
            if point is not None:
                point.check(request, call.model)
            seed = draw_seed() if point is None else point.seed
            prepared = task.resume(request, seed, begun=record.last is not None)
            point = point or first_point(request, call.model, prepared.seed, _origin(record))
            most = len(prepared.prompt) + request.max_tokens
            if request.advance and most > self._limits.max_call_steps:
                raise InvalidInput(
                    "max_tokens",
                    f"with advance, prompt and text may be {self._limits.max_call_steps} tokens, not {most}",
                    allowed={"max": self._limits.max_call_steps - len(prepared.prompt)},
                )
            ticket = self._submit(deployment, record, prepared.sequences)
        except RnnserveError as error:
            call.report(outcome_of(error))
            raise
        return GenerationStream(call.model, task, prepared, ticket, call, point)

    def _submit(
        self, deployment: Deployment, record: SessionRecord, sequences: list[SequenceRequest]
    ) -> Ticket:
        deadline = self._inference.deadline(self._limits.request_timeout_s)
        start = record.row if record.row.size else None
        placed = [replace(one, start=start) for one in sequences]
        if len(placed[0].steps) or record.last is None:
            return deployment.engine.submit(placed, deadline)
        events, going = first_tokens(record.last, placed)
        inner = deployment.engine.submit([one for _, one in going], deadline) if going else None
        return ContinuedTicket(events, inner, [choice for choice, _ in going])

    async def _advance(
        self, record: SessionRecord, tokens: list[int], request: GenerateFromState, body: bytes
    ) -> None:
        """Feed what was generated to the session, as one call."""
        if not tokens:
            return
        deployment = self._access.deployment(record)
        encoded = self._stepper.encode(deployment, record.context, record.step, tokens)
        run = Run(deployment, record.row if record.row.size else None, encoded.steps)
        await self._stepper.run([run])
        call = LastCall(record.step + 1, _digest(request), body)
        after = advanced(record, run, encoded.context, record.step + len(tokens), call, self._access.clock())
        (written,) = await self._store.write(
            [Write(record.key, record.revision, stored_of(after), keep_automatic=self._limits.keep_automatic)]
        )
        if not written.ok:
            self._observe.session("conflict")
            now = self._access.decode(record.id, written.current, record.owner)
            raise SequenceConflict(
                f"session {record.id!r} moved on while the text was generated; it was not kept",
                step=now.step,
                expected=now.step + 1,
            )
        self._observe.session_steps(record.model, len(tokens))


class SessionStream:
    """Frames of a generation from a session; see :class:`~app.service.generation.GenerationStream`."""

    def __init__(
        self,
        generator: SessionGenerator,
        record: SessionRecord,
        request: GenerateFromState,
        stream: GenerationStream,
    ) -> None:
        self._generator = generator
        self._record = record
        self._request = request
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[Frame]:
        frames: list[Frame] = []
        async for frame in self._stream:
            if self._request.advance or isinstance(frame, DoneFrame):
                frames.append(frame)
            if isinstance(frame, DoneFrame):
                yield await self._generator.finish(self._record, self._request, self._stream, frames)
            else:
                yield frame

    @property
    def event_id(self) -> str:
        """See :class:`~app.service.generation.GenerationStream`."""
        return self._stream.event_id

    def stop(self) -> None:
        """End the generation early; the session keeps what was given out."""
        self._stream.stop()

    def cancel(self) -> None:
        """Give the generation up; the session stays as it was."""
        self._stream.cancel()


class ContinuedTicket:
    """A ticket whose sequences had their first tokens before they reached the engine.

    Args:
        events: what is known already: (choice, event).
        inner: of the sequences that go on, or ``None`` when none does.
        choices: which choice each of the inner sequences is.
    """

    def __init__(self, events: list[tuple[int, Event]], inner: Ticket | None, choices: list[int]) -> None:
        self._known = events
        self._inner = inner
        self._choices = choices

    async def events(self) -> list[tuple[int, Event]]:
        """The known events first; see :class:`~app.core.ports.Ticket`."""
        if self._known or self._inner is None:
            known, self._known = self._known, []
            return known
        return [(self._choices[index], event) for index, event in await self._inner.events()]

    def wake(self) -> None:
        """End the present or next wait early."""
        if self._inner is not None:
            self._inner.wake()

    def cancel(self) -> None:
        """Give the sequences up."""
        if self._inner is not None:
            self._inner.cancel()


def first_tokens(
    logits: NDArray[np.float32], sequences: list[SequenceRequest]
) -> tuple[list[tuple[int, Event]], list[tuple[int, SequenceRequest]]]:
    """Draw the first token of each sequence from a state's last output.

    Args:
        logits: ``[vocabulary]``.
        sequences: without supplied steps.

    Returns:
        The events so far, and the sequences that go on, each with its choice.
    """
    feedbacks = [one.feedback for one in sequences if one.feedback is not None]
    table = np.repeat(logits[None], len(feedbacks), axis=0)
    samplings = [feedback.sampling for feedback in feedbacks]
    asked = [-1 if one.alternatives is None else one.alternatives for one in samplings]
    batch = SamplingBatch(
        np.array([one.temperature for one in samplings], np.float64),
        np.array([one.top_k for one in samplings], np.int64),
        np.array([one.top_p for one in samplings], np.float64),
        np.array([one.seed for one in samplings], np.uint64),
        np.array([one.first_position for one in samplings], np.uint64),
        np.array(asked, np.int64),
    )
    tokens = draw(table, batch, [feedback.banned for feedback in feedbacks])
    events: list[tuple[int, Event]] = []
    going: list[tuple[int, SequenceRequest]] = []
    for choice, (token, feedback) in enumerate(zip(tokens, feedbacks, strict=True)):
        if token.id in feedback.end_tokens:
            events.append((choice, Finished(FinishReason.END, Usage())))
            continue
        events.append((choice, Tokens([token])))
        if feedback.stop is not None and feedback.stop(token.id):
            events.append((choice, Finished(FinishReason.STOP, Usage(produced=1))))
        elif feedback.max_tokens == 1:
            events.append((choice, Finished(FinishReason.LENGTH, Usage(produced=1))))
        else:
            rest = replace(
                feedback,
                max_tokens=feedback.max_tokens - 1,
                sampling=replace(feedback.sampling, first_position=feedback.sampling.first_position + 1),
            )
            following = replace(sequences[choice], steps=_step(token), feedback=rest)
            going.append((choice, following))
    return events, going


def _step(token: Token) -> NDArray[np.int64]:
    return np.array([token.id], np.int64)


async def _each(frames: list[Frame]) -> AsyncIterator[Frame]:
    for frame in frames:
        yield frame


def _step_after(record: SessionRecord, request: GenerateFromState, stream: GenerationStream) -> int:
    return record.step + (len(stream.tokens) if request.advance else 0)


def _as_text(answer: GenerateAnswer, step: int) -> bytes:
    text = SessionText.model_construct(**dict(answer), step=step)
    return text.__pydantic_serializer__.to_json(text)


def _origin(record: SessionRecord) -> str:
    last = b"" if record.last is None else record.last.tobytes()
    return origin_mark(record.graph.encode(), record.row.tobytes(), last)


def _digest(request: GenerateFromState) -> str:
    return digest_of(request.model_dump(exclude={"stream", "seq"}))
