"""Applying steps to sessions: read, check, run, write as one group, then answer.

    lines --cache, store.get--> chains --engines--> store.write (compare-and-set) --> answers

A round takes the calls of many sessions, whoever sent them, so that all pay for one read, one
submission and one write. Calls on one session that are due together form a chain: one sequence,
one write, an answer for each. Each call is answered on its own. The compare-and-set alone decides
who wins: nothing here is locked, so any process may serve any session.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any

import orjson

from app.core.errors import (
    InvalidInput,
    NotFinite,
    RnnserveError,
    SequenceConflict,
    StateQuarantined,
    StoreUnavailable,
)
from app.service.call import outcome_of
from app.service.deployment import Deployment
from app.service.inference import InferenceService
from app.service.run import Run, run_all
from app.sessions.access import SessionAccess, stored_of
from app.sessions.limits import SessionLimits
from app.sessions.observer import SessionObserver
from app.sessions.record import LastCall, SessionRecord
from app.sessions.steps.cache import RecordCache
from app.sessions.steps.calls import Outcome, PendingStep, StepCall, StepClock, StepLine
from app.sessions.steps.coalesced import Chain, answers
from app.sessions.steps.queue import StepQueue
from app.sessions.stores.store import AsyncStore, Snapshot, Write, Written
from app.tasks.session import EncodedInputs


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
        self._cache = RecordCache(limits.cache_bytes)
        self._queue = StepQueue(self._round)

    async def steps(
        self, calls: Sequence[StepCall], owner: str, clock: StepClock | None = None
    ) -> list[Outcome]:
        """Apply calls, each on its own; those on one session in their order.

        A call without ``seq`` behind a failed one of its session fails with it, since nothing
        says that it still belongs where it would be put.

        Args:
            calls: of any sessions.
            owner: of the sessions.
            clock: is told where the time goes.

        Raises:
            StoreUnavailable: the store answered none of them; with ``seq`` it is safe to send
                them again.
            Overloaded: too many calls wait.
        """
        began = time.perf_counter()
        try:
            outcomes = await self._queue.steps(calls, owner, clock)
            away = [one for one in outcomes if isinstance(one, StoreUnavailable)]
            if away and len(away) == len(outcomes):
                raise away[0]
        except RnnserveError as error:
            self._observe.session_calls(0, [outcome_of(error)] * len(calls), time.perf_counter() - began)
            raise
        failed = [outcome_of(one) for one in outcomes if not isinstance(one, bytes)]
        self._observe.session_calls(len(calls) - len(failed), failed, time.perf_counter() - began)
        return outcomes

    def forget(self, key: str) -> None:
        """Keep no record of a session that has ended."""
        self._cache.drop(key)

    async def close(self) -> None:
        """Take no more calls and give up those that wait."""
        await self._queue.close()

    async def _round(self, lines: Sequence[StepLine]) -> None:
        """Apply the next chain of every line."""
        chains = await self._open(lines)
        if not chains:
            return
        await self.run([chain.begin() for chain in chains])
        applied = [chain for chain in chains if self._ran(chain)]
        said = answers(applied)
        now = self._access.clock()
        after = [_after(chain, own[-1], now) for chain, own in zip(applied, said, strict=True)]
        writes = [self._write(chain.record, record) for chain, record in zip(applied, after, strict=True)]
        try:
            written = await self._store.write(writes)
        except BaseException:
            for chain in applied:  # nobody knows whether it was written
                self._cache.drop(chain.line.key)
            raise
        stored: dict[str, int] = {}
        for chain, own, record, one in zip(applied, said, after, written, strict=True):
            if one.ok:
                self._cache.put(chain.line.key, record)
                chain.line.settle_begun(own)
                stored[record.model] = stored.get(record.model, 0) + record.step - chain.record.step
            else:
                self._lost(chain, one)
        for model, count in stored.items():
            self._observe.session_steps(model, count)

    async def _open(self, lines: Sequence[StepLine]) -> list[Chain]:
        """What each line's next chain is; calls that need no run are settled."""
        chains: list[Chain] = []
        unsure: list[StepLine] = []
        for line in lines:
            record = self._cache.get(line.key)
            chain = None if record is None else self._cached_chain(line, record)
            if chain is None:
                unsure.append(line)
            else:
                chains.append(chain)
        held = await self._store.get([line.key for line in unsure]) if unsure else []
        for line, stored in zip(unsure, held, strict=True):
            try:
                record = self._access.decode(line.id, stored, line.owner)
                chain = Chain(line, record, self._access.deployment(record), cached=False)
            except RnnserveError as error:
                self._cache.drop(line.key)
                line.fail(error)
                continue
            self._cache.put(line.key, record)
            self._gather(chain)
            if chain.links:
                chains.append(chain)
        return chains

    def _cached_chain(self, line: StepLine, record: SessionRecord) -> Chain | None:
        """The chain that a record of the cache allows; ``None`` where the store has to be read."""
        if record.expires_at <= self._access.clock():
            return None
        try:
            chain = Chain(line, record, self._access.deployment(record), cached=True)
        except RnnserveError:
            return None
        self._gather(chain)
        return chain if chain.links else None

    def _gather(self, chain: Chain) -> None:
        """Begin the calls that can be applied now; settle those that cannot be.

        From a record that may be out of date nothing is settled: what needs no write would not be
        checked by anything.
        """
        line = chain.line
        while (pending := line.front()) is not None:
            seq = pending.call.seq
            if chain.links and (pending.alone or (seq is not None and seq != chain.step + 1)):
                return  # the record that the links leave behind decides about this call
            found: EncodedInputs | Outcome
            try:
                found = self._due(chain, pending)
            except RnnserveError as error:
                found = error
            if not isinstance(found, EncodedInputs):
                if chain.cached:
                    return
                line.settle_front(found)
                continue
            if chain.links and chain.length + len(found.steps) > self._limits.max_call_steps:
                return
            try:
                pending.charge(len(found.steps))
            except RnnserveError as error:
                line.settle_front(error)
                continue
            chain.append(pending, found)
            line.begin()

    def _due(self, chain: Chain, pending: PendingStep) -> EncodedInputs | bytes:
        """The inputs of a call that is to be applied, or the stored answer of one that was.

        Raises:
            RnnserveError: it can be neither.
        """
        call = pending.call
        if call.seq is None and (failed := pending.group.failed.get(chain.line.key)) is not None:
            raise failed
        if pending.digest is None:
            pending.digest = digest_of(call.inputs)
        if not chain.links and (stored := check_seq(chain.record, call.seq, pending.digest)) is not None:
            if not chain.cached:
                self._observe.session("replayed")
            return stored
        return self.encode(chain.deployment, chain.context, chain.step, call.inputs)

    def _ran(self, chain: Chain) -> bool:
        """Whether a chain's run succeeded; one that failed is parted, so that its good calls stay good."""
        error = None if chain.run is None else chain.run.error
        if error is None:
            if chain.run is not None:
                chain.note(chain.run.usage)
            return True
        if len(chain.links) > 1:
            chain.line.put_back(alone=True)
        else:
            chain.line.settle_begun([self._failure(chain.record, error)])
        return False

    def encode(
        self, deployment: Deployment, context: dict[str, Any], step: int, inputs: Any
    ) -> EncodedInputs:
        """Inputs to steps, within the limit of a call.

        Raises:
            InvalidInput: the inputs are wrong or too many.
        """
        encoded: EncodedInputs = deployment.model.session.encode(context, step, inputs)
        if len(encoded.reported) > self._limits.max_call_steps:
            raise InvalidInput(
                "inputs",
                f"a call may hold at most {self._limits.max_call_steps} steps, got {len(encoded.reported)}",
                allowed={"max": self._limits.max_call_steps},
            )
        return encoded

    async def run(self, runs: Sequence[Run]) -> None:
        """Run sequences on their engines within the time of a request."""
        await run_all(runs, self._inference.deadline(self._limits.request_timeout_s))

    def _failure(self, record: SessionRecord, error: RnnserveError) -> RnnserveError:
        if not isinstance(error, NotFinite):
            return error
        self._observe.session("quarantined")
        return StateQuarantined(
            f"this step made the state of session {record.id!r} not finite; it was not applied, "
            f"and the session stays at step {record.step}"
        )

    def _write(self, before: SessionRecord, after: SessionRecord) -> Write:
        """The group member that stores a step, with an automatic snapshot where one is due."""
        every = self._limits.snapshot_every
        stored = stored_of(after)
        snapshot = None
        if every and after.step // every > before.step // every:
            snapshot = Snapshot(f"step-{after.step}", after.step, True, after.updated_at, stored.record)
        return Write(
            after.key,
            before.revision,
            stored,
            snapshot=snapshot,
            keep_automatic=self._limits.keep_automatic,
        )

    def _lost(self, chain: Chain, written: Written) -> None:
        """Somebody else wrote first."""
        self._cache.drop(chain.line.key)
        if chain.cached:
            # They may have written long ago; begin again from what the store holds.
            chain.line.put_back(alone=False)
            return
        chain.line.settle_begun(
            [self._outrun(chain, link.pending.call, link.digest, written) for link in chain.links]
        )

    def _outrun(self, chain: Chain, call: StepCall, digest: str, written: Written) -> Outcome:
        """Their answer, if it was this very call, or a conflict."""
        try:
            record = self._access.decode(chain.line.id, written.current, chain.line.owner)
            stored = check_seq(record, call.seq, digest)
        except RnnserveError as error:
            self._observe.session("conflict")
            return error
        if stored is not None:
            self._observe.session("replayed")
            return stored
        self._observe.session("conflict")
        return SequenceConflict(
            f"another call on session {call.id!r} was applied first",
            step=record.step,
            expected=record.step + 1,
        )


def _after(chain: Chain, answer: bytes, now: float) -> SessionRecord:
    """The record behind all links of a chain."""
    if chain.run is None:
        raise AssertionError("a chain is stored after its run. This is a bug.")
    link = chain.links[-1]
    call = LastCall(link.seq, link.digest, answer)
    return advanced(chain.record, chain.run, chain.context, chain.step, call, now)


def advanced(
    record: SessionRecord, run: Run, context: dict[str, Any], step: int, call: LastCall, now: float
) -> SessionRecord:
    """The record after a run.

    Raises:
        RnnserveError: the run failed.
    """
    row, outputs = run.result()
    # A view would keep the outputs of the whole block alive.
    return record.stepped(now, step, row, outputs[-1].copy(), context, call)


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
