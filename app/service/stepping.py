"""Applying steps to sessions: read, check, run, write as one group, then answer.

    calls -> store.get -> chains -> engine -> store.write (compare-and-set) -> answers

Every method takes many calls, so that a connection which carries many sessions pays for one
read, one submission and one write; a single call is a batch of one. Calls on one session that
arrive together form a chain: one sequence, one write, an answer for each. Each call is answered
on its own. The compare-and-set alone decides who wins: nothing here is locked, so any process
may serve any session.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import orjson

from app.core.errors import (
    InvalidInput,
    NotFinite,
    RnnserveError,
    SequenceConflict,
    StateQuarantined,
)
from app.core.sequence import Failed, Finished, Outputs
from app.core.session import Snapshot, Write, Written
from app.schemas.session_limits import SessionLimits
from app.service.chain import Chain, Link, Outcome, Run, StepBatch, StepCall
from app.service.inference import Deployment, InferenceService
from app.service.session_access import SessionAccess, stored_of
from app.service.session_store import AsyncStore, SessionObserver
from app.sessions.lifecycle import SessionEvent
from app.sessions.record import LastCall, SessionRecord, encode_record
from app.tasks.streaming import EncodedInputs


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
        batch = StepBatch(calls, owner)
        while batch.waiting:
            await self._round(batch)
        if any(outcome is None for outcome in batch.outcomes):
            raise AssertionError("every call has an outcome. This is a bug.")
        return [outcome for outcome in batch.outcomes if outcome is not None]

    async def _round(self, batch: StepBatch) -> None:
        """Apply the next chain of every session that has calls left."""
        ids = list(batch.waiting)
        chains: list[Chain] = []
        for id, held in zip(ids, await self._store.get(ids), strict=True):
            try:
                record = self._access.decode(id, held, batch.owner)
                chain = Chain(record, self._access.deployment(record))
            except RnnserveError as error:
                batch.fail_all(id, error)
                continue
            self._gather(batch, chain)
            if chain.links:
                chains.append(chain)
        await self.run([chain.begin() for chain in chains])
        applied = [chain for chain in chains if self._ran(batch, chain)]
        answers = [chain.answers() for chain in applied]
        after = [self._after(chain, said[-1]) for chain, said in zip(applied, answers, strict=True)]
        writes = [self._write(chain.record, record) for chain, record in zip(applied, after, strict=True)]
        for chain, said, written in zip(applied, answers, await self._store.write(writes), strict=True):
            for link, answer in zip(chain.links, said, strict=True):
                outcome = answer if written.ok else self._lost(batch, link, written)
                batch.settle(link.place, outcome)
            if written.ok:
                self._observe.session_steps(chain.record.model, chain.step - chain.record.step)

    def _gather(self, batch: StepBatch, chain: Chain) -> None:
        """Move calls that can be applied now from the batch into the chain; settle those that cannot be."""
        id = chain.record.id
        waiting = batch.waiting[id]
        while waiting:
            place = waiting[0]
            call = batch.calls[place]
            due = chain.step + 1
            if chain.links and (id in batch.one_by_one or (call.seq is not None and call.seq != due)):
                return  # the record that the links leave behind decides about this call
            try:
                if call.seq is None and id in batch.failed:
                    raise batch.failed[id]
                digest = digest_of(call.inputs)
                if not chain.links and (stored := check_seq(chain.record, call.seq, digest)) is not None:
                    self._observe.session("replayed")
                    waiting.popleft()
                    batch.settle(place, stored)
                else:
                    encoded = self.encode(chain.deployment, chain.context, chain.step, call.inputs)
                    if chain.links and chain.length + len(encoded.steps) > self._limits.max_call_steps:
                        return
                    chain.links.append(Link(place, due, digest, encoded, chain.length))
                    waiting.popleft()
            except RnnserveError as error:
                waiting.popleft()
                batch.settle(place, error)

    def _ran(self, batch: StepBatch, chain: Chain) -> bool:
        """Whether a chain's run succeeded; one that failed is parted, so that its good calls stay good."""
        error = None if chain.run is None else chain.run.error
        if error is None:
            return True
        id = chain.record.id
        if len(chain.links) > 1:
            batch.one_by_one.add(id)
            batch.put_back(id, [link.place for link in chain.links])
        else:
            batch.settle(chain.links[0].place, self._failure(chain.record, error))
        return False

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

    def _failure(self, record: SessionRecord, error: RnnserveError) -> RnnserveError:
        if not isinstance(error, NotFinite):
            return error
        self._observe.session("quarantined")
        return StateQuarantined(
            f"this step made the state of session {record.id!r} not finite; it was not applied, "
            f"and the session stays at step {record.step}"
        )

    def _after(self, chain: Chain, answer: bytes) -> SessionRecord:
        if chain.run is None:
            raise AssertionError("a chain is stored after its run. This is a bug.")
        link = chain.links[-1]
        call = LastCall(link.seq, link.digest, answer)
        return advanced(chain.record, chain.run, chain.context, chain.step, call, self._access.clock())

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

    def _lost(self, batch: StepBatch, link: Link, written: Written) -> Outcome:
        """Somebody else wrote first: their answer, if it was this very call, or a conflict."""
        call = batch.calls[link.place]
        try:
            record = self._access.decode(call.id, written.current, batch.owner)
            stored = check_seq(record, call.seq, link.digest)
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


def advanced(
    record: SessionRecord, run: Run, context: dict[str, Any], step: int, call: LastCall, now: float
) -> SessionRecord:
    """The record after a run."""
    return record.after(
        SessionEvent.STEP,
        now,
        step=step,
        row=run.row,
        last=run.read[-1],
        context=context,
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
