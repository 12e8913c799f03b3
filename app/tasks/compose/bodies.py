"""Requests as MIDI files; answers as MIDI files, and as sound to have a quick listen."""

from __future__ import annotations

import base64
import io
import wave

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from app.core.errors import InvalidInput
from app.core.schema import ModelReference
from app.tasks.compose.midi import MEDIA_TYPES, Part, write_midi
from app.tasks.compose.music import Note
from app.tasks.compose.schema import (
    HARD_MAX_STEPS,
    LEAST_TEMPO,
    MOST_TEMPERATURE,
    MOST_TEMPO,
    SEEDS,
    ComposeAnswer,
    ComposedPiece,
    ComposeLimits,
    ComposeRequest,
    ScoreRequest,
)
from app.tasks.task import AnswerWriter, BodyReader

RATE = 22_050
"""Samples a second."""
MOST_SECONDS = 600.0
_PARTIALS = (1.0, 0.5, 0.3, 0.15, 0.08)
_ATTACK_S, _RELEASE_S, _DECAY_S = 0.02, 0.08, 1.5
_LOUDEST = 0.8
_HEARD_S = 18.0
"""After that a tone has faded to less than half of what 16 bits can tell."""


class ScoreQuery(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelReference = None


class MusicQuery(ScoreQuery):
    steps: int | None = Field(default=None, ge=1, le=HARD_MAX_STEPS, description="length in steps")
    bars: int | None = Field(default=None, ge=1, le=HARD_MAX_STEPS, description="length in bars")
    n: int = Field(default=1, ge=1, le=2**31 - 1, description="how many pieces")
    temperature: float = Field(default=1.0, ge=0, le=MOST_TEMPERATURE, description="as in a JSON body")
    top_k: int = Field(default=0, ge=0, le=2**31 - 1, description="as in a JSON body")
    top_p: float = Field(default=1.0, gt=0, le=1, description="as in a JSON body")
    seed: int | None = Field(default=None, ge=0, lt=SEEDS, description="left out, drawn and reported")
    avoid_parallels: bool = Field(default=False, description="as in a JSON body")
    tempo: float = Field(default=80.0, ge=LEAST_TEMPO, le=MOST_TEMPO, description="beats a minute")


def _compose(body: bytes, query: MusicQuery, limits: ComposeLimits) -> ComposeRequest:
    return ComposeRequest.model_validate({**dict(query), "midi": base64.b64encode(body).decode()})


def _score(body: bytes, query: ScoreQuery, limits: ComposeLimits) -> ScoreRequest:
    return ScoreRequest.model_validate({**dict(query), "midi": base64.b64encode(body).decode()})


MIDI_BODY = BodyReader(name="MIDI", media_types=MEDIA_TYPES, read=_compose, query=MusicQuery)
MIDI_SCORE = BodyReader(name="MIDI", media_types=MEDIA_TYPES, read=_score, query=ScoreQuery)


def midi_of(answer: ComposeAnswer) -> bytes:
    """A track for each voice; several pieces follow each other, four beats apart."""
    parts = {name: Part(name) for name in answer.voices}
    begin = 0
    for piece in answer.pieces:
        for name, notes in piece.notes.items():
            parts[name].notes += [Note(note.pitch, begin + note.start, note.duration) for note in notes]
        begin += len(piece.steps) + 4 * answer.steps_per_beat
    return write_midi(parts.values(), answer.steps_per_beat, answer.tempo)


def wav_of(answer: ComposeAnswer) -> bytes:
    """The first piece, played by plain tones: 16 bits, one channel.

    Raises:
        InvalidInput: it would play for more than ten minutes.
    """
    (piece, *_) = answer.pieces
    step_s = 60.0 / answer.tempo / answer.steps_per_beat
    if len(piece.steps) * step_s > MOST_SECONDS:
        text = f"as sound a piece may last {MOST_SECONDS:g} s; this one has {len(piece.steps) * step_s:.0f} s"
        raise InvalidInput("tempo", text + "; ask for fewer steps or a higher tempo")
    sound = np.zeros(round((len(piece.steps) * step_s + _RELEASE_S) * RATE) + 1, np.float32)
    for notes in piece.notes.values():
        for note in notes:
            tone = _tone(note.pitch, note.duration * step_s)
            first = round(note.start * step_s * RATE)
            sound[first : first + len(tone)] += tone[: len(sound) - first]
    loudest = float(np.abs(sound).max(initial=0.0))
    samples = (sound * (_LOUDEST * 32767 / loudest if loudest else 0.0)).astype("<i2")
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return written.getvalue()


def _tone(pitch: int, seconds: float) -> NDArray[np.float32]:
    """A few partials of the pitch in equal temperament, fading; those above half the rate are left out."""
    seconds = min(seconds, _HEARD_S)
    time = np.arange(round((seconds + _RELEASE_S) * RATE), dtype=np.float32) / RATE
    frequency = 440.0 * 2.0 ** ((pitch - 69) / 12)
    tone = np.zeros_like(time)
    for number, share in enumerate(_PARTIALS, 1):
        if frequency * number < RATE / 2:
            tone += np.float32(share) * np.sin(np.float32(2 * np.pi * frequency * number) * time)
    rise = np.minimum(1.0, time / np.float32(_ATTACK_S))
    fall = np.clip((np.float32(seconds + _RELEASE_S) - time) / np.float32(_RELEASE_S), 0.0, 1.0)
    return (tone * rise * fall * np.exp(-time / np.float32(_DECAY_S))).astype(np.float32)


def _milliseconds(answer: ComposeAnswer) -> float:
    """About 20 us a note."""
    return 0.02 * sum(map(_count, answer.pieces))


def _wav_milliseconds(answer: ComposeAnswer) -> float:
    """About 0.6 ms for a second of one voice."""
    (piece, *_) = answer.pieces
    return 0.6 * len(answer.voices) * len(piece.steps) * 60.0 / answer.tempo / answer.steps_per_beat


def _count(piece: ComposedPiece) -> int:
    return sum(map(len, piece.notes.values()))


MIDI_ANSWER = AnswerWriter(
    media_type=MEDIA_TYPES[0], write=midi_of, milliseconds=_milliseconds, example="MThd..."
)
WAV_ANSWER = AnswerWriter(
    media_type="audio/wav", write=wav_of, milliseconds=_wav_milliseconds, example="RIFF..."
)
