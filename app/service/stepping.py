"""Applying steps to sessions: read, check, run, write as one group, then answer.

    calls -> store.get -> check seq -> encode -> engine -> store.write (compare-and-set) -> answers

Every method takes many calls, so that a connection which carries many sessions pays for one
read, one submission and one write; a single call is a batch of one. Each call is answered on its
own. The compare-and-set alone decides who wins: nothing here is locked, so any process may
serve any session.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from app.core.errors import (
    InvalidInput,
    NotFinite,
    RnnserveError,
    SequenceConflict,
    StateQuarantined,
)
from app.core.sequence import Failed, Finished, Outputs, Read, SequenceRequest
from app.core.session import Snapshot, Write, Written
from app.schemas.session_limits import SessionLimits
from app.service.inference import Deployment, InferenceService
from app.service.session_access import Outcome, SessionAccess, stored_of
from app.service.session_store import AsyncStore, SessionObserver
from app.sessions.lifecycle import SessionEvent
from app.sessions.record import LastCall, SessionRecord, encode_record
from app.tasks.streaming import EncodedInputs


@dataclass(frozen=True, slots=True, eq=False)
class StepCall:
    """One call on one session.

    Attributes:
        id: of the session.
        inputs: in the task's own terms.
        seq: number of the first step it writes, or ``None`` for at most once.
    """

    id: str
    inputs: Any
    seq: int | None = None


@dataclass(slots=True, eq=False)
class Run:
    """One sequence on its way through the engine: what goes in, and what came out.

    Attributes:
        error: set instead of ``row`` and ``outputs`` when it failed.
    """

    deployment: Deployment
    start: NDArray[np.float32] | None
    encoded: EncodedInputs
    row: NDArray[np.float32] | None = None
    outputs: list[NDArray[np.float32]] = field(default_factory=list)
    error: RnnserveError | None = None

    def request(self) -> SequenceRequest:
        """What the engine is asked for."""
        return SequenceRequest(self.encoded.steps, Read.ALL, start=self.start, keep_row=True)

    @property
    def read(self) -> NDArray[np.float32]:
        """All outputs, ``[time, ...]``."""
        return self.outputs[0] if len(self.outputs) == 1 else np.concatenate(self.outputs)


@dataclass(slots=True, eq=False)
class _Pending:
    """A call that has passed its checks."""

    place: int
    call: StepCall
    digest: str
    record: SessionRecord
    run: Run


class Stepper:
    """Applies steps.

    Args:
        access: opens sessions.
        inference: the served models.
        store: where sessions are.
        limits: of a call.
        observe: counts.
    """

    def __init__(
        self,
        access: SessionAccess,
        inference: InferenceService,
        store: AsyncStore,
        limits: SessionLimits,
        observe: SessionObserver,
    ) -> None:
        self._access = access
        self._inference = inference
        self._store = store
        self._limits = limits
        self._observe = observe

    async def steps(self, calls: Sequence[StepCall], owner: str) -> list[Outcome]:
        """Apply calls, each on its own; those on one session in their order.

        A call without ``seq`` behind a failed one of its session fails with it, since nothing
        says that it still belongs where it would be put.

        Raises:
            StoreUnavailable: the store does not answer; with ``seq`` it is safe to send again.
        """
        outcomes: list[Outcome | None] = [None] * len(calls)
        rounds: dict[int, list[int]] = defaultdict(list)
        seen: dict[str, int] = defaultdict(int)
        for place, call in enumerate(calls):
            rounds[seen[call.id]].append(place)
            seen[call.id] += 1
        failed: dict[str, RnnserveError] = {}
        for places in rounds.values():
            going: list[int] = []
            for place in places:
                call = calls[place]
                if call.seq is None and call.id in failed:
                    outcomes[place] = failed[call.id]
                else:
                    going.append(place)
            await self._round(calls, going, outcomes, owner)
            for place in going:
                outcome = outcomes[place]
                if isinstance(outcome, RnnserveError):
                    failed[calls[place].id] = outcome
        if any(outcome is None for outcome in outcomes):
            raise AssertionError("every call has an outcome. This is a bug.")
        return [outcome for outcome in outcomes if outcome is not None]

    async def _round(
        self, calls: Sequence[StepCall], places: list[int], outcomes: list[Outcome | None], owner: str
    ) -> None:
        stored = await self._store.get([calls[place].id for place in places])
        pending: list[_Pending] = []
        for place, held in zip(places, stored, strict=True):
            call = calls[place]
            try:
                record = self._access.decode(call.id, held, owner)
                ready = self._check(place, call, record)
            except RnnserveError as error:
                outcomes[place] = error
                continue
            if isinstance(ready, _Pending):
                pending.append(ready)
            else:
                outcomes[place] = ready
        await self.run([one.run for one in pending])
        done: list[tuple[_Pending, bytes, SessionRecord]] = []
        for one in pending:
            if one.run.error is not None:
                outcomes[one.place] = self._failure(one)
                continue
            answer, after = self._applied(one)
            done.append((one, answer, after))
        if not done:
            return
        written = await self._store.write([self._write(one.record, after) for one, _, after in done])
        for (one, answer, _), result in zip(done, written, strict=True):
            outcomes[one.place] = answer if result.ok else self._lost(one, result, owner)
            if result.ok:
                self._observe.session_steps(one.record.model, len(one.run.encoded.reported))

    def _check(self, place: int, call: StepCall, record: SessionRecord) -> _Pending | bytes:
        """The call as a run, or the stored answer when it is a retry."""
        digest = digest_of(call.inputs)
        stored = check_seq(record, call.seq, digest)
        if stored is not None:
            self._observe.session("replayed")
            return stored
        deployment = self._access.deployment(record)
        encoded = self.encode(deployment, record.context, record.step, call.inputs)
        start = record.row if record.row.size else None
        return _Pending(place, call, digest, record, Run(deployment, start, encoded))

    def encode(
        self, deployment: Deployment, context: dict[str, Any], step: int, inputs: Any
    ) -> EncodedInputs:
        """Inputs to steps, within the limit of a call.

        Raises:
            InvalidInput: the inputs are wrong or too many.
        """
        encoded = deployment.stream.encode(context, step, inputs)
        if len(encoded.reported) > self._limits.max_call_steps:
            raise InvalidInput(
                "inputs",
                f"a call may hold at most {self._limits.max_call_steps} steps, got {len(encoded.reported)}",
                allowed={"max": self._limits.max_call_steps},
            )
        return encoded

    async def run(self, runs: Sequence[Run]) -> None:
        """Run sequences on their engines, side by side; outcomes are put into the runs."""
        groups: dict[str, list[Run]] = defaultdict(list)
        for one in runs:
            groups[one.deployment.manifest.reference].append(one)
        deadline = self._inference.deadline(self._limits.request_timeout_s)
        submitted = []
        try:
            for members in groups.values():
                requests = [one.request() for one in members]
                try:
                    ticket = members[0].deployment.engine.submit(requests, deadline)
                except RnnserveError as error:
                    _fail(members, error)
                    continue
                submitted.append((ticket, members))
            for ticket, members in submitted:
                left = len(members)
                while left:
                    for index, event in await ticket.events():
                        one = members[index]
                        if isinstance(event, Outputs):
                            one.outputs.append(event.values[0])
                        elif isinstance(event, Finished):
                            one.row, left = event.row, left - 1
                        elif isinstance(event, Failed):
                            one.error, left = event.error, left - 1
        finally:
            for ticket, _ in submitted:
                ticket.cancel()

    def _failure(self, one: _Pending) -> RnnserveError:
        error = one.run.error
        if isinstance(error, NotFinite):
            self._observe.session("quarantined")
            return StateQuarantined(
                f"this step made the state of session {one.call.id!r} not finite; it was not applied, "
                f"and the session stays at step {one.record.step}"
            )
        if error is None:
            raise AssertionError("a failure has an error. This is a bug.")
        return error

    def _applied(self, one: _Pending) -> tuple[bytes, SessionRecord]:
        outputs = one.run.read
        described = one.run.deployment.stream.describe(one.run.encoded, one.record.last, outputs)
        return applied(one.record, one.run, described, one.digest, self._access.clock())

    def _write(self, before: SessionRecord, after: SessionRecord) -> Write:
        """The group member that stores a step, with an automatic snapshot where one is due."""
        every = self._limits.snapshot_every
        snapshot = None
        if every and after.step // every > before.step // every:
            name = f"step-{after.step}"
            snapshot = Snapshot(name, after.step, True, after.updated_at, encode_record(after))
        return Write(
            after.id,
            before.revision,
            stored_of(after),
            snapshot=snapshot,
            keep_automatic=self._limits.keep_automatic,
        )

    def _lost(self, one: _Pending, result: Written, owner: str) -> Outcome:
        """Somebody else wrote first: their answer, if it was this very call, or a conflict."""
        try:
            record = self._access.decode(one.call.id, result.current, owner)
            stored = check_seq(record, one.call.seq, one.digest)
        except RnnserveError as error:
            self._observe.session("conflict")
            return error
        if stored is not None:
            self._observe.session("replayed")
            return stored
        self._observe.session("conflict")
        return SequenceConflict(
            f"another call on session {one.call.id!r} was applied first",
            step=record.step,
            expected=record.step + 1,
        )


def applied(
    record: SessionRecord, run: Run, outputs: list[dict[str, Any]], digest: str, now: float
) -> tuple[bytes, SessionRecord]:
    """The answer of a call that ran, as JSON bytes, and the record after it."""
    seq, step = record.step + 1, record.step + len(run.encoded.reported)
    answer = orjson.dumps({"seq": seq, "step": step, "outputs": outputs})
    return answer, advanced(record, run, step, LastCall(seq, digest, answer), now)


def advanced(record: SessionRecord, run: Run, step: int, call: LastCall, now: float) -> SessionRecord:
    """The record after a run."""
    return record.after(
        SessionEvent.STEP,
        now,
        step=step,
        row=run.row,
        last=run.read[-1],
        context=run.encoded.context,
        call=call,
    )


def check_seq(record: SessionRecord, seq: int | None, digest: str) -> bytes | None:
    """The stored answer when ``seq`` and inputs are the last call's; ``None`` when the call is due.

    Raises:
        SequenceConflict: it is neither.
    """
    if seq is None or seq == record.step + 1:
        return None
    if record.call is not None and seq == record.call.seq:
        if record.call.digest == digest:
            return record.call.answer
        raise SequenceConflict(
            f"seq {seq} was applied with other inputs; the next is {record.step + 1}",
            step=record.step,
            expected=record.step + 1,
        )
    raise SequenceConflict(
        f"the session holds step {record.step}, so the next seq is {record.step + 1}, not {seq}",
        step=record.step,
        expected=record.step + 1,
    )


def digest_of(inputs: Any) -> str:
    """Tells the inputs of one call from another's; equal JSON values have equal digests.

    Raises:
        InvalidInput: the inputs hold an integer that no JSON writer of ours can hold.
    """
    try:
        data = orjson.dumps(inputs, option=orjson.OPT_SORT_KEYS)
    except (TypeError, orjson.JSONEncodeError) as error:
        raise InvalidInput("inputs", "a number is too large or a text is not valid Unicode") from error
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _fail(runs: Sequence[Run], error: RnnserveError) -> None:
    for one in runs:
        one.error = error
