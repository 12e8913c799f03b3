"""Pieces of music in three parts, what their voices may have, and the built-in ones."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.io
from numpy.typing import NDArray

from app.bundle.manifest import Source
from app.tasks.compose.music import REST, Layout, Pitches, Struck
from app.tasks.compose.spec import ComposeSpec, Voice
from training.compose.settings import CHORALES, NOTTINGHAM
from training.data.download import DataStore

_CHORALES = "music/jsb/Jsb16thSeparated.json.gz"
_QUARTERS = "music/jsb/jsb-chorales-quarter.json.gz"
_ROLLS = "music/piano_rolls_mat/Nottingham.mat"
_NAMES = ("soprano", "bass", "alto", "tenor")
_COLUMNS = [0, 3, 1, 2]
_SPLITS = ("train", "valid", "test")
PIANO = (21, 108)
"""The keys of a piano, as MIDI numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """``pitches`` and ``struck`` ``[steps, voices]``, voices in the order of their tokens."""

    pitches: Pitches
    struck: Struck

    def moved(self, semitones: int) -> Piece:
        return Piece(np.where(self.pitches >= 0, self.pitches + semitones, REST), self.struck)


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """What there is to learn from.

    Attributes:
        title: for people.
        voices: as the spec of a bundle names them.
        named: whether voices are parts that are sung; else they are the notes of a step from the top, and a
            figure is told of a step, not of a voice.
    """

    title: str
    voices: tuple[Voice, ...]
    steps_per_beat: int
    beats_per_bar: int
    named: bool
    restrikes: bool
    train: list[Piece]
    validation: list[Piece]
    test: list[Piece]
    sources: tuple[Source, ...]

    def spec(self, lead: int) -> ComposeSpec:
        return ComposeSpec(
            voices=self.voices,
            lead=lead,
            steps_per_beat=self.steps_per_beat,
            beats_per_bar=self.beats_per_bar,
            restrikes=self.restrikes,
        )


def built_in(name: str, store: DataStore) -> Corpus:
    """Raises DataError: a file is missing or not the one expected."""
    if name == CHORALES:
        return _chorales(store)
    if name == NOTTINGHAM:
        rolls = scipy.io.loadmat(store.file(_ROLLS))
        parts = [[[*map(_keys, roll)] for roll in rolls[f"{part}data"].ravel()] for part in _SPLITS]
        return frames("Nottingham", parts, 2, (store.source(_ROLLS),))
    read = json.loads(gzip.decompress(store.file(_QUARTERS).read_bytes()))
    parts = [read[part] for part in _SPLITS]
    return frames("JSB chorales, quarters", parts, 1, (store.source(_QUARTERS),))


def _chorales(store: DataStore) -> Corpus:
    read = json.loads(gzip.decompress(store.file(_CHORALES).read_bytes()))
    train, validation, test = (
        [piece_of(np.where(pitches > 0, pitches, REST)) for pitches in map(_aligned, read[part])]
        for part in _SPLITS
    )
    voices = ranges(_NAMES, train)
    sources = (store.source(_CHORALES),)
    return Corpus("JSB chorales, sixteenths", voices, 4, 4, True, False, train, validation, test, sources)


def _aligned(piece: list[list[int]]) -> Pitches:
    return np.array(piece, np.int64)[:, _COLUMNS]


def _keys(step: NDArray[np.generic]) -> list[int]:
    found: list[int] = (np.flatnonzero(step) + PIANO[0]).tolist()
    return found


def ranges(names: Sequence[str], pieces: Sequence[Piece]) -> tuple[Voice, ...]:
    """Each voice from its lowest note to its highest."""
    every = np.concatenate([piece.pitches for piece in pieces])
    found = []
    for column, name in enumerate(names):
        notes = every[every[:, column] >= 0, column]
        low, high = (int(notes.min()), int(notes.max())) if notes.size else PIANO
        found.append(Voice(name=name, low=low, high=high))
    return tuple(found)


