"""Sequences that hold slots, as the graph sees them: gather rows, run, draw tokens, scatter rows."""

from __future__ import annotations

import mmap
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.bundle.manifest import AttendedSpec
from app.core.errors import RunFailed
from app.core.plan import BatchResult, DecodeBatch, PrefillBatch
from app.core.sequence import FinishReason, Read, SequenceRequest, StopRule, Token
from app.runtime.attended import Attended, gathered
from app.runtime.runner import Runner, row_errors
from app.runtime.sampling import Sampler, SamplingBatch


class Slots:
    """One entry for each slot: its row ``[S]``, what is still to be fed, and how tokens are drawn.

    ``cursor`` counts supplied steps consumed, ``position`` is that of the next token to be drawn, ``last``
    the token that was drawn last. Who owns which slot is the engine's business.
    """

    def __init__(self, num_slots: int, start: NDArray[np.float32]) -> None:
        self._start = np.ascontiguousarray(start, np.float32)
        # A mapping of its own: rows that no sequence has held take no memory.
        pages = mmap.mmap(-1, 4 * num_slots * start.size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.rows = np.frombuffer(pages, np.float32).reshape(num_slots, start.size)
        self.requests: list[SequenceRequest | None] = [None] * num_slots
        self.cursor = np.zeros(num_slots, np.int64)
        self.position = np.zeros(num_slots, np.uint64)
        self.last = np.zeros(num_slots, np.int64)
        self._temperature = np.ones(num_slots, np.float64)
        self._top_k = np.zeros(num_slots, np.int64)
        self._top_p = np.ones(num_slots, np.float64)
        self._seed = np.zeros(num_slots, np.uint64)
        self._alternatives = np.full(num_slots, -1, np.int64)

    def admit(self, slot: int, request: SequenceRequest) -> None:
        self.rows[slot] = self._start if request.start is None else request.start
        self.requests[slot] = request
        self.cursor[slot] = 0
        if request.feedback is not None:
            sampling = request.feedback.sampling
            self._temperature[slot] = sampling.temperature
            self._top_k[slot] = sampling.top_k
            self._top_p[slot] = sampling.top_p
            self._seed[slot] = sampling.seed
            self._alternatives[slot] = -1 if sampling.alternatives is None else sampling.alternatives
            self.position[slot] = sampling.first_position

    def requests_of(self, slots: NDArray[np.intp]) -> list[SequenceRequest]:
        found = [request for slot in slots.tolist() if (request := self.requests[slot]) is not None]
        if len(found) != len(slots):
            raise AssertionError("only slots that sequences hold are planned. This is a bug.")
        return found

    def sampling(self, slots: NDArray[np.intp]) -> SamplingBatch:
        return SamplingBatch(
            self._temperature[slots],
            self._top_k[slots],
            self._top_p[slots],
            self._seed[slots],
            self.position[slots],
            self._alternatives[slots],
        )


class SequenceRuns:
    """``attended``: of a graph that attends."""

    def __init__(
        self, runner: Runner, dtype: np.dtype[np.generic], slots: Slots, attended: AttendedSpec | None = None
    ) -> None:
        self._runner = runner
        self._attended = attended
        self._dtype = dtype
        self._slots = slots
        self._groups: dict[int, _DecodeGroup] = {}

    def prefill(self, batch: PrefillBatch) -> BatchResult:
        slots = self._slots
        indices = np.array(batch.slots, np.intp)
        requests = slots.requests_of(indices)
        if batch.length == 0:
            given = [request.first_logits for request in requests]
            logits = np.stack([first for first in given if first is not None])
            return self._draw_first(indices, list(range(batch.rows)), logits, BatchResult(), {})
        steps = np.empty((batch.rows, batch.length, *requests[0].steps.shape[1:]), self._dtype)
        for row, (request, cursor) in enumerate(zip(requests, slots.cursor[indices].tolist(), strict=True)):
            steps[row] = request.steps[cursor : cursor + batch.length]
        attended = None if self._attended is None else _attended(requests, self._attended)
        run = self._runner.run(steps, slots.rows.take(indices, axis=0), _head_from(batch), attended)
        errors = row_errors(run, [run.rows, *run.outputs])
        if run.failed:
            good = np.ones(batch.rows, np.bool_)
            for first, last, _ in run.failed:
                good[first:last] = False
            slots.rows[indices[good]] = run.rows[good]
        else:
            slots.rows[indices] = run.rows
        slots.cursor[indices] += batch.length
        result = BatchResult(tuple(run.outputs), errors=errors)
        sampled = [place for place, wanted in enumerate(batch.sample) if wanted]
        if not sampled:
            return result
        return self._draw_first(indices, sampled, run.outputs[0][sampled, -1], result, errors)

    def _draw_first(
        self,
        indices: NDArray[np.intp],
        sampled: list[int],
        logits: NDArray[np.float32],
        result: BatchResult,
        errors: dict[int, RunFailed],
    ) -> BatchResult:
        failed = {index: errors[row] for index, row in enumerate(sampled) if row in errors}
        if failed:
            logits[list(failed)] = 0  # so that drawing has numbers to work on; nobody gets these tokens
        drawing = Drawing(self._slots, indices[sampled])
        result.tokens, ended = drawing.draw(logits, failed)
        drawing.save()
        result.ended = {sampled[index]: reason for index, reason in ended.items()}
        result.errors = {**errors, **{sampled[index]: error for index, error in failed.items()}}
        return result

    def decode(self, batch: DecodeBatch) -> BatchResult:
        group = self._group(batch)
        run = self._runner.run(group.drawing.last[:, None], group.rows, 0, group.attended)
        logits = run.outputs[0][:, 0]
        errors = row_errors(run, [run.rows, logits])
        if errors:
            logits[list(errors)] = 0  # as first tokens are drawn
        group.rows = run.rows
        tokens, ended = group.drawing.draw(logits, errors)
        return BatchResult((), tokens, ended, errors)

    def _group(self, batch: DecodeBatch) -> _DecodeGroup:
        """The group of a batch. Groups that its members were in before are parted."""
        group = self._groups.get(batch.slots[0])
        if group is None or group.batch is not batch:
            for slot in batch.slots:
                self.part(slot)
            group = _DecodeGroup(batch, self._slots, self._attended)
            self._groups.update(dict.fromkeys(batch.slots, group))
        return group

    def part(self, slot: int) -> None:
        """Write back the group that a slot is in, if any; its batch will not come again."""
        group = self._groups.get(slot)
        if group is not None:
            group.save(self._slots)
            for member in group.batch.slots:
                del self._groups[member]


class Drawing:
    """Draws for the same slots again and again; these are behind until :meth:`save`."""

    __slots__ = (
        *("_avoided", "_end_places", "_end_tokens", "_forced", "_indices", "_rules"),
        *("_sampler", "_slots", "last"),
    )

    def __init__(self, slots: Slots, indices: NDArray[np.intp]) -> None:
        self._slots = slots
        self._indices = indices
        requests = slots.requests_of(indices)
        feedbacks = [request.feedback for request in requests if request.feedback is not None]
        self._sampler = Sampler(slots.sampling(indices), [feedback.banned for feedback in feedbacks])
        ends = [(place, token) for place, feedback in enumerate(feedbacks) for token in feedback.end_tokens]
        self._end_places = np.array([place for place, _ in ends], np.intp)
        self._end_tokens = np.array([token for _, token in ends], np.intp)
        self._rules: list[tuple[int, StopRule]] = [
            (place, feedback.stop) for place, feedback in enumerate(feedbacks) if feedback.stop is not None
        ]
        self._avoided = [
            (place, feedback.avoided)
            for place, feedback in enumerate(feedbacks)
            if feedback.avoided is not None
        ]
        produced = slots.position[indices].tolist()
        self._forced = [
            (place, feedback.forced[count - feedback.sampling.first_position :])
            for place, (feedback, count) in enumerate(zip(feedbacks, produced, strict=True))
            if feedback.forced is not None
        ]
        self.last = slots.last[indices]

    def draw(
        self, logits: NDArray[np.float32], errors: dict[int, RunFailed]
    ) -> tuple[Sequence[Token | int], dict[int, FinishReason]]:
        """The next token of each, and by row what it ended; a failed stop rule is added to ``errors``."""
        drawn = self._sampler.num_drawn
        open_to_all = logits
        avoided = [(place, found) for place, ask in self._avoided if (found := ask())]
        if avoided:
            logits = logits.copy()
            for place, found in avoided:
                logits[place, found] = -np.inf
        ids = self.last = self._sampler.draw(logits)
        for place, tokens in self._forced:
            if drawn < len(tokens) and tokens[drawn] >= 0:
                ids[place] = tokens[drawn]
        ended: dict[int, FinishReason] = {}
        if self._end_places.size:
            hit = ids[self._end_places] == self._end_tokens
            if hit.any():
                ended = dict.fromkeys(self._end_places[hit].tolist(), FinishReason.END)
        for place, rule in self._rules:
            if place in ended or place in errors:
                continue
            try:
                if rule(int(ids[place])):
                    ended[place] = FinishReason.STOP
            except Exception as error:
                errors[place] = RunFailed(f"the stop rule failed: {error!r}")
        return self._sampler.tokens(open_to_all, ids), ended

    def save(self) -> None:
        """Called once, at the end."""
        self._slots.last[self._indices] = self.last
        self._slots.position[self._indices] += np.uint64(self._sampler.num_drawn)


class _DecodeGroup:
    """The slots of one decode batch, while nobody joins or leaves.

    The rows ``[n, S]`` that a run gives are those that the next one takes: nothing is gathered or scattered,
    and the slots' own rows are behind. Before anybody else looks at one the group is written back. What they
    attend to is gathered once.
    """

    __slots__ = ("_indices", "attended", "batch", "drawing", "rows")

    def __init__(self, batch: DecodeBatch, slots: Slots, attended: AttendedSpec | None) -> None:
        self.batch = batch
        self._indices = np.array(batch.slots, np.intp)
        self.rows: NDArray[np.float32] = slots.rows.take(self._indices, axis=0)
        self.attended = None
        if attended is not None:
            self.attended = _attended(slots.requests_of(self._indices), attended)
        self.drawing = Drawing(slots, self._indices)

    def save(self, slots: Slots) -> None:
        slots.rows[self._indices] = self.rows
        self.drawing.save()


def _attended(requests: Sequence[SequenceRequest], spec: AttendedSpec) -> Attended:
    return gathered([request.attended for request in requests], spec)


def _head_from(batch: PrefillBatch) -> int:
    """First of the steps whose output is needed."""
    if Read.ALL in batch.read:
        return 0
    if Read.LAST in batch.read or True in batch.sample:
        return batch.length - 1
    return batch.length
