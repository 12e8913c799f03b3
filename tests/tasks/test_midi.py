"""MIDI files: what is written is read back; what is damaged or lies is refused in a sentence."""

from __future__ import annotations

import contextlib
import io
import struct

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import InvalidInput
from app.tasks.compose.midi import Part, read_midi, write_midi
from app.tasks.compose.music import REST, Note, chords_of, line_of, notes_of

OVER = b"MTrk\x00\x00\x00\x04\x00\xff\x2f\x00"
"""A track with its end alone."""
ENDLESS = b"MTrk\x00\x00\x00\x0b\x00\x90\x3c\x40\xff\xff\xff\x7f\x80\x3c\x40"
"""A note of 268 million ticks."""


def header(tracks: int = 1, ticks: int = 480, length: int = 6) -> bytes:
    """Of a file of format 1."""
    return b"MThd" + struct.pack(">IHHH", length, 1, tracks, ticks)


played = st.lists(
    st.tuples(st.integers(0, 127), st.integers(0, 30), st.integers(1, 9)), min_size=1, max_size=12
).map(lambda found: [Note(*note) for note in found])


@settings(max_examples=40, deadline=None)
@given(parts=st.lists(played, min_size=1, max_size=4), grid=st.sampled_from([1, 2, 3, 4, 7, 12]))
def test_midi_is_read_back_as_it_was_written(parts: list[list[Note]], grid: int) -> None:
    """By the library and by us, on any grid; lines and chords hold what sounds."""
    alone = [notes_of(*line_of(part, 40)) for part in parts]
    written = write_midi([Part(f"p{number}", part) for number, part in enumerate(alone)], grid, 97.5)
    file = mido.MidiFile(file=io.BytesIO(written))
    begun = [message for track in file.tracks for message in track if message.type == "note_on"]
    assert len(begun) == sum(map(len, alone))
    assert round(mido.tempo2bpm(file.tracks[0][0].tempo), 1) == 97.5
    found = read_midi(written, grid, 40, 10_000, "body")
    assert [part.notes for part in found] == alone
    assert [part.name for part in found] == [f"p{number}" for number in range(len(parts))]
    every = [note for part in alone for note in part]
    chords, struck = chords_of(every, 40, 50)
    for fewer, all_voices in zip(chords_of(every, 40, 2), (chords, struck), strict=True):
        np.testing.assert_array_equal(fewer, all_voices[:, :2])
    for step, (chord, begins) in enumerate(zip(chords.tolist(), struck.tolist(), strict=True)):
        sounding = {note.pitch for note in every if note.start <= step < note.start + note.duration}
        assert [pitch for pitch in chord if pitch != REST] == sorted(sounding, reverse=True)
        starting = {note.pitch for note in every if note.start == step}
        assert {pitch for pitch, begins_here in zip(chord, begins, strict=True) if begins_here} == starting


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_midi_file_is_refused_or_read(data: st.DataObject) -> None:
    """Never more notes than bytes, and never another error."""
    whole = write_midi([Part("a", [Note(60, 0, 2), Note(64, 2, 30)]), Part("b", [Note(40, 1, 9)])], 4, 80)
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 6))):
        damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(whole)))])
    parts: list[Part] = []
    with contextlib.suppress(InvalidInput):
        parts = read_midi(cut, 4, 500, 10_000, "midi")
    for note in (note for part in parts for note in part.notes):
        assert 0 <= note.start < 500
        assert 1 <= note.duration <= 500
        assert 0 <= note.pitch < 128


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no MIDI file"),
        (b"RIFF" + bytes(40), "no MIDI file"),
        (header(tracks=65535), "no notes"),
        (header(length=2**32 - 1), "no MIDI file"),
        (header() + b"MTrk\xff\xff\xff\xff\x00\x90\x3c\x40", "no MIDI file"),
        (header(ticks=0xE250) + OVER, "SMPTE"),
        (header() + OVER, "no notes"),
        (header(ticks=1) + ENDLESS, "beyond step"),
        (bytes(10_001), "more than the limit"),
    ],
)
def test_hostile_midi_is_refused_in_a_sentence(data: bytes, message: str) -> None:
    """Headers that lie, endless times, nothing inside."""
    with pytest.raises(InvalidInput, match=message):
        read_midi(data, 4, 1000, 10_000, "body")


def test_drums_are_left_out_and_channels_of_one_track_are_parts() -> None:
    """As files of format 0 have them."""
    track = mido.MidiTrack(
        mido.Message(kind, channel=channel, note=note, velocity=velocity, time=time)
        for kind, channel, note, velocity, time in (
            ("note_on", 0, 72, 64, 0),
            ("note_on", 3, 48, 64, 0),
            ("note_on", 9, 36, 64, 0),
            ("note_on", 0, 72, 0, 240),
            ("note_off", 3, 48, 0, 240),
            ("note_off", 9, 36, 0, 0),
        )
    )
    file, written = mido.MidiFile(type=0, ticks_per_beat=480), io.BytesIO()
    file.tracks.append(track)
    file.save(file=written)
    found = read_midi(written.getvalue(), 4, 100, 10_000, "body")
    assert [part.notes for part in found] == [[Note(72, 0, 2)], [Note(48, 0, 4)]]
