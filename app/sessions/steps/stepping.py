"""Applying calls to sessions: read, check, run, write as one group, then answer.

The compare-and-set alone decides who wins: nothing here is locked, so any process may serve any session.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import orjson

from app.access.principal import CURRENT, Principal
from app.core.errors import InvalidInput, NotFinite, RnnserveError, SequenceConflict, StateQuarantined
from app.core.sequence import Source
from app.service.catalog import Deployment
from app.sessions.access import SessionAccess, as_json
from app.sessions.portable import PortableState
from app.sessions.record import LastCall, SessionRecord
from app.sessions.steps.calls import Outcome, PendingCall, SessionQueue
from app.sessions.steps.lost_steps import LostSteps
from app.sessions.steps.record_cache import RecordCache
from app.sessions.steps.run import Run, RunCall, SessionRun, answers, run_all
from app.sessions.stores.store import Write, Written
from app.tasks.session import AppliedInputs, Context, EncodedInputs, Output

logger = logging.getLogger(__name__)


class Stepper:
    def __init__(self, access: SessionAccess) -> None:
        self._access = access
        self._limits = access.limits
        self._cache = RecordCache(access.limits.session_cache_bytes)
        self.lost_steps = LostSteps(access)

    def forget(self, key: str) -> None:
        self._cache.drop(key)

    async def apply(self, queues: Sequence[SessionQueue]) -> None:
        """Apply the calls at the head of each queue that can run together."""
        sessions = await self._open(queues)
        if not sessions:
            return
        runs = [*map(SessionRun.sequence, sessions)]
        await run_all(runs, self._access.inference.deadline())
        applied: list[tuple[SessionRun, Run]] = []
        for session, run in zip(sessions, runs, strict=True):
            if run.error is not None:
                self._failed(session, run.error)
                continue
            applied.append((session, run))
            for call in session.calls:
                if call.pending.submission.clock is not None:
                    call.pending.submission.clock.add(run.usage)
        answered = answers(applied)
        now = self._access.clock()
        records: list[SessionRecord] = []
        writes: list[Write] = []
        every = self._limits.session_snapshot_every
        for (session, run), of_session in zip(applied, answered, strict=True):
            row, outputs = run.result()
            last, output = session.calls[-1], None
            if last.encoded.keep_output:
                # A view would keep the outputs of the whole block alive.
                output = outputs[-1].copy() if len(outputs) else session.record.last
            applied_call = LastCall(last.seq, last.pending.digest, of_session[-1])
            after = session.record.stepped(
                now, session.step, row, output, session.context, applied_call, session.memory
            )
            due = every and after.step // every > session.record.step // every
            name = f"step-{after.step}" if due else None
            records.append(after)
            write = self._access.replacing(
                session.record, after, name, automatic=True, numbered=session.numbered
            )
            writes.append(write)
        try:
            written = await self._access.store.write(writes)
        except BaseException:
            for session, _ in applied:  # nobody knows whether it was written
                self._cache.drop(session.queue.key)
            raise
        num_steps: dict[str, int] = {}
        for (session, _), of_session, record, outcome in zip(
            applied, answered, records, written, strict=True
        ):
            if not outcome.ok:
                await self._lost(session, outcome)
                continue
            self._cache.put(session.queue.key, record)
            session.queue.finish(of_session)
            num_steps[record.model] = num_steps.get(record.model, 0) + record.step - session.record.step
        for model, count in num_steps.items():
            self._access.observe.session_steps(model, count)

    async def _open(self, queues: Sequence[SessionQueue]) -> list[SessionRun]:
        """What is to run of each queue; calls that need no run are settled."""
        sessions: list[SessionRun] = []
        unsure: list[SessionQueue] = []
        for queue in queues:
            record = self._cache.get(queue.key)
            session = None
            if record is not None and record.expires_at > self._access.clock():
                try:
                    session = self._coalesce(queue, record, cached=True)
                except RnnserveError:
                    session = None  # the store's record decides
            if session is None and queue.needed is None:
                unsure.append(queue)
            elif session is not None:
                sessions.append(session)
        held = await self._access.store.get([queue.key for queue in unsure]) if unsure else []
        for queue, stored in zip(unsure, held, strict=True):
            known = self._cache.get(queue.key)
            if known is not None:
                stored = await self.lost_steps.compare(queue, known, stored)
            try:
                record = self._access.decode(queue.id, stored, queue.owner)
                session = self._coalesce(queue, record, cached=False)
            except RnnserveError as error:
                self._cache.drop(queue.key)
                queue.fail(error)
                continue
            self._cache.put(queue.key, record)
            if session is not None:
                sessions.append(session)
        return sessions

    def _coalesce(self, queue: SessionQueue, record: SessionRecord, *, cached: bool) -> SessionRun | None:
        """The calls that run together, if any; those that cannot run are settled.

        From a record that may be out of date nothing is settled: what needs no write would not be
        checked by anything.
        """
        deployment = self._access.deployment(record)
        if queue.pinned is not deployment:
            if queue.pinned is not None:
                queue.let_go()
            queue.pinned, deployment.uses = deployment, deployment.uses + 1
        if deployment.model is None:
            queue.needed = deployment.load
            return None
        session = SessionRun(
            queue, record, deployment, cached, record.step, record.context, dict(record.memory)
        )
        while (pending := queue.first()) is not None:
            seq = pending.call.seq
            if session.calls and (pending.alone or (seq is not None and seq != session.step + 1)):
                break  # the record that these calls leave behind decides about this one
            found: EncodedInputs | Outcome
            try:
                found = self._due(session, pending)
            except RnnserveError as error:
                found = error
            if isinstance(found, EncodedInputs):
                if session.calls and session.length + len(found.steps) > self._limits.session_max_call_steps:
                    break
                # A batch serves many callers, so no context says whose steps these are.
                principal = pending.submission.principal
                source = found.source
                if source is not None and not queue.attends_to(source):
                    if not session.calls:
                        queue.needed = partial(self._encode, queue, deployment, source, principal)
                    break
                try:
                    if principal is not None and principal.counts_steps and not pending.charged:
                        principal.take_steps(len(found.steps))
                        pending.charged = True
                except RnnserveError as error:
                    found = error
                else:
                    session.add(pending, found)
                    continue
            elif cached:
                break
            queue.waiting.popleft()
            pending.settle(found)
        return session if session.calls else None

    async def _encode(
        self, queue: SessionQueue, deployment: Deployment, source: Source, principal: Principal | None
    ) -> None:
        """Have what a session attends to before its steps run, at the expense of who calls first."""
        CURRENT.set(principal)
        inference = self._access.inference
        lease = await inference.encoded.lease(deployment, [source], inference.deadline())
        if queue.lease is not None:
            queue.lease.close()
        queue.lease, queue.source = lease, source

    def _due(self, session: SessionRun, pending: PendingCall) -> EncodedInputs | bytes:
        """The inputs of a call that is to run, or the stored answer of one that did."""
        call = pending.call
        if call.seq is None and session.queue.key in pending.submission.failed:
            # A queued call without seq fails when the call before it failed: its position would be a guess.
            raise pending.submission.failed[session.queue.key]
        if isinstance(call.inputs, list) and len(call.inputs) > self._limits.session_max_call_steps:
            raise self._too_long(call.inputs)
        if not pending.digest:
            pending.digest = digest_of(call.inputs)
        if not session.calls:
            stored = check_seq(session.record, call.seq, pending.digest)
            if stored is not None:
                if not session.cached:
                    self._access.observe.session("replayed")
                return stored
        return self.encode(session.deployment, session.context, session.step, call.inputs)

    def encode(self, deployment: Deployment, context: Context, step: int, inputs: Any) -> EncodedInputs:
        """Inputs to steps, within the limit of a call."""
        # A list that is too long is refused before anything is made of it; a text shows its steps only then.
        if isinstance(inputs, list) and len(inputs) > self._limits.session_max_call_steps:
            raise self._too_long(inputs)
        encoded: EncodedInputs = deployment.model.session.encode(context, step, inputs)
        if len(encoded.reported) > self._limits.session_max_call_steps:
            raise self._too_long(encoded.reported)
        return encoded

    def _too_long(self, inputs: Sequence[Any]) -> InvalidInput:
        most = self._limits.session_max_call_steps
        text = f"a call may hold at most {most} steps, got {len(inputs)}"
        return InvalidInput("inputs", text, allowed={"max": most})

    async def feed(
        self, deployment: Deployment, state: SessionRecord | PortableState, inputs: Any
    ) -> tuple[PortableState, list[Output]]:
        """Run inputs from a state: the state after them, and what is said of them."""
        of_session = (await deployment.loaded()).session
        encoded = self.encode(deployment, state.context, state.step, inputs)
        run = Run(deployment, state.row if state.row.size else None, encoded.steps)
        inference = self._access.inference
        deadline, lease = inference.deadline(), None
        try:
            if encoded.source is not None:
                lease = await inference.encoded.lease(deployment, [encoded.source], deadline)
                run.attend(lease.encoded[0])
            await run_all([run], deadline)
        finally:
            if lease is not None:
                lease.close()
        row, outputs = run.result()
        memory = dict(state.memory)
        (said,) = of_session.describe([AppliedInputs(encoded, state.last, outputs, memory)])
        last = outputs[-1].copy() if len(outputs) else state.last
        last = last if encoded.keep_output else None
        step = state.step + len(encoded.reported)
        after = PortableState(state.model, state.graph, step, encoded.context, row, last, memory)
        return after, said

    def _failed(self, session: SessionRun, error: RnnserveError) -> None:
        """A run failed: its calls are tried again one by one, so that good ones stay good."""
        if len(session.calls) > 1:
            session.queue.retry(alone=True)
            return
        if isinstance(error, NotFinite):
            self._access.observe.session("quarantined")
            error = StateQuarantined(
                f"this step made the state of session {session.record.id!r} not finite; it was not applied, "
                f"and the session stays at step {session.record.step}"
            )
        session.queue.finish([error])

    async def _lost(self, session: SessionRun, written: Written) -> None:
        self._cache.drop(session.queue.key)
        if written.behind or written.unsure:
            error = await self.lost_steps.refusal(session.record, written)
            session.queue.retry(alone=False)
            session.queue.refuse_unnumbered(error)
        elif session.cached:
            # They may have written long ago; begin again from what the store holds.
            session.queue.retry(alone=False)
            await self.lost_steps.compare(session.queue, session.record, written.current)
        else:
            session.queue.finish([self._outrun(session, call, written) for call in session.calls])

    def _outrun(self, session: SessionRun, call: RunCall, written: Written) -> Outcome:
        """Their answer, if it was this very call, or a conflict."""
        try:
            record = self._access.decode(session.queue.id, written.current, session.queue.owner)
            stored = check_seq(record, call.pending.call.seq, call.pending.digest)
        except RnnserveError as error:
            self._access.observe.session("conflict")
            return error
        if stored is not None:
            self._access.observe.session("replayed")
            return stored
        self._access.observe.session("conflict")
        return SequenceConflict(
            f"another call on session {session.queue.id!r} was applied first", record.step
        )


def check_seq(record: SessionRecord, seq: int | None, digest: str) -> bytes | None:
    """The stored answer when ``seq`` and inputs are the last call's; ``None`` when the call is due."""
    if seq is None or seq == record.step + 1:
        return None
    if record.call is not None and seq == record.call.seq:
        if record.call.digest == digest:
            return record.call.answer
        raise SequenceConflict(
            f"seq {seq} was applied with other inputs; the next is {record.step + 1}", record.step
        )
    raise SequenceConflict(
        f"the session holds step {record.step}, so the next seq is {record.step + 1}, not {seq}", record.step
    )


def digest_of(inputs: Any) -> str:
    """Equal JSON values have equal digests."""
    data = as_json("inputs", inputs, orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(data, digest_size=16).hexdigest()
