"""Engine events of a request for music become frames: steps as they become whole, then the pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from app.core.numbers import rounded
from app.core.sequence import Event, Failed, Finished, Token, Tokens
from app.tasks.compose.music import REST, Layout, Pitches, Struck, notes_of
from app.tasks.compose.schema import ComposeAnswer, ComposedPiece, PiecesFrame, PlacedNote, StepFrame
from app.tasks.model import Summary


@dataclass(frozen=True, slots=True, eq=False)
class PlannedMusic:
    """What is drawn, and how it is told.

    Attributes:
        scored: which places of the stream count, ``[(steps + lead) * voices]``.
        struck: where given notes begin and end, ``[steps, voices]``.
        given: tokens of a piece that were given.
    """

    model: str
    voices: list[str]
    layout: Layout
    steps_per_beat: int
    tempo: float
    seed: int
    n: int
    scored: np.ndarray[Any, np.dtype[np.bool_]]
    struck: Struck
    given: int


class MusicAssembler:
    """See :class:`app.tasks.model.Assembler`."""

    event_id = None

    def __init__(self, plan: PlannedMusic) -> None:
        self._plan = plan
        self._tokens: list[list[int]] = [[] for _ in range(plan.n)]
        self._logprobs: list[list[float]] = [[] for _ in range(plan.n)]
        self._told = [0] * plan.n
        self._reasons: list[Literal["length", "stopped"] | None] = [None] * plan.n

    @property
    def voices(self) -> list[str]:
        return self._plan.voices

    @property
    def steps(self) -> int:
        """Of a piece."""
        return len(self._plan.struck)

    @property
    def ended(self) -> bool:
        return None not in self._reasons

    @property
    def summary(self) -> Summary:
        produced = sum(map(len, self._tokens))
        given = min(produced, self._plan.given * self._plan.n)
        return Summary([reason or "stopped" for reason in self._reasons], given, produced - given)

    def push(self, events: Sequence[tuple[int, Event]]) -> Iterator[StepFrame]:
        touched: dict[int, None] = {}
        for piece, event in events:
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Finished):
                self._reasons[piece] = "length"
            elif isinstance(event, Tokens):
                touched[piece] = None
                for token in event.tokens:
                    assert isinstance(token, Token)
                    self._tokens[piece].append(token.id)
                    self._logprobs[piece].append(token.logprob or 0.0)
        for piece in touched:
            first, whole = self._told[piece], self._whole(piece)
            if whole > first:
                self._told[piece] = whole
                pitches, _ = self.music(piece, first)
                yield StepFrame.model_construct(type="step", piece=piece, first=first, steps=listed(pitches))

    def stop(self) -> Iterator[StepFrame]:
        """Steps that are not whole are left out."""
        self._reasons = [reason or "stopped" for reason in self._reasons]
        return iter(())

    def done(self) -> PiecesFrame:
        return PiecesFrame.model_construct(type="done", **self._said())

    def answer(self, frames: Sequence[Any]) -> ComposeAnswer:
        return ComposeAnswer.model_construct(**self._said())

    def music(self, piece: int, first: int = 0) -> tuple[Pitches, Struck]:
        """Pitches of the steps from ``first`` on that are whole, and where notes begin."""
        plan, steps = self._plan, self._whole(piece)
        if not steps:
            empty = np.zeros((0, len(plan.voices)), np.int64)
            return empty, empty > 0
        voices = len(plan.voices)
        tokens = self._tokens[piece][first * voices : (steps + plan.layout.lead) * voices]
        pitches, struck = plan.layout.decode(np.array(tokens, np.int64))
        return pitches, struck | (plan.struck[first:steps] & (pitches >= 0))

    def _whole(self, piece: int) -> int:
        layout = self._plan.layout
        return max(0, len(self._tokens[piece]) // layout.voices - layout.lead)

    def _said(self) -> dict[str, Any]:
        plan = self._plan
        return {
            "model": plan.model,
            "voices": plan.voices,
            "steps_per_beat": plan.steps_per_beat,
            "tempo": plan.tempo,
            "seed": plan.seed,
            "pieces": [self._piece(number) for number in range(plan.n)],
        }

    def _piece(self, number: int) -> ComposedPiece:
        pitches, struck = self.music(number)
        logprobs = np.array(self._logprobs[number], np.float64)
        nats = -float(logprobs[self._plan.scored[: len(logprobs)]].sum())
        return ComposedPiece.model_construct(
            steps=listed(pitches),
            notes=placed(self._plan.voices, pitches, struck),
            nats=float(rounded(np.array(nats))),
            finish_reason=self._reasons[number] or "stopped",
        )


def listed(pitches: Pitches) -> list[list[int | None]]:
    """Chords as JSON has them."""
    return [[None if pitch == REST else pitch for pitch in step] for step in pitches.tolist()]


def placed(names: Sequence[str], pitches: Pitches, struck: Struck) -> dict[str, list[PlacedNote]]:
    """Notes by voice as JSON has them."""
    return {
        name: [
            PlacedNote.model_construct(pitch=note.pitch, start=note.start, duration=note.duration)
            for note in notes_of(pitches[:, column], struck[:, column])
        ]
        for column, name in enumerate(names)
    }
