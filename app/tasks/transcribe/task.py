"""The task ``transcribe``: speech in, text out."""

from __future__ import annotations

import base64
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from app.core.errors import InvalidInput
from app.tasks.task import AnswerWriter, BodyReader, Load, LoadOption, Task
from app.tasks.transcribe.answers import as_srt, as_text, as_vtt
from app.tasks.transcribe.live import LIVE
from app.tasks.transcribe.model import TranscribeModel
from app.tasks.transcribe.schema import (
    RawOptions,
    Sound,
    SoundOptions,
    TranscribeLimits,
    TranscribeRequest,
    Transcript,
)
from app.tasks.transcribe.spec import TranscribeSpec

_RATE = 8000
_MEDIA_OF = {"text": "text/plain", "srt": "application/x-subrip", "vtt": "text/vtt"}
_SHORT = base64.b64encode(bytes(3200)).decode()


def _file(body: bytes, query: SoundOptions, limits: TranscribeLimits) -> Sound:
    return Sound(data=body, **query.model_dump())


def _raw(body: bytes, query: RawOptions, limits: TranscribeLimits) -> Sound:
    if query.rate is None:
        text = "raw samples do not say how many there are a second; give ?rate=, such as ?rate=16000"
        raise InvalidInput("rate", text)
    return Sound(data=body, **query.model_dump(exclude={"channels"}))


def _mulaw(body: bytes, query: RawOptions, limits: TranscribeLimits) -> Sound:
    given = {"rate": _RATE, **query.model_dump(exclude={"channels"}, exclude_none=True)}
    return Sound(data=body, encoding="mulaw", **given)


def _noise(seconds: float, random: random.Random) -> str:
    samples = np.random.default_rng(random.randrange(2**32)).normal(0, 300, round(seconds * _RATE))
    return base64.b64encode(samples.astype("<i2").tobytes()).decode()


def _body(chance: random.Random, options: Mapping[str, int]) -> dict[str, Any]:
    return {"pcm16": _noise(options["audio_ms"] / 1000, chance), "rate": _RATE}


TASK = Task(
    name="transcribe",
    doc="""Write down what is said in a sound.

The body is a sound file (WAV, FLAC, OGG or MP3), or raw samples with their rate in the query: `audio/pcm`,
16 bits, little-endian, one channel, or `audio/basic`, G.711 mu-law. In JSON either goes in base64. Words come
with their times and a confidence; with `n` also the most probable other texts. `format` or `Accept` choose
JSON, text, or subtitles as SRT or VTT. The text of a sound is the same, sent whole or in any pieces.""",
    spec=TranscribeSpec,
    limits=TranscribeLimits,
    open=TranscribeModel,
    request=TranscribeRequest,
    answer=Transcript,
    default_model="digits",
    load=Load(
        body=_body,
        answered=b'"segments"',
        inputs=lambda number: b'{"pcm16":"%s"}' % _SHORT.encode(),
        options=(
            LoadOption(
                name="audio_ms",
                help="milliseconds of sound of a request",
                default=1000,
                least=10,
                most=600_000,
            ),
        ),
    ),
    reads=(
        BodyReader(
            name="sound",
            media_types=(
                *("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave", "audio/flac", "audio/x-flac"),
                *("audio/ogg", "application/ogg", "audio/mpeg", "audio/mp3", "application/octet-stream"),
            ),
            read=_file,
            query=SoundOptions,
            milliseconds_per_kib=0.0,
        ),
        BodyReader(
            name="raw samples",
            media_types=("audio/pcm", "audio/l16", "audio/raw"),
            read=_raw,
            query=RawOptions,
        ),
        BodyReader(name="mu-law", media_types=("audio/basic",), read=_mulaw, query=RawOptions),
    ),
    writes=(
        AnswerWriter(
            media_type="text/plain", write=as_text, milliseconds=lambda answer: 0.0, example="one\n"
        ),
        AnswerWriter(
            media_type="application/x-subrip",
            write=as_srt,
            milliseconds=lambda answer: 0.0,
            example="1\n00:00:00,520 --> 00:00:00,600\none\n\n",
        ),
        AnswerWriter(
            media_type="text/vtt",
            write=as_vtt,
            milliseconds=lambda answer: 0.0,
            example="WEBVTT\n\n00:00:00.520 --> 00:00:00.600\none\n\n",
        ),
    ),
    wanted=lambda request: _MEDIA_OF.get(request.format, "application/json") if request.format else None,
    live=LIVE,
    examples={
        "raw": {"summary": "A fifth of a second of silence", "value": {"pcm16": _SHORT, "rate": _RATE}}
    },
    step_examples={
        "sound": {
            "summary": "A fifth of a second of silence",
            "value": {"seq": 1, "inputs": {"pcm16": _SHORT}},
        },
        "last": {"summary": "The end of the sound", "value": {"seq": 2, "inputs": {"finish": True}}},
    },
    tensor_examples={
        "silence": {
            "summary": "silence (digits)",
            "value": {
                "inputs": [{"name": "samples", "shape": [1, 8], "datatype": "FP32", "data": [0.0] * 8}]
            },
        }
    },
    page=Path(__file__).with_name("page"),
)
