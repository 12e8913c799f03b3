"""What a network must beat: counts of what followed a few notes, mixed by how many kinds followed.

Witten & Bell 1991, method C: of each context ``(count + kinds * shorter) / (total + kinds)``.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

from app.tasks.compose.music import REST
from training.compose.corpus import Corpus, Piece, shifts

_BEFORE = -9
_END = 0
_ORDER = 6
_FIRST = 16
Contexts = Sequence[Callable[[list[int], int], tuple[int, ...]]]
_Table = defaultdict[tuple[int, ...], Counter[int]]


def baselines(corpus: Corpus) -> dict[str, dict[str, float]]:
    """Nats a step of each baseline on the validation and on the test part."""
    if corpus.named:
        voices = len(corpus.voices)
        name, contexts, listed = "counts of what the voices had", _of_voices(voices), _all_notes
    else:
        name, contexts, listed = "6-gram over notes", _of_notes(), _notes_and_ends
    outcomes = 2 + max(voice.high for voice in corpus.voices) - min(voice.low for voice in corpus.voices)
    # Sets of notes have no ranges to stay in; an octave in all holds every transposition.
    most = 6 if max(len(piece.pitches) for piece in corpus.train) < 1000 else 0
    counts = _Counts(contexts, outcomes)
    for piece in corpus.train:
        low, high = shifts(piece, corpus.voices, most)
        for shift in range(max(low, min(0, 1 - most)), high + 1):
            counts.add(listed(piece.moved(shift)))
    parts = (("validation", corpus.validation), ("test", corpus.test))
    return {name: {split: counts.nats(map(listed, part), part) for split, part in parts}}


class _Counts:
    def __init__(self, contexts: Contexts, outcomes: int) -> None:
        self._contexts, self._outcomes = contexts, outcomes
        self._tables: list[_Table] = [defaultdict(Counter) for _ in contexts]

    def add(self, notes: list[int]) -> None:
        padded = [_BEFORE] * _FIRST + notes
        for place in range(_FIRST, len(padded)):
            for table, context in zip(self._tables, self._contexts, strict=True):
                table[context(padded, place)][padded[place]] += 1

    def nats(self, lists: Iterator[list[int]], pieces: Sequence[Piece]) -> float:
        """Of a step."""
        lost = 0.0
        for notes in lists:
            padded = [_BEFORE] * _FIRST + notes
            for place in range(_FIRST, len(padded)):
                lost -= math.log(self._probability(padded, place))
        return lost / sum(len(piece.pitches) for piece in pieces)

    def _probability(self, padded: list[int], place: int) -> float:
        found = 1.0 / self._outcomes
        for table, context in zip(self._tables, self._contexts, strict=True):
            seen = table.get(context(padded, place))
            if seen:
                kinds = len(seen)
                found = (seen[padded[place]] + kinds * found) / (seen.total() + kinds)
        return found


def _of_notes() -> Contexts:
    def last(size: int) -> Callable[[list[int], int], tuple[int, ...]]:
        return lambda notes, place: tuple(notes[place - size : place])

    return [last(size) for size in range(_ORDER)]


def _of_voices(voices: int) -> Contexts:
    """The voice; what it had; what the others have now; what all had; and the step before that."""
    return [
        lambda notes, place: (place % voices,),
        lambda notes, place: (place % voices, notes[place - voices]),
        lambda notes, place: (
            place % voices,
            notes[place - voices],
            *notes[place - (place - _FIRST) % voices : place],
        ),
        lambda notes, place: (place % voices, *notes[place - voices : place]),
        lambda notes, place: (place % voices, *notes[place - 2 * voices : place]),
    ]


def _all_notes(piece: Piece) -> list[int]:
    listed: list[int] = piece.pitches.ravel().tolist()
    return listed


def _notes_and_ends(piece: Piece) -> list[int]:
    """Of each step its notes from the top, and an end."""
    listed: list[int] = []
    for step in piece.pitches.tolist():
        listed += [note for note in step if note != REST] + [_END]
    return listed
