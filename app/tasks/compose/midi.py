"""Standard MIDI files: notes on a grid in, notes on a grid out."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.core.errors import InvalidInput, over_limit
from app.tasks.compose.music import Line, Note, chords_of, line_of, stacked

MEDIA_TYPES = ("audio/midi", "audio/x-midi", "audio/mid")
_TICKS = 480
_DRUMS = 9
_LONGEST_NAME = 200


@dataclass(slots=True)
class Part:
    """The notes of one track, or of one channel of the only one, in the order of their starts."""

    name: str
    notes: list[Note] = field(default_factory=list)

    @property
    def height(self) -> float:
        """Mean pitch."""
        return sum(note.pitch for note in self.notes) / len(self.notes)


def read_midi(data: bytes, steps_per_beat: int, max_steps: int, max_bytes: int, where: str) -> list[Part]:
    """The parts that have notes; drums are left out, and starts and ends go to the nearest step.

    Args:
        data: the file.
        where: field of the request, for errors.

    Raises:
        InvalidInput: it is no MIDI file, is damaged, has no notes, or is longer than ``max_steps`` or
            ``max_bytes``.
    """
    mido = _library(where)
    if len(data) > max_bytes:
        text = f"the MIDI file has {len(data)} bytes, more than the limit of {max_bytes}"
        raise over_limit(where, max_bytes, text)
    try:
        file = mido.MidiFile(file=io.BytesIO(data), clip=True)
        ticks, tracks = file.ticks_per_beat, [list(track) for track in file.tracks]
    except Exception as error:  # the library raises whatever a damaged byte leads to
        text = f"this is no MIDI file, or it is damaged: {type(error).__name__}"
        raise InvalidInput(where, text, allowed="a Standard MIDI File, formats 0 and 1") from error
    if ticks <= 0:
        raise InvalidInput(where, "times in SMPTE frames are not read; save the file with ticks a beat")
    parts: dict[tuple[int, int], Part] = {}
    for number, track in enumerate(tracks):
        _read_track(track, number, steps_per_beat / ticks, max_steps, where, parts)
    found = [part for part in parts.values() if part.notes]
    if not found:
        raise InvalidInput(where, "the MIDI file has no notes")
    if len({track for track, _ in parts}) > 1:
        found = _joined(parts)
    for part in found:
        part.notes.sort(key=lambda note: (note.start, note.pitch))
    return found


def _read_track(
    track: Sequence[Any],
    number: int,
    scale: float,
    max_steps: int,
    where: str,
    parts: dict[tuple[int, int], Part],
) -> None:
    """Adds the notes of a track to the parts, by track and channel."""
    now, name = 0, ""
    sounding: dict[tuple[int, int], list[int]] = {}
    for message in track:
        now += message.time
        if message.type == "track_name":
            name = message.name[:_LONGEST_NAME]
        if message.type not in ("note_on", "note_off") or message.channel == _DRUMS:
            continue
        step = round(now * scale)
        if step > max_steps:
            text = f"the MIDI file goes on beyond step {max_steps}, the most that is read"
            raise over_limit(where, max_steps, text)
        begun = sounding.setdefault((message.channel, message.note), [])
        if message.type == "note_on" and message.velocity:
            begun.append(step)
        elif begun:
            start = begun.pop(0)
            if start < max_steps:
                part = parts.setdefault((number, message.channel), Part(name))
                part.name = part.name or name
                part.notes.append(Note(message.note, start, max(1, min(step, max_steps) - start)))


def _joined(parts: dict[tuple[int, int], Part]) -> list[Part]:
    """One part for each track."""
    tracks: dict[int, Part] = {}
    for (number, _), part in parts.items():
        tracks.setdefault(number, Part(part.name)).notes.extend(part.notes)
    return [part for part in tracks.values() if part.notes]


def steps_of(parts: Iterable[Part]) -> int:
    """Until the last note is over."""
    return max(note.start + note.duration for part in parts for note in part.notes)


def voices_of(parts: Sequence[Part], voices: int) -> Line:
    """From the top: a voice for each part where there are as many; else the notes of each step."""
    steps = steps_of(parts)
    if len(parts) == voices:
        ordered = sorted(parts, key=lambda part: -part.height)
        return stacked(line_of(part.notes, steps) for part in ordered)
    return chords_of([note for part in parts for note in part.notes], steps, voices)


def write_midi(parts: Iterable[Part], steps_per_beat: int, tempo: float) -> bytes:
    """A file of format 1 with a track for each part, in tempo ``tempo``, beats a minute.

    Raises:
        InvalidInput: this installation writes no MIDI.
    """
    mido = _library("accept")
    file = mido.MidiFile(ticks_per_beat=_TICKS)
    file.tracks.append(
        mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=min(mido.bpm2tempo(tempo), 0xFFFFFF), time=0)])
    )
    for channel, part in enumerate(parts):
        events: list[tuple[int, int, int]] = []
        for note in part.notes:
            first, last = (
                step * _TICKS // steps_per_beat for step in (note.start, note.start + note.duration)
            )
            events += [(first, 1, note.pitch), (last, 0, note.pitch)]
        track = mido.MidiTrack([mido.MetaMessage("track_name", name=part.name, time=0)])
        before = 0
        for tick, begins, pitch in sorted(events):
            kind = "note_on" if begins else "note_off"
            track.append(
                mido.Message(kind, channel=channel % _DRUMS, note=pitch, velocity=80, time=tick - before)
            )
            before = tick
        file.tracks.append(track)
    written = io.BytesIO()
    file.save(file=written)
    return written.getvalue()


def _library(where: str) -> Any:
    try:
        import mido
    except ImportError:
        raise InvalidInput(
            where, "MIDI needs one more package here: pip install '.[midi]' in a checkout"
        ) from None
    return mido
