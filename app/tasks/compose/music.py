"""Music on a grid of steps as a stream of tokens, one voice behind the other.

    row r of the stream:  the first voice of step r, the other voices of step r - lead

So the first voice is written ``lead`` steps ahead of the others, and the last rows, in which it is over,
end a piece. A token says which pitch sounds; where a vocabulary has restrikes, others say that the pitch
of the step before is struck anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

NOTHING = 0
"""Token of a place outside of the piece; it also starts a stream."""
REST_TOKEN = 1
_FIRST_PITCH = 2
_PITCHES = 128
REST = -1
"""In an array of pitches: the voice is silent."""
OPEN = -2
"""In an array of pitches, and of tokens as -1: not given, to be drawn."""
Pitches = NDArray[np.int64]
Struck = NDArray[np.bool_]
Line = tuple[Pitches, Struck]


class Note(NamedTuple):
    """A note; times are in steps, and the duration is at least one."""

    pitch: int
    start: int
    duration: int


def notes_of(pitches: Pitches, struck: Struck) -> list[Note]:
    """The notes of one voice, ``[steps]``."""
    found: list[Note] = []
    for step, (pitch, begins) in enumerate(zip(pitches.tolist(), struck.tolist(), strict=True)):
        if pitch < 0:
            continue
        if begins or not found or sum(found[-1][1:]) < step:
            found.append(Note(pitch, step, 1))
        else:
            found[-1] = found[-1]._replace(duration=found[-1].duration + 1)
    return found


def line_of(notes: Iterable[Note], steps: int) -> Line:
    """Pitches ``[steps]`` of the highest notes, and where they begin."""
    pitches, struck = np.full(steps, REST, np.int64), np.zeros(steps, np.bool_)
    for note in sorted(notes):
        place = slice(note.start, note.start + note.duration)
        pitches[place], struck[place] = note.pitch, False
        struck[note.start : note.start + 1] = True
    return pitches, struck


def stacked(lines: Iterable[Line]) -> Line:
    """``[steps, voices]`` of the lines of the voices."""
    pitches, struck = (np.stack(arrays, axis=1) for arrays in zip(*lines, strict=True))
    return pitches, struck


def chords_of(notes: Iterable[Note], steps: int, voices: int) -> Line:
    """Pitches ``[steps, voices]`` from the top; the lowest notes of a step that has more are left out."""
    pitches, struck = np.full((steps, voices), REST, np.int64), np.zeros((steps, voices), np.bool_)
    sounding, begins = (np.zeros((steps, _PITCHES), np.bool_) for _ in range(2))
    for note in notes:
        sounding[note.start : note.start + note.duration, note.pitch] = True
        begins[note.start : note.start + 1, note.pitch] = True
    voice = sounding[:, ::-1].cumsum(axis=1)[:, ::-1] - 1
    step, pitch = np.nonzero(sounding & (voice < voices))
    pitches[step, voice[step, pitch]] = pitch
    struck[step, voice[step, pitch]] = begins[step, pitch]
    return pitches, struck


@dataclass(frozen=True, slots=True)
class Layout:
    """Of the stream; pitches are MIDI numbers from ``low`` to ``high``."""

    voices: int
    lead: int
    low: int
    high: int
    restrikes: bool = False

    @property
    def vocabulary(self) -> int:
        return _FIRST_PITCH + self._span * (1 + self.restrikes)

    @property
    def _span(self) -> int:
        return self.high - self.low + 1

    def token(self, pitch: int) -> int:
        """Of a pitch, or a rest, that is not struck anew."""
        return REST_TOKEN if pitch == REST else _FIRST_PITCH + pitch - self.low

    def pitch(self, token: int) -> int | None:
        """None where none sounds."""
        return None if token < _FIRST_PITCH else (token - _FIRST_PITCH) % self._span + self.low

    def again(self, token: int) -> int:
        """The token of the same pitch that is struck anew."""
        return token + self._span

    def encode(self, pitches: Pitches, struck: Struck | None = None) -> NDArray[np.int64]:
        """The stream ``[(steps + lead) * voices]`` of pitches ``[steps, voices]``; -1 where one is open.

        Args:
            pitches: from ``low`` to ``high``, or :data:`REST`, or :data:`OPEN`.
            struck: where a note begins; a change of pitch always begins one.
        """
        tokens = np.where(pitches < 0, REST_TOKEN, _FIRST_PITCH + pitches - self.low)
        if self.restrikes and struck is not None:
            again = np.zeros(pitches.shape, np.bool_)
            again[1:] = struck[1:] & (pitches[1:] == pitches[:-1]) & (pitches[1:] >= 0)
            tokens = tokens + again * self._span
        stream: NDArray[np.int64] = self._placed(np.where(pitches == OPEN, -1, tokens), NOTHING).ravel()
        return stream

    def decode(self, tokens: NDArray[np.int64]) -> Line:
        """Pitches ``[steps, voices]`` of a whole stream, and where notes begin."""
        rows = tokens.reshape(-1, self.voices)
        steps = len(rows) - self.lead
        placed = np.concatenate([rows[:steps, :1], rows[self.lead :, 1:]], axis=1)
        pitches = np.where(placed < _FIRST_PITCH, REST, (placed - _FIRST_PITCH) % self._span + self.low)
        struck = placed >= _FIRST_PITCH + self._span
        struck[:1] |= pitches[:1] >= 0
        struck[1:] |= (pitches[1:] != pitches[:-1]) & (pitches[1:] >= 0)
        return pitches, struck

    def scored(self, steps: int) -> NDArray[np.bool_]:
        """Which places of the stream of a piece are in it, ``[(steps + lead) * voices]``."""
        inside: NDArray[np.bool_] = self._placed(np.ones((steps, self.voices), np.bool_), False).ravel()
        return inside

    def _placed(self, aligned: NDArray[Any], outside: object) -> NDArray[Any]:
        steps = len(aligned)
        rows = np.full((steps + self.lead, self.voices), outside, aligned.dtype)
        rows[:steps, :1] = aligned[:, :1]
        rows[self.lead :, 1:] = aligned[:, 1:]
        return rows
