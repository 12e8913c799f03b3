"""Engine events of a request become frames: outputs as they come, then the last ones of each sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from app.core.sequence import Event, Failed, Finished, Outputs
from app.tasks.model import Summary
from app.tasks.sequence.outputs import OutputReader
from app.tasks.sequence.schema import LastFrame, OutputsFrame, SequenceAnswer, SequenceResult


class SequenceAssembler:
    """See :class:`app.tasks.model.Assembler`; with ``each``, steps are given out as they are read."""

    event_id = None

    def __init__(
        self, model: str, reader: OutputReader, ids: list[str | None], lengths: list[int], *, each: bool
    ) -> None:
        self._model = model
        self._reader = reader
        self._ids = ids
        self._lengths = lengths
        self._each = each
        self._last: list[dict[str, Any] | None] = [None] * len(ids)
        self._ended: set[int] = set()

    @property
    def ended(self) -> bool:
        return len(self._ended) == len(self._ids)

    @property
    def summary(self) -> Summary:
        return Summary(["complete"] * len(self._ids), sum(self._lengths), 0)

    def push(self, events: Sequence[tuple[int, Event]]) -> Iterator[OutputsFrame]:
        for index, event in events:
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Finished):
                self._ended.add(index)
            elif isinstance(event, Outputs) and len(event.values[0]):
                steps = self._reader.read(event.values[0])
                self._last[index] = steps[-1]
                if self._each:
                    yield OutputsFrame.model_construct(
                        type="outputs", sequence=index, first=event.first, steps=steps
                    )

    def stop(self) -> Iterator[OutputsFrame]:
        return iter(())

    def done(self) -> LastFrame:
        return LastFrame.model_construct(type="done", model=self._model, results=self._results({}))

    def answer(self, frames: Sequence[Any]) -> SequenceAnswer:
        steps: dict[int, list[dict[str, Any]]] = {}
        for frame in frames[:-1]:
            steps.setdefault(frame.sequence, []).extend(frame.steps)
        return SequenceAnswer.model_construct(model=self._model, results=self._results(steps))

    def _results(self, steps: dict[int, list[dict[str, Any]]]) -> list[SequenceResult]:
        return [
            SequenceResult.model_construct(
                id=id, length=self._lengths[index], outputs=self._last[index] or {}, steps=steps.get(index)
            )
            for index, id in enumerate(self._ids)
        ]
