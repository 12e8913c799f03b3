"""What a request gives of a piece: notes, chords or a MIDI file to pitches on the grid of a model."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

from app.core.errors import InvalidInput, over_limit
from app.tasks.compose.midi import Part, read_midi, steps_of, voices_of
from app.tasks.compose.music import OPEN, REST, Line, Note, line_of, stacked
from app.tasks.compose.schema import Chord, ComposeLimits, ComposeRequest, GivenNote, ScoreRequest
from app.tasks.compose.spec import ComposeSpec, Voice


class GivenReader:
    """Reads requests for one model."""

    def __init__(self, spec: ComposeSpec, limits: ComposeLimits) -> None:
        self._spec, self._limits = spec, limits
        self.names = [voice.name for voice in spec.voices]

    def piece(self, request: ComposeRequest) -> Line:
        """Pitches ``[steps, voices]``, open where nothing is given, and where given notes begin and end.

        Raises:
            InvalidInput: names the field.
        """
        lines = self._given(request)
        longest = max((len(pitches) for _, (pitches, _) in lines.values()), default=0)
        steps = self._length(request, longest)
        pitches = np.full((steps, len(self.names)), OPEN, np.int64)
        struck = np.zeros(pitches.shape, np.bool_)
        for column, (where, (line, begins)) in lines.items():
            if len(line) > steps:
                text = f"it has {len(line)} steps, more than the {steps} of the piece"
                raise over_limit(where, steps, text)
            pitches[: len(line), column] = line
            # What is drawn behind a given note is another one, even of the same pitch.
            ended = np.flatnonzero((line[:-1] != OPEN) & (line[1:] == OPEN)) + 1
            struck[: len(line), column] = begins
            struck[ended, column] = True
            if len(line) < steps:
                struck[len(line), column] = True
        return pitches, struck

    def whole(self, request: ScoreRequest) -> Line:
        """A piece in which every voice is given; raises InvalidInput."""
        if request.steps is not None:
            return self.chords(request.steps, "steps")
        if request.midi is not None:
            return self._from_the_top(self._parts(request.midi, "midi"), "midi")
        given = {self._column(name, "notes"): name for name in request.notes or {}}
        lines = {
            column: self._line((request.notes or {})[name], column, f"notes.{name}")
            for column, name in given.items()
        }
        steps = self._checked(max((len(pitches) for pitches, _ in lines.values()), default=0), "notes")
        pitches = np.full((steps, len(self.names)), REST, np.int64)
        struck = np.zeros(pitches.shape, np.bool_)
        for column, (line, begins) in lines.items():
            pitches[: len(line), column] = np.where(line == OPEN, REST, line)
            struck[: len(line), column] = begins
        return pitches, struck

    def chords(self, chords: Sequence[Chord], where: str) -> Line:
        """Notes are held as long as their pitch stays."""
        self._checked(len(chords), where)
        pitches = np.full((len(chords), len(self.names)), REST, np.int64)
        for step, chord in enumerate(chords):
            if len(chord) != len(self.names):
                text = f"a step has {len(self.names)} pitches ({', '.join(self.names)}), got {len(chord)}"
                raise InvalidInput(f"{where}.{step}", text, allowed=self.names)
            for column, pitch in enumerate(chord):
                if pitch is not None and pitch != REST:
                    pitches[step, column] = self.pitch(pitch, column, f"{where}.{step}.{column}")
        struck = pitches >= 0
        struck[1:] &= pitches[1:] != pitches[:-1]
        return pitches, struck

    def pitch(self, pitch: int, column: int, where: str) -> int:
        voice: Voice = self._spec.voices[column]
        if not voice.low <= pitch <= voice.high:
            raise InvalidInput(
                where,
                f"{voice.name} has the pitches {voice.low} to {voice.high} here, got {pitch}",
                allowed={"min": voice.low, "max": voice.high},
            )
        return pitch

    def milliseconds(self, request: ComposeRequest | ScoreRequest) -> float:
        """About how long its MIDI file takes to be read: measured 5 ms for 4 KiB."""
        return 0.0 if request.midi is None else len(request.midi) / 1024

    def _given(self, request: ComposeRequest) -> dict[int, tuple[str, Line]]:
        """By voice the field that gives it, and its line."""
        notes: dict[int, tuple[str, list[GivenNote]]] = {}
        if request.melody is not None:
            notes[0] = ("melody", request.melody)
        for name, given in request.given.items():
            column = self._column(name, "given")
            if column in notes or (column == 0 and request.midi is not None):
                raise InvalidInput(f"given.{name}", f"{name} is the melody, which is given already")
            notes[column] = (f"given.{name}", given)
        found = {column: (where, self._line(part, column, where)) for column, (where, part) in notes.items()}
        if request.midi is not None:
            for column, line in self._by_name(self._parts(request.midi, "midi")).items():
                if column in found:
                    raise InvalidInput(f"given.{self.names[column]}", "this voice is in the MIDI file too")
                found[column] = ("midi", line)
        return found

    def _line(self, notes: Sequence[GivenNote], column: int, where: str) -> Line:
        end, placed = 0, []
        for number, note in enumerate(notes):
            start = end if note.start is None else note.start
            if start < end:
                text = f"starts at {start}, before the note before it ends at {end}"
                raise InvalidInput(f"{where}.{number}.start", text, allowed={"min": end})
            pitch = REST if note.pitch is None else self.pitch(note.pitch, column, f"{where}.{number}.pitch")
            end = self._checked(start + note.duration, f"{where}.{number}.duration")
            placed.append((start, end, pitch))
        pitches, struck = np.full(end, OPEN, np.int64), np.zeros(end, np.bool_)
        for start, last, pitch in placed:
            pitches[start:last] = pitch
            struck[start] = pitch != REST
        return pitches, struck

    def _parts(self, midi: str, where: str) -> list[Part]:
        try:
            # Programs that write base64 often break its lines.
            data = base64.b64decode("".join(midi.split()), validate=True)
        except ValueError:
            raise InvalidInput(where, "should be a MIDI file in base64") from None
        return read_midi(
            data, self._spec.steps_per_beat, self._limits.max_music_steps, self._limits.max_midi_bytes, where
        )

    def _by_name(self, parts: Sequence[Part]) -> dict[int, Line]:
        """Voices that tracks are named after; the top line as the first voice where none is."""
        steps = steps_of(parts)
        named: dict[int, list[Note]] = {}
        for part in parts:
            name = part.name.strip().lower()
            if name in self.names:
                named.setdefault(self.names.index(name), []).extend(part.notes)
        chosen = named or {0: [note for part in parts for note in part.notes]}
        found = {}
        for column, notes in chosen.items():
            for note in notes if named else ():
                self.pitch(note.pitch, column, "midi")
            pitches, struck = line_of(notes, steps)
            for pitch in set(pitches[pitches >= 0].tolist()):
                self.pitch(pitch, column, "midi")
            found[column] = (pitches, struck)
        return found

    def _from_the_top(self, parts: Sequence[Part], where: str) -> Line:
        """Voices that tracks are named after, where each is; else all from the top."""
        order = sorted(range(len(self.names)), key=lambda column: -self._spec.voices[column].high)
        if {part.name.strip().lower() for part in parts} == {*self.names}:
            return stacked(line for _, line in sorted(self._by_name(parts).items()))
        chords, begins = voices_of(parts, len(self.names))
        pitches, struck = np.empty_like(chords), np.empty_like(begins)
        pitches[:, order], struck[:, order] = chords, begins
        for column in range(len(self.names)):
            for pitch in set(pitches[pitches[:, column] >= 0, column].tolist()):
                self.pitch(pitch, column, where)
        return pitches, struck

    def _column(self, name: str, where: str) -> int:
        if name not in self.names:
            text = f"there is no voice {name!r}; allowed: {', '.join(self.names)}"
            raise InvalidInput(f"{where}.{name}", text, allowed=self.names)
        return self.names.index(name)

    def _length(self, request: ComposeRequest, longest: int) -> int:
        if request.bars is not None:
            return self._checked(request.bars * self._spec.steps_per_bar, "bars")
        if request.steps is not None:
            return self._checked(request.steps, "steps")
        if not longest:
            raise InvalidInput(
                "bars", "say how long: give bars or steps, or a melody", allowed=["bars", "steps"]
            )
        return longest

    def _checked(self, steps: int, where: str) -> int:
        most = self._limits.max_music_steps
        if steps > most:
            raise over_limit(where, most, f"a piece may have {most} steps here, got {steps}")
        if not steps:
            raise InvalidInput(where, "a piece has at least one step")
        return steps
