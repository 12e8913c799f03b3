"""``POST /transcribe`` and ``WS /transcribe``: a sound in, words with their times out."""

from __future__ import annotations

import base64
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from app.core.errors import InvalidInput
from app.core.limits import TaskLimits
from app.core.schema import Answer, ModelReference, Request
from app.tasks.live import LiveStart
from app.tasks.transcribe.audio import Encoding

PAUSE_MS = 500
MAX_ALTERNATIVES = 16
Format = Literal["json", "text", "srt", "vtt"]
Timestamps = Literal["word", "segment"]
Base64 = Annotated[str, WithJsonSchema({"type": "string", "contentEncoding": "base64"})]
PauseMs = Annotated[
    int, Field(ge=80, le=10_000, description="milliseconds without a word that end a segment")
]


class TranscribeLimits(TaskLimits):
    max_audio_s: float = Field(
        600.0, gt=0, le=86_400, description="seconds of sound in one request, or one call of a session"
    )


class SoundOptions(BaseModel):
    """What is asked of a sound; in the query where a file is the body itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelReference = None
    timestamps: Timestamps = Field(default="word", description="`word` or `segment`: what gets times")
    n: int = Field(default=1, ge=1, le=MAX_ALTERNATIVES, description="texts, the most probable ones")
    format: Format | None = Field(
        default=None, description="`json`, `text`, `srt` or `vtt`; left out, what Accept says"
    )
    endpoint_ms: PauseMs = PAUSE_MS


class RawOptions(SoundOptions):
    rate: int | None = Field(default=None, description="samples a second, which raw samples do not say")
    channels: int = Field(default=1, ge=1, le=1, description="raw samples are of one channel")


class TranscribeRequest(SoundOptions, Request):
    """A sound file in ``audio``, or raw samples in ``pcm16`` with their ``rate``.

    Raises:
        InvalidInput: both are given, or neither; raw samples have no rate.
    """

    audio: Base64 | None = Field(default=None, description="a WAV, FLAC, OGG or MP3 file in base64")
    pcm16: Base64 | None = Field(
        default=None, description="samples in base64, one channel: 16 bits, little-endian"
    )
    rate: int | None = Field(default=None, description="samples a second of pcm16")

    @model_validator(mode="after")
    def _one_sound(self) -> TranscribeRequest:
        if (self.audio is None) == (self.pcm16 is None):
            raise InvalidInput("audio", "give either audio or pcm16", allowed=["audio", "pcm16"])
        if (self.pcm16 is None) != (self.rate is None):
            raise InvalidInput("rate", "raw samples come with their rate, and a file has its own")
        return self


class Sound(TranscribeRequest):
    """A request whose sound is here as bytes; ``encoding`` is that of raw samples."""

    data: bytes
    encoding: Encoding = "pcm16"

    @model_validator(mode="after")
    def _one_sound(self) -> Sound:
        return self


def from_base64(text: object, field: str) -> bytes:
    """Raises InvalidInput."""
    if not isinstance(text, str):
        raise InvalidInput(field, "samples are a text in base64")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        text = "the text is no base64 of RFC 4648, with + and /, padding, and no line breaks"
        raise InvalidInput(field, text) from None


class WordAnswer(Answer):
    """Times are seconds; the network tells a word near its end, at steps of its manifest's length."""

    word: str
    start: float
    end: float
    confidence: float = Field(description="mean probability of its steps")


class SegmentAnswer(Answer):
    text: str
    start: float
    end: float
    confidence: float = Field(description="mean of its words")
    words: list[WordAnswer] | None = None


class AlternativeAnswer(Answer):
    text: str
    logprob: float = Field(description="natural logarithm of its probability")


class Transcript(Answer):
    """``alternatives`` are there where more than one text was asked for, the most probable first."""

    model: str
    text: str
    duration: float = Field(description="seconds of sound")
    segments: list[SegmentAnswer]
    alternatives: list[AlternativeAnswer] | None = None


class StartMessage(LiveStart):
    """Also what the binary frames hold."""

    sample_rate: int
    encoding: Encoding = "pcm16"
    endpoint_ms: PauseMs = PAUSE_MS


class LiveReady(Answer):
    """Send sound from this sample on; those before it are kept, where there is a session."""

    type: Literal["ready"] = "ready"
    model: str
    session: str | None = None
    samples: int


class LivePartial(Answer):
    """What is heard of the segment that is not over; it may change. ``samples`` have been taken."""

    type: Literal["partial"] = "partial"
    text: str
    samples: int


class LiveFinal(Answer):
    """A segment that is over, and changes no more."""

    type: Literal["final"] = "final"
    segment: int
    text: str
    start: float
    end: float
    confidence: float
    words: list[WordAnswer]


class LiveDone(Answer):
    """The answer to `finish`: all has been heard."""

    type: Literal["done"] = "done"
    samples: int
    segments: int