def frames(
    title: str,
    parts: Sequence[Sequence[Sequence[Sequence[int]]]],
    steps_per_beat: int,
    sources: tuple[Source, ...],
) -> Corpus:
    """Sets of notes as voices from the top; where there are fewer, the lower ones rest."""
    most = max(len(step) for part in parts for piece in part for step in piece)

    def placed(piece: Sequence[Sequence[int]]) -> Piece:
        pitches = np.full((len(piece), most), REST, np.int64)
        for step, notes in zip(pitches, piece, strict=True):
            step[: len(notes)] = sorted(notes, reverse=True)
        return piece_of(pitches)

    train, validation, test = ([placed(piece) for piece in part] for part in parts)
    voices = tuple(Voice(name=f"voice{number}", low=PIANO[0], high=PIANO[1]) for number in range(1, most + 1))
    return Corpus(title, voices, steps_per_beat, 4, False, False, train, validation, test, sources)


def piece_of(pitches: Pitches) -> Piece:
    """Of pitches whose notes last as long as they do not change."""
    struck = pitches >= 0
    struck[1:] &= pitches[1:] != pitches[:-1]
    return Piece(pitches, struck)


def shifts(piece: Piece, voices: Sequence[Voice], most: int) -> tuple[int, int]:
    """The least and the greatest transposition with which every voice stays in its range; holds 0."""
    low, high = -most, most
    for column, voice in enumerate(voices):
        notes = piece.pitches[piece.pitches[:, column] >= 0, column]
        if notes.size:
            low = max(low, voice.low - int(notes.min()))
            high = min(high, voice.high - int(notes.max()))
    return min(low, 0), max(high, 0)


def allowed(spec: ComposeSpec) -> NDArray[np.bool_]:
    """``[lead * voices + a bar, vocabulary]``: the tokens that each place of the clock may have."""
    layout, voices = spec.layout, spec.voices
    table = np.zeros((spec.lead + spec.steps_per_bar, len(voices), layout.vocabulary), np.bool_)
    for column, voice in enumerate(voices):
        if column:
            table[: spec.lead, column, 0] = True
        rows = table[spec.lead if column else 0 :, column]
        rows[:, layout.token(REST)] = True
        first, last = layout.token(voice.low), layout.token(voice.high)
        rows[:, first : last + 1] = True
        if layout.restrikes:
            span = layout.high - layout.low + 1
            rows[:, first + span : last + span + 1] = True
    return table.reshape(-1, layout.vocabulary)


def follows(layout: Layout) -> NDArray[np.bool_] | None:
    """``[vocabulary, vocabulary]``: what may follow a token of the same voice; ``None`` where anything may.

    Only the pitch that sounds can be struck anew.
    """
    if not layout.restrikes:
        return None
    table = np.ones((layout.vocabulary, layout.vocabulary), np.bool_)
    for pitch in range(layout.low, layout.high + 1):
        token, again = layout.token(pitch), layout.again(layout.token(pitch))
        table[:, again] = False
        table[[token, again], again] = True
    return table


def intervals(layout: Layout) -> NDArray[np.int64]:
    """``[vocabulary, vocabulary]``: a number for the interval between two tokens, 0 for what is no pitch."""
    span = layout.high - layout.low + 1
    tokens = np.arange(layout.vocabulary)
    pitch = np.where(tokens < layout.token(layout.low), -1, (tokens - layout.token(layout.low)) % span)
    numbers = pitch[None, :] - pitch[:, None] + span
    return np.where((pitch[None, :] < 0) | (pitch[:, None] < 0), 0, numbers)


Streams = list[tuple[NDArray[np.int64], NDArray[np.bool_]]]


def streams(
    pieces: Sequence[Piece], layout: Layout, shift: Callable[[Piece], int] = lambda piece: 0
) -> Streams:
    """Tokens of each piece, and which of them are in it."""
    found = []
    for piece in pieces:
        moved = piece.moved(shift(piece))
        found.append((layout.encode(moved.pitches, moved.struck), layout.scored(len(moved.pitches))))
    return found
